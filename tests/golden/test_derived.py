"""The committed files are what the contracts say now."""

from __future__ import annotations

import pytest

from tests.golden import apps
from tests.golden.derived import DERIVED, FOLDER, RENEW, is_fresh


@pytest.mark.parametrize("name", DERIVED)
def test_the_committed_file_is_what_the_contracts_say(name: str) -> None:
    assert is_fresh(name), f"{FOLDER / name} is stale; renew it with `{RENEW}` and look at the diff"


@pytest.mark.parametrize("name", apps.names())
def test_an_apps_kubernetes_objects_are_what_the_app_says(name: str) -> None:
    assert apps.is_fresh(name), f"{apps.path_of(name)} is stale; renew it with `{RENEW}` and look at the diff"


def test_no_file_is_left_of_an_app_that_is_gone() -> None:
    assert {path.stem for path in apps.RENDERED.glob("*.yaml")} == set(apps.names())
