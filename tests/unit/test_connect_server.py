from __future__ import annotations

from pathlib import Path

from olist.settings import Settings
from olist.stack.servers.catalogue import USUAL, servers
from olist.stack.servers.connect import Connect, secrets
from olist.stack.slots import MEGABYTE, Slot, facts


def slot(**different: object) -> Slot:
    facts = {"name": "s", "database": "d", "active": True, "wal_status": "reserved", "kept": 0, "behind": 0, "left": 1}
    return Slot(**(facts | different))  # type: ignore[arg-type]


def test_connect_starts_only_when_it_is_named() -> None:
    assert "connect" not in USUAL
    assert "connect" in servers(Settings(), ["connect", "kafka"])


def test_the_shops_password_goes_to_the_worker_from_the_url_or_the_setting_the_setting_first() -> None:
    url = "postgresql://u:in%20url@h/d"
    assert secrets(Settings(shop=url)) == {"OLIST_SHOP_PASSWORD": "in url"}
    assert secrets(Settings(shop=url, shop_password="set")) == {"OLIST_SHOP_PASSWORD": "set"}


def test_the_worker_may_read_no_other_variable_than_its_secrets(tmp_path: Path) -> None:
    worker = Connect(Settings(home=tmp_path, shop_password="hidden", mongodb="mongodb://hidden@h/"))
    worker.prepare()
    text = (worker.folder / "worker.properties").read_text("utf-8")
    assert "allowlist.pattern=OLIST_SHOP_PASSWORD|OLIST_MONGODB\n" in text
    assert "hidden" not in text


def test_a_slot_that_keeps_little_is_not_warned_of() -> None:
    assert slot(kept=10 * MEGABYTE).warning(10) == ""


def test_a_slot_that_keeps_much_is_warned_of_with_what_to_do() -> None:
    assert "its reader lags" in slot(kept=11 * MEGABYTE).warning(10)
    assert "nobody reads it" in slot(kept=11 * MEGABYTE, active=False).warning(10)


def test_a_slot_about_to_be_lost_and_a_lost_one_are_told_apart() -> None:
    assert "about to be lost" in slot(wal_status="unreserved").warning(10)
    assert slot(wal_status="lost").warning(10).startswith("lost")


def test_a_slots_line_says_what_it_keeps_and_how_much_more_it_may() -> None:
    line = slot(kept=2_500_000, behind=1_000_000, left=4_000_000_000, active=False).line()
    assert line == "slot s (d): read by nobody, 1.0 MB behind, keeps 2.5 MB of WAL, lost after 4,000 MB more"


def test_a_program_gets_each_slot_with_its_warning() -> None:
    quiet, lagging = facts([slot(), slot(kept=11 * MEGABYTE)], 10)
    assert (quiet["name"], quiet["warning"]) == ("s", "")
    assert lagging["kept"] == 11 * MEGABYTE
    assert "its reader lags" in lagging["warning"]
