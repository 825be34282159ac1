"""What the cluster is asked, in the words of its REST API: it ignores a field that it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from olist.errors import ServerTrouble
from stream_apps.flink.rest import Flink


class Asked(Flink):
    """Answers that a savepoint is written, or never is; keeps what it was asked to do."""

    def __init__(self, status: str = "COMPLETED") -> None:
        super().__init__("http://flink")
        self.status, self.bodies = status, dict[str, Any]()

    def _ask(self, method: str, path: str, **what: Any) -> Any:
        if method == "POST":
            self.bodies[path] = what["json"]
            return {"request-id": "r"}
        if path == "/jobs/j":
            return None
        return {"status": {"id": self.status}, "operation": {"location": "file:/sp"}}


@pytest.mark.parametrize(
    ("folder", "told"), [("file:///there", {"target-directory": "file:///there"}), ("", {})], ids=["given", "default"]
)
def test_a_savepoint_is_written_into_the_folder_that_is_given(folder: str, told: Mapping[str, str]) -> None:
    flink = Asked()
    assert flink.savepoint("j", 1.0, folder) == "file:/sp"
    assert flink.bodies == {"/jobs/j/savepoints": {"cancel-job": False, **told}}


@pytest.mark.parametrize(
    ("folder", "told"), [("file:///there", {"targetDirectory": "file:///there"}), ("", {})], ids=["given", "default"]
)
def test_a_stop_names_the_folder_in_its_own_way(folder: str, told: Mapping[str, str]) -> None:
    flink = Asked()
    assert flink.stop("j", 1.0, folder=folder) == "file:/sp"
    assert flink.bodies == {"/jobs/j/stop": {"drain": False, **told}}


def test_a_savepoint_that_takes_too_long_is_not_said_to_have_failed() -> None:
    with pytest.raises(ServerTrouble, match="it may still come"):
        Asked("IN_PROGRESS").stop("j", 0.0)
