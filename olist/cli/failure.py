"""How a command ends that does not do what it was asked: what is printed, and where a trace of ours lies.

An error that is ours to tell is two lines. Anything else is a fault of the program: one line, and its trace in a file,
since those who meet it can do nothing with it but hand it on.
"""

from __future__ import annotations

import os
import select
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olist.errors import OlistError
from olist.printable import LINES, colours_refused, printable

if TYPE_CHECKING:  # settings take a third of a second, and a help text needs none
    from olist.settings import Settings

LONGEST_FAULT = 300
TRACES_KEPT = 20


def say(error: OlistError) -> None:
    """The message and the way out, on stderr."""
    _say(f"{type(error).__name__}: {error}", red=True)
    if error.hint:
        _say(f"  way out: {error.hint}")


def say_fault(error: Exception) -> None:
    """One line that names a fault of the program, and the file that has its trace."""
    reason = (str(error).strip().splitlines() or [""])[0][:LONGEST_FAULT]
    _say(f"a fault of olist itself: {type(error).__name__}: {reason}", red=True)
    _say(f"  its trace: {_kept_trace(error)} (`olist --traceback ...` prints it)")


def say_trace(error: BaseException) -> None:
    """The whole trace, for those who asked for it."""
    _say(_trace(error).rstrip())


def wants_traces() -> bool:
    """True if OLIST_LOG_LEVEL is debug."""
    current = _settings()
    return current is not None and current.log_level == "debug"


def reader_is_gone() -> bool:
    """True if stdout or stderr is a pipe that nobody reads any more, as after ``| head``."""
    looked = select.poll()
    for number in (1, 2):
        looked.register(number, 0)  # errors are always told
    return any(event & select.POLLERR for _, event in looked.poll(0))


def leave_quietly() -> None:
    """Let what is still in buffers go nowhere, or the interpreter complains of the closed pipe at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)


def _say(text: str, *, red: bool = False) -> None:
    shown = printable(text, LINES)
    click.secho(shown, fg="red" if red else None, err=True, color=False if colours_refused() else None)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _kept_trace(error: Exception) -> Path:
    """Written beside the servers' logs where there are any, else among the temporary files."""
    head = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {' '.join(sys.argv)}\n"
    current = _settings()
    logs = None if current is None else current.home.absolute() / "logs"
    if logs is not None and logs.is_dir() and os.access(logs, os.W_OK):
        for old in sorted(logs.glob("trace-*.txt"))[: 1 - TRACES_KEPT]:
            old.unlink(missing_ok=True)
        return _written(logs, head + _trace(error))
    return _written(Path(tempfile.gettempdir()), head + _trace(error))


def _written(folder: Path, text: str) -> Path:
    begun = time.strftime("trace-%Y%m%d-%H%M%S-", time.gmtime())
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, prefix=begun, suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(text)
    return Path(file.name)


def _settings() -> Settings | None:
    from olist.settings import settings

    try:
        return settings()
    except OlistError:
        return None
