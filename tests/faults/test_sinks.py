"""Kill, pause and starve sinks while orders stream in: the targets still equal the topics, and the files."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psycopg
import pytest

from olist.stack.local import Stack
from olist.tables import CUSTOMERS, ORDERS, TABLES, Order
from sinks.base import TARGETS
from sinks.check.run import check
from sinks.postgres.schema import table_name
from tests.commands import olist
from tests.faults.shop import Shop, Sink, assert_ranges_join
from tests.laws import removals
from tests.waiting import DEADLINE_S, wait_until
from tests.written import Writer

pytestmark = [pytest.mark.integration, pytest.mark.faults]

KILLS = 10
PAUSING = (str(Path(__file__).with_name("pausing_sink.py")),)


def test_sinks_killed_ten_times_each_at_random_moments_hold_what_the_topics_say(shop: Shop) -> None:
    sinks = [shop.sink(target, instance="one") for target in TARGETS]
    replaying = shop.start_replay("--rate", "400")
    kills = 0
    while kills < KILLS * len(TARGETS):
        victim = shop.random.randrange(len(sinks))
        moment = time.monotonic() + shop.random.uniform(0.0, 2.5)
        wait_until(lambda moment=moment: time.monotonic() > moment, "the next kill")  # type: ignore[misc]
        assert sinks[victim].ended() is None, sinks[victim].said()
        sinks[victim].kill()
        sinks[victim] = shop.sink(sinks[victim].target, instance="one")
        kills += 1
    replaying.terminate()
    replaying.wait(60)
    shop.replay()
    shop.assert_all_equal()
    for contract in TABLES.values():
        assert_ranges_join(shop.settings, contract.table)
    assert_ranges_join(shop.settings, f"{ORDERS.table}_changes")


@pytest.mark.parametrize("server", ["kafka", "postgres", "s3", "opensearch"])
def test_a_server_killed_under_the_sinks_costs_time_and_nothing_else(shop: Shop, stack: Stack, server: str) -> None:
    sinks = [shop.sink(target) for target in TARGETS]
    replaying = shop.start_replay("--rate", "2000")
    wait_until(lambda: shop.records_written() > 2_000, "the stream to flow")
    wait_until(lambda: all("assigned" in sink.said() for sink in sinks), "the sinks to begin")
    stack.kill(server)
    moment = time.monotonic() + 2.0
    wait_until(lambda: time.monotonic() > moment, "the sinks to notice")
    stack.start(server)
    replaying.wait(120)
    shop.replay()
    shop.assert_all_equal()
    assert [sink.ended() for sink in sinks] == [None] * len(sinks), [sink.said() for sink in sinks]


def test_two_processes_of_a_group_one_late_and_one_killed_share_the_work(shop: Shop) -> None:
    first = [shop.sink(target) for target in TARGETS]
    replaying = shop.start_replay("--rate", "700")
    wait_until(lambda: shop.records_written() > 1_000, "the stream to flow")
    late = [shop.sink(target) for target in TARGETS]
    wait_until(lambda: all("assigned" in sink.said() for sink in late), "the late ones to take their share")
    for sink in first:
        sink.kill()
    replaying.wait(120)
    shop.replay()
    shop.assert_all_equal()
    assert [sink.ended() for sink in late] == [None] * len(late), [sink.said() for sink in late]


def test_a_paused_zombie_is_refused_says_so_and_joins_the_others_again(shop: Shop) -> None:
    shop.replay("--limit", "2000")
    zombies = [shop.sink(target, program=PAUSING, tables=ORDERS.table, threads="1") for target in TARGETS]
    wait_until(lambda: all(is_stopped(zombie) for zombie in zombies), "the zombies to pause before their commit")
    shop.replay()  # the heirs get beyond what the zombies hold: else one that must look again finds its own batch there
    heirs = [shop.sink(target) for target in TARGETS]
    shop.assert_all_equal()
    for zombie in zombies:
        zombie.signal(signal.SIGCONT)
    for zombie in zombies:
        wait_until(lambda zombie=zombie: "Fenced: " in zombie.said(), f"{zombie.target} to refuse its zombie")  # type: ignore[misc]
        assert "another process has written" in zombie.said()
    for heir in heirs:
        heir.kill()  # so that the zombies, alive again, take what they had before
    Writer(shop.settings).create(ORDERS, [Order("late", "c", "created", 0, None, None, None, 0)])
    report = check(shop.settings, contracts=[ORDERS], wait_s=DEADLINE_S)
    assert {finding.state for finding in report.findings} == {"equal"}
    assert [zombie.ended() for zombie in zombies] == [None] * len(zombies)


def test_one_table_that_is_refused_stops_alone_says_so_and_comes_back_when_it_is_mended(shop: Shop) -> None:
    changed, others = CUSTOMERS, [contract for contract in TABLES.values() if contract is not CUSTOMERS]
    first = shop.sink("postgres")
    wait_until(lambda: "assigned" in first.said(), "the tables to be made")
    first.signal(signal.SIGTERM)
    assert first.process.wait(DEADLINE_S) == 0
    city = f"ALTER TABLE {table_name(changed)} ALTER COLUMN {changed.columns[3].name} TYPE"
    with psycopg.connect(shop.settings.postgres_url, autocommit=True) as somebody:
        somebody.execute(f"{city} varchar(9)".encode())
        shop.replay()
        sink = shop.sink("postgres")
        report = check(shop.settings, contracts=others, targets=["postgres"], wait_s=DEADLINE_S)
        assert {finding.state for finding in report.findings} == {"equal"}, "the others are carried to their end"
        assert "ContractRefused: " in sink.said()
        topic = changed.topic(shop.settings.topic_prefix)
        wait_until(lambda: f"postgres {changed.table} stopped: ContractRefused" in status(shop), f"a word of {topic}")
        assert sink.ended() is None
        refused = olist(shop.settings, "sink", "rebuild", "postgres", "--yes")
        assert refused.returncode != 0
        assert "the postgres sink runs" in refused.stderr
        somebody.execute(f"{city} text".encode())
    report = check(shop.settings, targets=["postgres"], wait_s=DEADLINE_S)
    assert {finding.state for finding in report.findings} == {"equal"}
    wait_until(lambda: "ContractRefused" not in status(shop), "the word to be taken back")
    sink.signal(signal.SIGTERM)
    assert sink.process.wait(DEADLINE_S) == 0


def status(shop: Shop) -> str:
    return olist(shop.settings, "sink", "status").stdout


def test_a_target_that_does_not_answer_hides_nothing_of_the_others(shop: Shop) -> None:
    away = shop.settings.model_copy(update={"opensearch": "http://127.0.0.1:9"})
    shown = olist(away, "sink", "status", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    for lags in json.loads(shown.stdout).values():
        assert (lags["iceberg"], lags["postgres"]) == (0, 0)
        assert "opensearch" in lags["opensearch"]


def test_tables_that_somebody_removes_under_running_sinks_come_back_by_themselves(shop: Shop) -> None:
    sinks = [shop.sink(target) for target in TARGETS]
    shop.replay("--limit", "2000")
    report = check(shop.settings, wait_s=DEADLINE_S)
    assert {finding.state for finding in report.findings} == {"equal"}
    for remove in (removals.postgres, removals.opensearch, removals.iceberg):
        remove(ORDERS, shop.settings)
    shop.replay()
    shop.assert_all_equal()
    assert [sink.ended() for sink in sinks] == [None] * len(sinks), [sink.said() for sink in sinks]
    assert all("reading again" in sink.said() for sink in sinks)


def is_stopped(sink: Sink) -> bool:
    """Whether the process is paused by a signal (state T)."""
    return Path(f"/proc/{sink.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
