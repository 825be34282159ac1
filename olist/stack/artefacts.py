"""The lock of Maven coordinates: which archives a server needs, and what their bytes must hash to.

`maven.lock` holds one line per artefact, ``group:name:version[:classifier]:packaging sha256 bytes``, in sections named
like ``[kafka]``. Sections may share artefacts; each is whole by itself, so that a server fetches only its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from olist.errors import StackError

LOCK = Path(__file__).with_name("maven.lock")
RENEW = "`olist stack lock` renews it"


@dataclass(frozen=True, order=True)
class Artefact:
    """One file of a Maven repository, by coordinate, hash and size in bytes."""

    group: str
    name: str
    version: str
    classifier: str
    packaging: str
    sha256: str = ""
    size: int = 0

    @property
    def coordinate(self) -> str:
        """``group:name:version[:classifier]:packaging``."""
        return ":".join(filter(None, (self.group, self.name, self.version, self.classifier, self.packaging)))

    @property
    def path(self) -> Path:
        """Where the file lies, relative to a repository or the cache, by Maven's layout."""
        file = "-".join(filter(None, (self.name, self.version, self.classifier))) + f".{self.packaging}"
        return Path(*self.group.split("."), self.name, self.version, file)


def parse_coordinate(text: str, sha256: str = "", size: int = 0) -> Artefact:
    """Read ``group:name:version[:classifier]:packaging``.

    Raises:
        StackError: neither four nor five parts, or an empty one.
    """
    parts = text.split(":")
    if len(parts) not in (4, 5) or not all(parts):
        raise StackError(f"{text!r} is not group:name:version[:classifier]:packaging")
    group, name, version, *classifier, packaging = parts
    return Artefact(group, name, version, "".join(classifier), packaging, sha256, size)


def parse_lock(text: str) -> dict[str, tuple[Artefact, ...]]:
    """Read a lock's text: section -> its artefacts, in the written order.

    Raises:
        StackError: a line that is no comment, section or artefact, named by its number.
    """
    sections: dict[str, list[Artefact]] = {}
    current: list[Artefact] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            current = sections.setdefault(line[1:-1], [])
        elif current is None:
            raise StackError(f"maven.lock, line {number}: an artefact before the first [section]", hint=RENEW)
        else:
            current.append(_parse_line(line, number))
    return {name: tuple(artefacts) for name, artefacts in sections.items()}


def _parse_line(line: str, number: int) -> Artefact:
    match line.split():
        case [coordinate, sha256, size] if len(sha256) == 64 and size.isdecimal():
            return parse_coordinate(coordinate, sha256, int(size))
    raise StackError(f"maven.lock, line {number}: not `coordinate sha256 bytes`: {line!r}", hint=RENEW)


def format_lock(sections: Mapping[str, Iterable[Artefact]]) -> str:
    """The text that `parse_lock` reads back."""
    lines = ["# Coordinate, SHA-256, bytes. Written by `olist stack lock`; do not edit."]
    for name, artefacts in sections.items():
        lines += ["", f"[{name}]", *(f"{a.coordinate} {a.sha256} {a.size}" for a in artefacts)]
    return "\n".join(lines) + "\n"


def locked(*sections: str) -> list[Artefact]:
    """The artefacts of these sections of the committed lock, each once, in the lock's order.

    Raises:
        StackError: the lock has no such section.
    """
    lock = parse_lock(LOCK.read_text(encoding="utf-8"))
    for name in sections:
        if name not in lock:
            raise StackError(f"maven.lock has no section [{name}]", hint=RENEW)
    return list(dict.fromkeys(artefact for name in sections for artefact in lock[name]))
