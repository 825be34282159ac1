"""Text as plain words: small letters without accents, sentences apart. What every list of this folder is written in."""

from __future__ import annotations

import re
import unicodedata

STOP = "."
"""Stands between two sentences, so that no phrase reaches from one into the next."""

# "1.99" ends nothing; "produto.Comprei" is the end of a sentence, with or without a space.
_MARKS = re.compile(r"(?<!\d)[.!?;:\n]+|[.!?;:\n]+(?!\d)")
_WORDS = re.compile(rf"[^\W_]+|(?<= ){re.escape(STOP)}(?= )")
# How Brazilians write "não" and "você" in a hurry.
_SHORT = {"n": "nao", "ñ": "nao", "naum": "nao", "nao": "nao", "vc": "voce", "vcs": "voces", "pq": "porque"}


def folded(text: str) -> str:
    """Small letters without accents; compatibility forms (full width, ligatures) as the letters they stand for."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def words(text: str) -> list[str]:
    """The folded words in order, `STOP` between sentences."""
    found: list[str] = _WORDS.findall(_MARKS.sub(f" {STOP} ", folded(text)))
    return [_SHORT.get(word, word) for word in found]


def word_count(text: str) -> int:
    """How many words a person would count; marks and emoji are none."""
    return sum(word != STOP for word in words(text))
