"""Where records and fields of a CSV file begin, before its values mean anything.

RFC 4180 in one pass over the bytes: a comma or a newline counts when an even number of quotes stands before it. This
gives every record's real line (a quoted field may hold line breaks) and finds the records that have too few fields,
which a CSV reader would fill with nulls in silence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olist.errors import BadInput, BadRow

BOM = b"\xef\xbb\xbf"
MEND = "mend the line, or fetch the data set again: `olist download`"
NEWLINE, COMMA, QUOTE = (ord(c) for c in '\n,"')


@dataclass(frozen=True)
class Layout:
    """Byte offsets of a file's newlines, of its records' starts and ends; record 0 is the header."""

    file: str
    newlines: NDArray[np.int64]
    starts: NDArray[np.int64]
    fields: NDArray[np.int64]
    unclosed: bool

    def line(self, row: int) -> int:
        """The line, counted from 1, on which a data row begins."""
        return self.line_at(int(self.starts[row + 1]))

    def line_at(self, offset: int) -> int:
        """The line, counted from 1, that holds a byte."""
        return int(np.searchsorted(self.newlines, offset)) + 1


def decodable(file: str, content: bytes) -> bytes:
    """The content without a byte order mark.

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
    return content.removeprefix(BOM)


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
    return Layout(file, newlines, starts, fields, unclosed=bool(inside[-1]))


def check_fields(layout: Layout, names: list[str], content: bytes) -> None:
    """Refuse records with too few or too many fields.

    Raises:
        BadRow: the first of them, by line.
    """
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
