"""`olist apps` where nothing is deployed and no server is up: what it says, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from click.testing import CliRunner, Result

from olist.errors import BadInput
from olist.settings import settings
from stream_apps import catalogue
from stream_apps.cli import changes, command
from stream_apps.deploy.operations import UpgradePlan
from stream_apps.engine import Verdict


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("OLIST_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


def apps(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_every_app_is_listed_with_what_it_reads_and_writes(home: Path) -> None:
    listed = msgspec.json.decode(apps("list", "-o", "json").stdout)
    assert {one["name"] for one in listed} == set(catalogue.apps())
    assert all(one["reads"] and one["writes"] and one["engine"] in ("flink", "faust") for one in listed)
    assert not home.exists(), "to look is not to make"


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "quality"),
        ("wait", "quality"),
        ("stop", "quality"),
        ("restart", "quality"),
        ("scale", "quality", "2"),
        ("savepoint", "quality"),
        ("upgrade", "quality"),
        ("rollback", "quality"),
        ("delete", "quality", "--yes"),
        ("logs", "quality"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_is_not_deployed_is_named_with_the_way_out(home: Path, arguments: tuple[str, ...]) -> None:
    refused = apps(*arguments).exception
    assert isinstance(refused, BadInput)
    assert "deployed" in f"{refused} {refused.hint}"
    assert not home.exists(), "a refused command leaves nothing behind"


def test_an_unknown_app_is_refused_with_the_known_ones() -> None:
    refused = apps("deploy", "nothing").exception
    assert isinstance(refused, BadInput)
    assert "quality" in refused.hint


def test_status_of_nothing_is_healthy() -> None:
    told = apps("status", "-o", "json")
    assert (told.exit_code, told.stdout) == (0, "[]\n")


def test_one_app_or_all_must_be_named() -> None:
    assert apps("deploy").exit_code == 2
    assert apps("deploy", "quality", "--all").exit_code == 2


def test_a_dry_run_says_what_would_be_deployed_and_makes_nothing(home: Path) -> None:
    told = apps("deploy", "--all", "--dry-run")
    assert told.stdout.count("would deploy") == len(catalogue.apps())
    assert not home.exists()


def test_manifests_are_printed_and_never_applied() -> None:
    refused = apps("deploy", "quality", "--target", "k8s").exception
    assert isinstance(refused, BadInput)
    assert "kubectl apply" in refused.hint
    assert "kind: Deployment" in apps("deploy", "quality", "--target", "k8s", "--dry-run").stdout


@pytest.mark.parametrize(("arguments", "told"), [(("--rebuild",), True), ((), False)])
def test_a_rebuild_says_what_it_cannot_know_before_it_asks(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: bool
) -> None:
    plan = nullcontext(UpgradePlan("+ more", Verdict("restored", "as it is"), Path("quality.py")))
    monkeypatch.setattr(changes, "operations_on", lambda *_: nullcontext(SimpleNamespace(planned=lambda _: plan)))
    asked = CliRunner().invoke(command, ("upgrade", "quality", *arguments), input="n\n")
    before, question, _ = asked.output.partition("upgrade? [y/N]")
    assert (asked.exit_code, bool(question), "compacted away" in before) == (1, True, told)


@pytest.mark.parametrize("name", sorted(command.commands))
def test_every_command_explains_itself(name: str) -> None:
    told = apps(name, "--help")
    assert told.exit_code == 0
    assert len(told.stdout.splitlines()) > 4
