"""How many cases a fuzzed property gets: as the property says, and ten times as many under the profile ``long``."""

from __future__ import annotations

import hypothesis

USUAL = 100  # Hypothesis's own default, which the profile of ordinary runs keeps
LONG = 1000


def cases(in_every_run: int) -> int:
    """Cases of a property in this run. The profile is chosen before the first test file is imported."""
    return in_every_run * hypothesis.settings().max_examples // USUAL
