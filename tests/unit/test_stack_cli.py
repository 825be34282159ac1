from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from olist.errors import BadInput
from olist.settings import Settings, settings
from olist.stack import cli
from olist.stack.home import MADE_HERE, Home, RunState, write_state
from olist.stack.servers.catalogue import servers
from olist.stack.servers.server import ServerState


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
def test_status_shows_every_server_though_one_of_another_machine_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLIST_OPENSEARCH", "http://olist:secret@127.0.0.1:1")
    settings.cache_clear()
    as_json = CliRunner().invoke(cli.status, ["--only", "kafka,opensearch", "-o", "json"])
    kafka, opensearch = json.loads(as_json.stdout)
    assert (kafka["phase"], opensearch["phase"]) == ("stopped", "unreachable")
    assert "refused" in opensearch["reason"]
    assert as_json.stderr.startswith("opensearch at http://olist:********@127.0.0.1:1 is unreachable: ")
    as_table = CliRunner().invoke(cli.status, ["--only", "kafka,opensearch"])
    assert as_json.exit_code == as_table.exit_code == 1
    assert "stopped" in as_table.stdout
    assert "secret" not in as_json.output + as_table.output


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


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that OLIST_HOME names, with what looks like a server's folder, and the user somewhere else."""
    home = tmp_path / "home"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("OLIST_HOME", str(home))
    settings.cache_clear()
    yield home
    settings.cache_clear()


def down_and_delete(*more: str) -> Result:
    return CliRunner().invoke(cli.down, ["--delete", *more], input="n\n")


def with_data(home: Path) -> Path:
    kept = home / "kafka" / "data"
    kept.mkdir(parents=True)
    return kept


def test_delete_lists_what_it_would_remove_and_asks_first(chosen: Path) -> None:
    Home(chosen).make()
    kept = with_data(chosen)
    result = down_and_delete()
    assert str(kept.parent) in result.stdout
    assert kept.exists()
    down_and_delete("--yes")
    assert not kept.exists()


def test_delete_removes_nothing_from_a_folder_that_the_stack_did_not_make(chosen: Path) -> None:
    kept = with_data(chosen)
    Home(chosen).make()  # servers were started in it all the same: that does not make the rest of it theirs
    result = down_and_delete("--yes")
    assert kept.exists()
    assert "has no .olist-home" in str(result.exception)
    (chosen / ".olist-home").touch()  # the way out that is named
    down_and_delete("--yes")
    assert not kept.exists()


def test_a_home_of_an_earlier_version_is_known_by_its_supervisor_and_nothing_foreign(chosen: Path) -> None:
    kept = with_data(chosen)
    for name, text in {"run/lock": "4711", "logs/supervisor.log": ""}.items():
        (chosen / name).parent.mkdir()
        (chosen / name).write_text(text)
    (chosen / "thesis.tex").touch()
    down_and_delete("--yes")
    assert kept.exists()
    (chosen / "thesis.tex").unlink()
    down_and_delete("--yes")
    assert not kept.exists()


@pytest.mark.parametrize("home", [".", "..", "/", "~", "below"])
def test_delete_never_empties_where_somebody_lives(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    path = {"~": tmp_path / "user", "below": tmp_path}.get(home, Path(home).resolve())
    with pytest.raises(BadInput, match="nothing was removed"):
        Home(path).require_own()


def test_every_servers_folder_is_known_in_a_home_of_an_earlier_version() -> None:
    there = {
        server.folder.relative_to(Path.cwd() / ".olist").parts[0]
        for server in servers(Settings(home=Path(".olist"))).values()
    }
    assert there <= MADE_HERE


def test_a_users_own_link_is_removed_and_what_it_leads_to_stays(chosen: Path, tmp_path: Path) -> None:
    Home(chosen).make()
    disk = tmp_path / "disk"
    disk.mkdir()
    (chosen / "kafka").symlink_to(disk)
    down_and_delete("--yes")
    assert disk.exists()
    assert not (chosen / "kafka").is_symlink()
