"""The root command: finds the folders' commands, and ends each as users of command lines expect.

0 done; 1 one of our errors, told in two lines, or a fault of the program, told in one; 2 a wrong use; 130 Ctrl-C;
141 the reader of a pipe left, in silence. A command may have codes of its own, which its help names.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from olist.cli import failure
from olist.cli.summaries import SUMMARIES
from olist.errors import OlistError
from olist.printable import colours_refused

GROUP = "olist.commands"
FAILED, INTERRUPTED, READER_GONE = 1, 130, 141


@dataclass
class Asked:
    """What the root command was asked for that counts after a command has failed."""

    traces: bool = False


class InstalledCommand(click.Command):
    """A command by its name and summary: enough for the list of all. Its module is imported when it is run.

    Shell completion goes the same way: it lists the root's commands by these, and asks a real one for its own.
    """

    def __init__(self, point: EntryPoint, summary: str) -> None:
        super().__init__(point.name, help=summary)
        self._point = point

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The real command's, which click then runs in this one's stead."""
        command: click.Command = self._point.load()
        return command.make_context(info_name, args, parent, **extra)


class InstalledCommands(click.Group):
    """Every folder's commands, by entry point."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every installed command, by name."""
        return sorted(point.name for point in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command behind an entry point, or None when there is no such name.

        One without a summary here, of a package of others, is imported to be asked for it.
        """
        for point in entry_points(group=GROUP, name=name):
            command: click.Command = InstalledCommand(point, SUMMARIES[name]) if name in SUMMARIES else point.load()
            return command
        return None


def _ask_for_traces(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.ensure_object(Asked).traces = value


@click.group(cls=InstalledCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="olist-streams", prog_name="olist")
@click.option(
    "--traceback", is_flag=True, expose_value=False, callback=_ask_for_traces, help="Print the trace of what fails."
)
def root() -> None:
    """Streaming-first e-commerce data platform: everything is a Kafka topic.

    \b
    olist up                     start the servers of this machine
    olist replay --data PATH     the Olist CSV files as change events on topics
    olist topics tail orders     look at decoded changes
    olist check                  do the targets hold exactly what the topics say?
    """


def main() -> None:
    """Entry point of `olist`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a Latin-1 or ASCII terminal shows escapes, and no error
    try:
        code = _ended(Asked())
        sys.stdout.flush()
    except BrokenPipeError:
        failure.leave_quietly()
        code = READER_GONE
    sys.exit(code)


def _ended(asked: Asked) -> int:
    """Run what the command line says; return the exit code when it has ended, with what is wrong printed.

    Raises:
        BrokenPipeError: nobody reads what is printed.
    """
    try:
        return _run(asked)
    except OlistError as error:
        failure.say(error)
        return _failed(error, asked)
    except Exception as error:  # whatever it is, its user gets one line, and the trace is kept
        if isinstance(error, BrokenPipeError) and failure.reader_is_gone():
            raise
        failure.say_fault(error)
        return _failed(error, asked)


def _run(asked: Asked) -> int:
    """The code of a command that ended by itself, by Ctrl-C or by a wrong use; all else that it raised is raised."""
    try:
        code = root.main(
            prog_name="olist", standalone_mode=False, obj=asked, color=False if colours_refused() else None
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            return INTERRUPTED
        click.echo("Aborted!", err=True)
        return FAILED
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # click makes a silent 1 of it, be it a socket's
            raise ended.__context__ from None
        code = ended.code
    return code if isinstance(code, int) else 0


def _failed(error: Exception, asked: Asked) -> int:
    if asked.traces or failure.wants_traces():
        failure.say_trace(error)
    return FAILED
