from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from olist.errors import BadInput
from olist.settings import Settings, settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder of its own, so that no other's `.env` counts."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"OLIST_{name.upper()}", raising=False)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_a_blank_variable_is_an_unset_one(name: str, blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = Settings()
    monkeypatch.setenv(f"OLIST_{name.upper()}", blank)
    found = Settings()
    assert found == default
    assert not found.model_fields_set


def test_a_blank_line_of_the_env_file_is_none(folder: Path) -> None:
    (folder / ".env").write_text("".join(f"OLIST_{name.upper()}=\n" for name in Settings.model_fields))
    assert Settings() == Settings.model_construct()


def test_a_blank_variable_leaves_what_the_env_file_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("OLIST_HOME=there\n")
    monkeypatch.setenv("OLIST_HOME", "")
    assert Settings().home == Path("there")


def test_an_env_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / ".env").write_bytes(b"OLIST_HOME=caf\xe9\n")
    with pytest.raises(BadInput, match=r"^\.env: "):
        settings()
