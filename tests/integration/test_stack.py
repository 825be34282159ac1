from __future__ import annotations

import pytest

from olist.stack.local import Stack

pytestmark = pytest.mark.integration


def test_all_four_servers_become_ready(stack: Stack) -> None:
    assert {state.phase for state in stack.states().values()} == {"ready"}
