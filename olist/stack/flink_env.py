"""Where PyFlink is: in a Python environment of its own, since Beam below it wants a pyarrow that pyiceberg cannot use.

The wheel holds all of Flink: its jars are the cluster, its Python runs jobs.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from olist.errors import StackError
from olist.settings import Settings

WAY_OUT = "`make .venv-flink/.ready` installs it, or OLIST_FLINK_ENV names an environment that holds apache-flink"


@dataclass(frozen=True)
class FlinkEnvironment:
    """An environment that holds PyFlink: its `python`, and the folder of the package `pyflink`."""

    python: Path
    package: Path

    @property
    def jars(self) -> list[Path]:
        """The cluster's own classpath."""
        return sorted((self.package / "lib").glob("*.jar"))

    @property
    def python_jar(self) -> Path:
        """The jar with `PythonDriver`, which runs a Python job: what REST wants uploaded before it runs one."""
        return self.package / "opt" / f"flink-python-{self.version}.jar"

    @property
    def version(self) -> str:
        """Flink's release."""
        found = re.search(r'__version__ = "(.+)"', (self.package / "version.py").read_text(encoding="utf-8"))
        assert found is not None
        return found[1]


def flink_environment(settings: Settings) -> FlinkEnvironment:
    """The environment in use: `OLIST_FLINK_ENV`, or `.venv-flink` beside the environment that runs this.

    Raises:
        StackError: it holds no PyFlink.
    """
    root = (settings.flink_env or Path(sys.prefix).with_name(".venv-flink")).absolute()
    packages = sorted(root.glob("lib/python3*/site-packages/pyflink"))
    if not packages or not (packages[0] / "lib").exists():
        raise StackError(f"{root} holds no PyFlink", hint=WAY_OUT)
    return FlinkEnvironment(root / "bin" / "python", packages[0])
