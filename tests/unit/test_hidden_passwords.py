"""No message and no listing tells a password, however badly its URL is written."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from olist.cli.settings import command
from olist.clients.postgres import endpoint
from olist.clients.shop import connect as connect_to_shop
from olist.errors import BadInput
from olist.settings import Settings, settings
from sinks.postgres.connection import connect

SECRET = "s3cret"
UNREADABLE = (
    f"postgresql//u:{SECRET}@h/d",
    f"postgresql://u:%zz{SECRET}@h/d",
    f"postgresql://u:{SECRET} x@h/d",
    f"postgresql://u:x/{SECRET}@h/d",
    f"postgresql://u:{SECRET}/x@h/d",
    f"postgresql://u:x@{SECRET}@h/d",
)


def told(error: BaseException | None) -> str:
    """All that a traceback would show."""
    shown = ""
    while error is not None:
        shown += f"{error} {getattr(error, 'hint', '')}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return shown


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_cannot_be_read_is_refused_by_the_name_of_its_setting(url: str) -> None:
    with pytest.raises(BadInput, match="OLIST_SHOP is not a URL") as of_shop:
        connect_to_shop(Settings(shop=url))
    with pytest.raises(BadInput, match="OLIST_POSTGRES is not a URL") as of_targets:
        connect(url)
    assert SECRET not in told(of_shop.value) + told(of_targets.value)


def test_a_place_is_shown_as_postgres_reads_it() -> None:
    assert endpoint(f"postgresql://u:{SECRET}@h:1/d", "X") == "h:1/d as u"
    assert endpoint(f"host=h dbname=d user=u password={SECRET}", "X") == "h:5432/d as u"
    assert endpoint(f"postgresql://u:{SECRET}@h1:1,h2:2/d", "X") == "h1,h2:1,2/d as u"


def test_settings_are_listed_without_any_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("OLIST_POSTGRES", f"postgresql://u:{SECRET}@h/d")
    monkeypatch.setenv("OLIST_SHOP", f"postgresql://u:a@b/{SECRET} x@h/d")
    monkeypatch.setenv("OLIST_CATALOG", f"postgresql+psycopg://u@h/d?password={SECRET}&a=b")
    monkeypatch.setenv("OLIST_OPENSEARCH", f"https://u:{SECRET}@search:9200")
    monkeypatch.setenv("OLIST_CONNECT", f"http://:{SECRET}@connect:8083")
    monkeypatch.setenv("OLIST_FLINK", "http://flink:8081")
    monkeypatch.setenv("OLIST_MONGODB", f"mongodb://u:{SECRET}@h/")
    monkeypatch.setenv("OLIST_SHOP_PASSWORD", SECRET)
    settings.cache_clear()
    listed = CliRunner().invoke(command).stdout
    settings.cache_clear()
    assert SECRET not in listed
    for shown in ("u:********@h/d", "u@h/d?password=********&a=b", "u:********@search:9200", "http://flink:8081"):
        assert shown in listed
