"""Every error that is ours, and whose move it is.

OlistError                 `hint` is the way out, printed under the message
├── BadInput               the user's move: an argument, a setting, a missing file
│   └── BadRow             one line of a source file, named by file, line and column
├── BadRecord              one record on a topic; it goes to the dead letters, the rest goes on
├── Stopped                a guarantee would break: stop, name what was found, never guess
│   ├── ContractRefused    a target's schema and the contract cannot both be right
│   ├── PositionRefused    the topic is not the one whose positions the target holds
│   ├── Fenced             another process owns these partitions now; this one is the zombie
│   │   └── TargetRewound  the target fell behind what this process left there: emptied, restored, made again
│   ├── TooManyDeadLetters a bad deploy must not drain a topic into the dead letters
│   └── TablesStopped      tables of a sink that did not run in the end, each with its own error
├── ServerTrouble          a server did not answer or said "later": wait, retry from the same position
└── StackError             a server of this machine could not be installed, started or found
"""

from __future__ import annotations

from olist.printable import printable


class OlistError(Exception):
    """The root: `message` says what and where, `hint` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadInput(OlistError):
    """An argument, a setting or a file that the user can mend."""


class BadRow(BadInput):
    """A line of a source file that its contract refuses."""

    def __init__(self, file: str, line: int, column: str, reason: str, *, hint: str = "") -> None:
        reason = printable(reason)  # it may quote the field
        super().__init__(f"{file}, line {line}, column {column}: {reason}", hint=hint)
        self.file, self.line, self.column, self.reason = file, line, column, reason


class BadRecord(OlistError):
    """A record on a topic that no reader, or (at a sink) one target, can take.

    `stage` is where it was refused: ``decode`` for every reader, else the target's name.
    """

    def __init__(self, topic: str, partition: int, offset: int, reason: str, *, stage: str = "decode") -> None:
        reason = printable(reason)  # it may quote the record, and goes to logs, terminals and the dead letters
        super().__init__(f"{topic}[{partition}]@{offset}: {reason}")
        self.topic, self.partition, self.offset, self.reason, self.stage = topic, partition, offset, reason, stage


class Stopped(OlistError):
    """Going on would lose, double or mix data, so the process ends here with its positions untouched."""


class ContractRefused(Stopped):
    """A contract change that is not an added optional column or a widening; both versions are shown."""


class PositionRefused(Stopped):
    """Positions that do not fit the topic: re-created, truncated, or repartitioned under the sink."""


class Fenced(Stopped):
    """Another process committed for these partitions since this one last did."""


class TargetRewound(Fenced):
    """The target stands before where this process left it, which no other writer does: somebody emptied or restored it.

    Nothing was written. Opening the table again tells where it stands now, and reading goes on from there.
    """


class TooManyDeadLetters(Stopped):
    """More dead letters than the limit allows in its window."""


class TablesStopped(Stopped):
    """Several tables of a sink did not run in the end, each by an error of its own."""


class ServerTrouble(OlistError):
    """A server is away, busy or restarting. Nothing was written, or a retry of the same write is harmless."""

    def __init__(self, server: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{server}: {reason}", hint=hint)
        self.server, self.reason = server, reason


class StackError(OlistError):
    """A local server could not be installed, started, reached or stopped."""
