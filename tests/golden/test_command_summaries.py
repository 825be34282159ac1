"""`olist --help` says of each command what the command itself says."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import pytest

from olist.cli.main import GROUP
from olist.cli.summaries import SUMMARIES


@pytest.mark.parametrize("point", entry_points(group=GROUP), ids=lambda point: point.name)
def test_a_summary_is_the_first_sentence_of_the_commands_own_help(point: EntryPoint) -> None:
    own = point.load().get_short_help_str(limit=1000)
    assert SUMMARIES[point.name] == own, f"write it into olist/cli/summaries.py: {own}"


def test_every_summary_is_of_a_command_that_is_there() -> None:
    assert set(SUMMARIES) == entry_points(group=GROUP).names
