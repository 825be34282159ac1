"""What a terminal or a log is given: the text of others, shown and never obeyed; and colours, where they are wanted.

Keys, headers, column names, member names of an archive and what servers say are bytes of others. Written raw, an
escape sequence of theirs moves the cursor or sets the title, a line break forges a line, a bidirectional mark turns the
rest of the line around.
"""

from __future__ import annotations

import os
import re

LINES = "\n\t"
"""What a text of several lines keeps."""


def printable(text: str, keep: str = "") -> str:
    """The text with every character that is not printable, but those to `keep`, as Python's escape for it.

    Letters of every script stay; ``\\x1b``, ``\\n``, ``\\u202e`` and lone surrogates become those very six characters
    or fewer.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def printable_json(document: str) -> str:
    """The same for a JSON document: JSON's escapes, so that it still says the same."""
    if document.isprintable():
        return document
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0].isprintable() else _json_escape(found[0]), document)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def colours_refused() -> bool:
    """True if the user or the terminal wants none: NO_COLOR (no-color.org), TERM=dumb."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


_UNPRINTABLE = re.compile(r"[^\n -~]")  # a superset of what str.isprintable refuses; a document's line ends stay
