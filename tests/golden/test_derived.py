"""The committed files are what the contracts say now."""

from __future__ import annotations

import pytest

from tests.golden.derived import DERIVED, FOLDER, RENEW, is_fresh


@pytest.mark.parametrize("name", DERIVED)
def test_the_committed_file_is_what_the_contracts_say(name: str) -> None:
    assert is_fresh(name), f"{FOLDER / name} is stale; renew it with `{RENEW}` and look at the diff"
