"""What a user reads: the dry run, the default data set, the downloads that cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from olist.errors import BadInput, ServerTrouble
from olist.tables import ORDERS, TABLES
from producers.cli import replay
from producers.cli.dataset_commands import ARCHIVE, fetch
from producers.cli.replay_command import found_data
from producers.progress import Progress, described
from producers.summary import Summary
from tests.unit.producers_dataset import files, small_shop, write_folder

KAGGLE = """
class Api:
    def authenticate(self):
        {authenticate}
    def dataset_download_files(self, dataset, path, quiet):
        {download}
api = Api()
"""


def kaggle_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, authenticate: str, download: str = "pass") -> None:
    (tmp_path / "kaggle.py").write_text(KAGGLE.format(authenticate=authenticate, download=download))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "kaggle", raising=False)


def test_a_download_without_the_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaggle", None)
    with pytest.raises(BadInput, match="kaggle package") as caught:
        fetch(tmp_path / "data")
    assert "olist-streams[kaggle]" in caught.value.hint
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("authenticate", ["print('advice'); raise SystemExit(1)", "raise OSError('no kaggle.json')"])
def test_a_download_without_credentials_says_where_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], authenticate: str
) -> None:
    kaggle_that(tmp_path, monkeypatch, authenticate=authenticate)
    with pytest.raises(BadInput, match="no Kaggle credentials") as caught:
        fetch(tmp_path / "data")
    assert "KAGGLE_API_TOKEN" in caught.value.hint
    assert "advice" not in capsys.readouterr().out


def test_a_download_that_kaggle_refuses_shows_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle_that(tmp_path, monkeypatch, authenticate="pass", download="raise ConnectionError('403 Forbidden')")
    with pytest.raises(ServerTrouble, match="403 Forbidden"):
        fetch(tmp_path / "data")


def test_a_download_lands_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle_that(tmp_path, monkeypatch, authenticate="pass", download=f"open(path + '/{ARCHIVE}', 'wb').close()")
    fetch(tmp_path / "data")
    assert (tmp_path / "data" / ARCHIVE).exists()


def test_without_a_data_set_the_ways_to_get_one_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(BadInput, match="no data set") as caught:
        found_data(None)
    assert "olist generate" in caught.value.hint
    assert "olist download" in caught.value.hint
    assert found_data(tmp_path) == tmp_path


def test_a_dry_run_counts_changes_per_table_without_kafka(tmp_path: Path) -> None:
    data = write_folder(tmp_path, files(small_shop()))
    result = CliRunner().invoke(replay, ["--data", str(data), "--dry-run", "-o", "json"])
    told = json.loads(result.output)
    assert list(told["tables"]) == list(TABLES)
    assert told["tables"][ORDERS.table] == {"creates": 3, "updates": 6}
    assert told["changes"] == sum(sum(counts.values()) for counts in told["tables"].values())
    assert (told["first"], told["last"]) == ("2018-01-02 12:00:00", "2018-01-12 12:00:00")


def test_a_dry_run_of_some_tables_counts_only_those(tmp_path: Path) -> None:
    data = write_folder(tmp_path, files(small_shop()))
    result = CliRunner().invoke(replay, ["--data", str(data), "--dry-run", "--tables", ORDERS.table, "--limit", "2"])
    assert result.exit_code == 0
    assert "geolocation" not in result.output


def test_an_unknown_table_is_named_with_those_there_are() -> None:
    result = CliRunner().invoke(replay, ["--tables", "baskets", "--dry-run"])
    assert result.exit_code == 2
    assert "no such table: baskets" in result.output


def test_a_summary_says_how_to_go_on() -> None:
    stopped = Summary(0, 10, 5, 1.0, 0.001, "2018-01-01 00:00:00", 15)
    assert "5 left" in stopped.as_text()
    assert stopped.as_json()["cpu_us_per_change"] == 100.0
    done = Summary(15, 0, 0, 0.0, 0.0, None, None)
    assert done.as_text() == "nothing to do: all 15 changes are on the topics already"
    assert Summary(10, 0, 5, 1.0, 0.0, None, 2).as_text().endswith("goes on where this one stopped")


def test_progress_shows_the_trouble_that_kafka_is_in() -> None:
    progress = Progress(total=10, acknowledged=5, event_us=0, trouble="all brokers down", started_s=0.0)
    assert described(progress, 1.0) == "1970-01-01 00:00:00  5 changes/s  waiting: all brokers down"
