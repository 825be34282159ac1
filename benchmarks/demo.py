"""How long the demo takes and how much memory all its processes have together, on servers of its own.

python -m benchmarks.demo                 empty servers, warm cache
python -m benchmarks.demo --core          without Flink
python -m benchmarks.demo --data PATH     another data set
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import psutil

from benchmarks.servers import settings_for
from olist.settings import settings

EVERY_S = 0.25


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="The Kaggle zip or its folder.")
@click.option("--core", is_flag=True, help="Without Flink and the apps that run on it.")
def main(data: Path | None, core: bool) -> None:
    """Run the demo once; print its seconds and the most memory that its processes had at one moment."""
    with tempfile.TemporaryDirectory(prefix="olist-demo-") as folder:
        given = [*(["--data", str(data)] if data else []), *(["--core"] if core else [])]
        environment = settings_for(Path(folder), settings()).environment()
        started, most = time.monotonic(), 0
        with subprocess.Popen([sys.executable, "-m", "olist", "demo", "--fresh", *given], env=environment) as demo:
            while demo.poll() is None:
                most = max(most, resident(psutil.Process(demo.pid)))
                time.sleep(EVERY_S)
    click.echo(f"{time.monotonic() - started:.0f} s, at most {most / 1e9:.2f} GB of memory over all processes")
    sys.exit(demo.returncode)


def resident(root: psutil.Process) -> int:
    """Resident bytes of a process and its descendants; pages that they share count for each, so this is a bound."""
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    main()
