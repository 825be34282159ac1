"""Start a process that dies with its parent, stop processes within one deadline, and read the logs that they write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from olist.stack.servers.server import Launch

LAUNCHER = Path(__file__).with_name("launcher.py")
LOG_KEPT_BYTES = 10_000_000


def spawn(
    launch: Launch,
    log: Path,
    on_parent_death: signal.Signals | None = signal.SIGKILL,
    *,
    guard: str | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start it in its own session, output appended to `log`. Call from the main thread (see `launcher`).

    `on_parent_death` None lets it live on. `guard` is `prctl` or `pipe`; the default is what the system has.
    """
    _rotate(log)
    guard = guard or ("prctl" if sys.platform == "linux" else "pipe")
    pipe = os.pipe() if guard == "pipe" and on_parent_death else None
    argv = (
        launch.argv if on_parent_death is None else _guarded(launch, on_parent_death, str(pipe[0]) if pipe else guard)
    )
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=launch.cwd if launch.uid is None else "/",
            env=dict(launch.env),
            stdin=stdin,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pipe[:1] if pipe else (),
        )
    if pipe:
        os.close(pipe[0])  # the writing end stays open, on purpose, until this process ends
    return process


def _guarded(launch: Launch, on_parent_death: signal.Signals, guard: str) -> list[str]:
    uid = "-" if launch.uid is None else str(launch.uid)
    arguments = [str(os.getpid()), str(int(on_parent_death)), uid, guard, "--", *launch.argv]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *arguments]


def stop(processes: Iterable[tuple[subprocess.Popen[bytes], signal.Signals]], within_s: float) -> None:
    """Ask all at once, each by its own signal; kill what is left after the deadline that they share."""
    asked = list(processes)
    deadline = time.monotonic() + within_s
    for process, how in asked:
        process.send_signal(how)
    for process, _ in asked:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_lines(log: Path, count: int) -> list[str]:
    """The last lines of a log, without reading all of it."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 500 * count - 1000))
            return file.read().decode("utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))


LOOK_EVERY_S = 0.2


def recent(logs: Mapping[str, Path], count: int) -> Iterator[tuple[str, str]]:
    """The last lines of each log, as (server, line)."""
    for name, log in logs.items():
        for line in last_lines(log, count):
            yield name, line


def follow(logs: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Lines from now on, as (server, line), without end. A log that is begun anew is followed from its beginning."""
    offsets = {name: _size(log) for name, log in logs.items()}
    while True:
        for name, log in logs.items():
            lines, offsets[name] = _lines_after(log, offsets[name])
            for line in lines:
                yield name, line
        time.sleep(LOOK_EVERY_S)


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _lines_after(log: Path, offset: int) -> tuple[list[str], int]:
    size = _size(log)
    if size <= offset:
        return [], min(size, offset)
    with log.open("rb") as file:
        file.seek(offset)
        whole, _, rest = file.read(size - offset).rpartition(b"\n")
    return whole.decode("utf-8", errors="replace").splitlines(), size - len(rest)
