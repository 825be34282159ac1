"""The one console of every command, and tables on it that cut nothing.

Where there is no terminal (a file, a pipe) a table is as wide as its content. On one that is too narrow, prose wraps
between words; where that is not enough, every row becomes a block of lines, so that an address or a path can still be
copied whole.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from olist.printable import LINES, colours_refused, printable

UNBOUNDED = 100_000
"""Columns of a console that is no terminal."""
LEAST_PROSE = 24
"""Columns below which prose is a ladder of words rather than text."""


class Terminal(Console):
    """Shows texts of others without obeying them; a closed pipe is an error of its own rather than an exit."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As the base class does, with every character that is not printable as its escape."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text, LINES), style)

    def render_str(self, text: str, **options: object) -> Text:
        """Escaped before it is measured: what a cell holds is as wide as what is shown of it."""
        return super().render_str(printable(text, LINES), **options)  # type: ignore[arg-type] # passed on as they came

    def on_broken_pipe(self) -> None:
        """Leave it to `olist.cli.main`, which knows how a command ends whose reader is gone."""
        raise BrokenPipeError(errno.EPIPE, "the reader is gone")


def console(*, stderr: bool = False) -> Console:
    """A console that hears NO_COLOR and TERM=dumb; where it is no terminal, nothing is too wide for it."""
    colours: Literal["auto"] | None = None if colours_refused() else "auto"
    made = Terminal(stderr=stderr, color_system=colours, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = UNBOUNDED
    return made


def show(table: Table, *, prose: Collection[str] = (), to: Console | None = None) -> None:
    """Print a table whole. Columns whose headers are in `prose` may wrap, between words; nothing else does."""
    made = to or console()
    for column in table.columns:
        column.width = None  # another console's
    columns = _measured(made, table, prose)
    room = made.width - (_natural(made, table) - sum(one.most for one in columns))
    if sum(one.least for one in columns) > room:
        _show_blocks(made, table)
        return
    spare = room - sum(one.least for one in columns)
    for column, one in zip(table.columns, columns, strict=True):
        column.width = one.least + min(spare, one.most - one.least)
        column.overflow = "fold"
        spare -= column.width - one.least
    made.print(table)


@dataclass(frozen=True)
class _Width:
    """Columns that a table's column takes: on one line each, and wrapped as far as may be."""

    least: int
    most: int


def _measured(made: Console, table: Table, prose: Collection[str]) -> Sequence[_Width]:
    return [_width(made, [column.header, *column.cells], wraps=column.header in prose) for column in table.columns]


def _width(made: Console, cells: Iterable[RenderableType], *, wraps: bool) -> _Width:
    wide = made.options.update(width=UNBOUNDED)
    found = [Measurement.get(made, wide, cell) for cell in cells]
    most = max(one.maximum for one in found)
    longest_word = max(one.minimum for one in found)
    return _Width(max(longest_word, min(LEAST_PROSE, most)) if wraps else most, most)


def _natural(made: Console, table: Table) -> int:
    return Measurement.get(made, made.options.update(width=UNBOUNDED), table).maximum


def _show_blocks(made: Console, table: Table) -> None:
    """A row: its first cell, and below it the others that hold something, each on a line that the terminal folds.

    What has no title stands beside the first.
    """
    titles = [_text(made, column.header).plain for column in table.columns][1:]
    indent = max(map(len, titles), default=0)
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        named = [(title, _text(made, cell)) for title, cell in zip(titles, others, strict=True)]
        beside = [part for title, cell in named if not title for part in ("  ", cell)]
        made.print(Text.assemble(_text(made, first, style="bold"), *beside), soft_wrap=True)
        for title, cell in named:
            if title and cell.plain:
                made.print(Text.assemble((f"  {title:<{indent}}  ", "dim"), cell), soft_wrap=True)
    if table.caption is not None:
        made.print(table.caption, soft_wrap=True)


def _text(made: Console, cell: RenderableType, style: str = "") -> Text:
    return cell if isinstance(cell, Text) else made.render_str(str(cell), style=style)
