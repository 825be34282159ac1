from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from olist.settings import settings
from olist.stack import cli
from olist.stack.home import Home
from olist.stack.state import RunState, ServerState, write_state


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose supervisor is this process, and whose PostgreSQL has crashed."""
    monkeypatch.setenv("OLIST_HOME", str(tmp_path))
    settings.cache_clear()
    made = Home(tmp_path)
    made.make()
    crashed = ServerState(name="postgres", phase="crashed", endpoint="there", reason="killed by SIGKILL")
    with made.claim():
        write_state(made.state, RunState(supervisor=1, servers={"postgres": crashed}))
        made.log("postgres").parent.mkdir()
        made.log("postgres").write_text("first\nlast words\n")
        yield made
    settings.cache_clear()


@pytest.mark.usefixtures("home")
def test_status_names_a_crashed_server_with_its_last_lines_and_fails() -> None:
    result = CliRunner().invoke(cli.status, ["-o", "json"])
    assert result.exit_code == 1
    assert {server["name"]: server["phase"] for server in json.loads(result.stdout)}["postgres"] == "crashed"
    assert "postgres crashed: killed by SIGKILL" in result.stderr
    assert "last words" in result.stderr


@pytest.mark.usefixtures("home")
def test_doctor_fails_on_a_crashed_server_and_says_the_way_out() -> None:
    result = CliRunner().invoke(cli.doctor, ["-o", "json"])
    assert result.exit_code == 1
    (found,) = [
        finding for finding in json.loads(result.stdout) if finding["check"] == "postgres" and finding["way_out"]
    ]
    assert (found["level"], found["way_out"]) == ("FAIL", "olist logs postgres; olist up")


@pytest.mark.usefixtures("home")
def test_logs_show_the_last_lines_of_one_server() -> None:
    result = CliRunner().invoke(cli.logs, ["postgres", "-n", "1"])
    assert result.stdout == "last words\n"


def test_delete_lists_what_it_would_remove_and_asks_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLIST_HOME", str(tmp_path))
    settings.cache_clear()
    kept = tmp_path / "kafka" / "data"
    kept.mkdir(parents=True)
    result = CliRunner().invoke(cli.down, ["--delete"], input="n\n")
    assert str(kept.parent) in result.stdout
    assert kept.exists()
    CliRunner().invoke(cli.down, ["--delete", "--yes"])
    assert not kept.exists()
    settings.cache_clear()
