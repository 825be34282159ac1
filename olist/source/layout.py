"""Where records and fields of a CSV file begin, before its values mean anything.

RFC 4180 in one pass over the bytes: a comma or a newline counts when an even number of quotes stands before it. This
gives every record's real line (a quoted field may hold line breaks) and finds what a CSV reader would take in silence,
each reader in its own way: records with too few fields, quotes in the middle of a field, carriage returns alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from olist.errors import BadInput, BadRow

BOM = b"\xef\xbb\xbf"
MEND = "mend the line, or fetch the data set again: `olist download`"
NEWLINE, COMMA, QUOTE, RETURN = (ord(c) for c in '\n,"\r')


@dataclass(frozen=True)
class Layout:
    """Byte offsets of a file's newlines and of its records' starts; record 0 is the header.

    `fields` counts those of each record. `stray` is the first quote, or carriage return outside of quotes, that RFC
    4180 has no place for.
    """

    file: str
    newlines: NDArray[np.int64]
    starts: NDArray[np.int64]
    fields: NDArray[np.int64]
    unclosed: bool
    stray: int | None

    def line(self, row: int) -> int:
        """The line, counted from 1, on which a data row begins."""
        return self.line_at(int(self.starts[row + 1]))

    def line_at(self, offset: int) -> int:
        """The line, counted from 1, that holds a byte."""
        return int(np.searchsorted(self.newlines, offset)) + 1


def decodable(file: str, content: bytes) -> bytes:
    """The content without byte order marks (a file that was put together may have several), lines ended by newlines.

    Raises:
        BadInput: a byte that is not UTF-8, by line and byte.
    """
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{file}, line {line}: byte {error.start - line_start + 1} of the line (offset {error.start} of the file), "
            f"0x{content[error.start]:02x}, is not UTF-8",
            hint="Kaggle's files are UTF-8; was this one saved again by a spreadsheet?",
        ) from error
    while content.startswith(BOM):
        content = content[len(BOM) :]
    return _with_newlines(content) if b"\r" in content.partition(b"\n")[0].rstrip(b"\r") else content


def _with_newlines(content: bytes) -> bytes:
    """A file whose lines all end in carriage returns alone, as spreadsheets write that save "for Macintosh", with
    newlines instead; what is quoted stays. Any other file as it is.
    """
    data = np.frombuffer(content, dtype=np.uint8)
    outside = (np.cumsum(data == QUOTE, dtype=np.uint8) & 1) == 0
    if ((data == NEWLINE) & outside).any():
        return content
    return np.where((data == RETURN) & outside, NEWLINE, data).astype(np.uint8).tobytes()


def lay_out(file: str, content: bytes) -> Layout:
    """Find the records.

    Raises:
        BadInput: the file is empty.
    """
    if not content.strip():
        raise BadInput(
            f"{file}: the file is empty, even its header is missing", hint="`olist download` fetches it again"
        )
    data = np.frombuffer(content, dtype=np.uint8)
    inside = np.cumsum(data == QUOTE, dtype=np.uint8) & 1
    newlines = np.flatnonzero(data == NEWLINE)
    ends = newlines[inside[newlines] == 0]
    if not len(ends) or ends[-1] != len(data) - 1:  # no newline at the end, or one inside an open quote
        ends = np.append(ends, len(data))
    starts = np.concatenate(([0], ends[:-1] + 1))
    commas = np.flatnonzero((data == COMMA) & (inside == 0))
    fields = np.diff(np.searchsorted(commas, np.append(starts, len(data)))) + 1
    return Layout(file, newlines, starts, fields, unclosed=bool(inside[-1]), stray=_stray(data, inside))


def _stray(data: NDArray[np.uint8], inside: NDArray[np.integer[Any]]) -> int | None:
    """The first quote that opens within a field or closes before its end, or the first carriage return alone.

    Two quotes in a row within quotes are one of the text: the first closes, the second opens again.
    """
    around = np.concatenate(([NEWLINE], data, [NEWLINE])).astype(np.uint8)  # byte i is at i + 1
    quotes, returns = np.flatnonzero(data == QUOTE), np.flatnonzero((data == RETURN) & (inside == 0))
    opens = inside[quotes] == 1
    before, after = around[quotes], around[quotes + 2]
    begins = (before == COMMA) | (before == NEWLINE) | (before == QUOTE)
    ends = (after == COMMA) | (after == NEWLINE) | (after == QUOTE) | (after == RETURN)
    bad = [*quotes[~np.where(opens, begins, ends)][:1], *returns[around[returns + 2] != NEWLINE][:1]]
    return int(min(bad)) if bad else None


def check_fields(layout: Layout, names: list[str], content: bytes) -> None:
    """Refuse records with too few or too many fields, or with what RFC 4180 has no place for.

    Raises:
        BadRow: the first of them, by line.
    """
    _refuse_stray(layout, names, content)
    wrong = np.flatnonzero(layout.fields != len(names))
    if not len(wrong) and not layout.unclosed:
        return
    # After a stray quote inside and outside change places, so the first record of a wrong shape is where it stands.
    record = int(wrong[0]) if len(wrong) else len(layout.fields) - 1
    found, start = int(layout.fields[record]), int(layout.starts[record])
    first_line = content[start:].partition(b"\n")[0]
    reason = f"{found} fields, expected {len(names)}" if first_line.strip() else "the line is blank"
    if layout.unclosed:
        reason = "a quote is opened and never closed, or closed and never opened"
    raise BadRow(layout.file, layout.line_at(start), names[min(found, len(names)) - 1], reason, hint=MEND)


def _refuse_stray(layout: Layout, names: list[str], content: bytes) -> None:
    if layout.stray is None:
        return
    record = int(np.searchsorted(layout.starts, layout.stray, side="right")) - 1
    column = content.count(b",", int(layout.starts[record]), layout.stray)
    if content[layout.stray] == RETURN:
        reason = "a carriage return alone, neither in quotes nor at the end of a line"
    elif layout.unclosed:
        reason = "a quote is opened and never closed, or closed and never opened"
    else:
        reason = 'a quote in the middle of a field; a field with one is written "in ""quotes"""'
    raise BadRow(layout.file, layout.line_at(layout.stray), names[min(column, len(names) - 1)], reason, hint=MEND)
