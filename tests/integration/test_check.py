from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from olist.batches import Rejected
from olist.changes import Position, codec
from olist.errors import BadInput, BadRecord
from olist.stack.local import Stack
from olist.topics.admin import admin_client, ensure_topics, topic_state
from olist.topics.broker import Broker
from olist.topics.dead_letters import DeadLetters
from olist.topics.reader import read
from sinks.base import TARGETS, factory
from sinks.check.as_json import facts
from sinks.check.run import check
from tests.integration.carried_parcels import ROWS, Parcels, rows, written
from tests.laws.parcels import fresh, parcel
from tests.written import envelope

pytestmark = pytest.mark.integration


@pytest.fixture
def parcels(stack: Stack) -> Iterator[Parcels]:
    """A table of its own on a topic of its own."""
    made = written(stack.settings)
    yield made
    for target in TARGETS:
        made.empty(target)


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """Each target in turn."""
    name: str = request.param
    return name


def test_all_targets_that_hold_the_topics_latest_rows_are_equal(parcels: Parcels) -> None:
    parcels.writer.create(parcels.contract, [parcel("none", returned=None), parcel("no items", returned=[])])
    for target in TARGETS:
        parcels.carry(target)
    report = parcels.check()
    assert [(f.target, f.state, f.differences, f.note) for f in report.findings] == [
        (target, "equal", (), "") for target in TARGETS
    ]
    assert {finding.found.rows for finding in report.findings} == {ROWS + 1}
    assert {finding.found for finding in report.findings} == {report.tables[0].live}
    assert report.exit_code == 0


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [("label", "tampered", "tampered"), ("weight_g", 1, 1), ("note", "", "")],
)
def test_a_changed_value_is_found_and_named(parcels: Parcels, target: str, column: str, value: Any, shown: Any) -> None:
    parcels.carry(target)
    parcels.hand(target).change("p30", column, value)
    finding = parcels.finding(target, explain=10)
    assert finding.state == "different"
    assert len(finding.days) == 1
    (one,) = finding.differences
    assert (one.kind, one.key) == ("different", {"parcel_id": "p30", "leg": 1})
    (expected,) = [getattr(row, column) for row in rows() if row.parcel_id == "p30"]
    assert one.fields == {column: (expected, shown)}


def test_a_value_that_changed_inside_a_list_is_found_and_named(parcels: Parcels, target: str) -> None:
    parcels.carry(target)
    nothing = dict.fromkeys(("serial", "price", "weight_g", "packed_at", "words"))
    planted = [{"sku": "planted", "pieces": 1} | nothing]
    parcels.hand(target).change("p30", "items", planted)
    (one,) = parcels.finding(target, explain=10).differences
    assert (one.kind, one.key["parcel_id"]) == ("different", "p30")
    expected, found = one.fields["items"]
    assert [(line["sku"], line["words"]) for line in expected] == [("sku0", None), ("sku1", "")]
    assert found == planted


def test_a_removed_and_an_added_row_are_found_and_named(parcels: Parcels, target: str) -> None:
    parcels.carry(target)
    parcels.hand(target).remove("p31")
    parcels.hand(target).add("p32", "planted")
    report = parcels.check(target, explain=10)
    (finding,) = report.findings
    assert {(one.kind, one.key["parcel_id"]) for one in finding.differences} == {
        ("missing", "p31"),
        ("extra", "planted"),
    }
    assert finding.expected.rows == finding.found.rows  # counts alone would not have told
    assert report.exit_code == 1
    said = msgspec.to_builtins(facts(report), enc_hook=str)["tables"][0]["findings"][0]
    assert {one["kind"] for one in said["differences"]} == {"missing", "extra"}


def test_a_deleted_row_that_came_back_is_extra(parcels: Parcels, target: str) -> None:
    parcels.carry(target)
    parcels.hand(target).add("p32", "p20")
    (one,) = parcels.finding(target, explain=10).differences
    assert (one.kind, one.key["parcel_id"]) == ("extra", "p20")


def test_a_key_that_the_lake_holds_twice_is_doubled(parcels: Parcels) -> None:
    parcels.carry("iceberg")
    parcels.hand("iceberg").add("p33", "p33")
    (one,) = parcels.finding("iceberg", explain=10).differences
    assert (one.kind, one.rows) == ("doubled", 2)


def test_a_target_that_has_not_read_everything_is_behind_and_not_different(parcels: Parcels, target: str) -> None:
    parcels.carry(target)
    parcels.writer.create(parcels.contract, [parcel("late")])
    report = parcels.check(target)
    (finding,) = report.findings
    assert (finding.state, finding.lag) == ("behind", 1)
    assert report.exit_code == 3
    parcels.carry(target)
    assert parcels.finding(target, wait_s=30.0).state == "equal"


def test_a_table_that_is_not_there_is_absent_and_the_check_does_not_make_it(parcels: Parcels, target: str) -> None:
    assert [parcels.finding(target).state for _ in range(2)] == ["absent", "absent"]


def test_a_topic_that_was_re_created_is_not_compared(parcels: Parcels) -> None:
    parcels.carry("postgres")
    admin = admin_client(parcels.settings)
    topic = parcels.contract.topic(parcels.settings.topic_prefix)
    admin.delete_topics([topic])[topic].result()
    deadline = time.monotonic() + 30
    while topic in Broker(parcels.settings).names():
        assert time.monotonic() < deadline
    ensure_topics(parcels.settings, [parcels.contract])
    parcels.writer.create(parcels.contract, rows())
    finding = parcels.finding("postgres")
    assert finding.state == "broken"
    assert "re-created" in finding.note


def test_a_record_that_no_reader_takes_is_told_and_not_expected(parcels: Parcels) -> None:
    key = codec(parcels.contract).encode_key(("p1", 1))
    parcels.writer.raw(parcels.contract, [(key, b"garbage"), (b"no key of parcels", None)])
    parcels.carry("postgres")
    report = parcels.check("postgres")
    assert report.equal
    assert len(report.tables[0].undecodable) == 2


def test_a_record_that_one_target_refused_is_not_expected_of_it(parcels: Parcels) -> None:
    refused = parcel("p5", label="refused")
    parcels.writer.create(parcels.contract, [refused])
    parcels.carry("postgres", refuse=frozenset({"refused"}))
    parcels.carry("opensearch")
    postgres, opensearch = parcels.check("postgres", "opensearch").findings
    assert (postgres.state, len(postgres.refused)) == ("equal", 1)
    assert (opensearch.state, opensearch.refused) == ("equal", ())
    assert postgres.found != opensearch.found


def test_a_refusal_that_a_rebuild_took_after_all_is_none(parcels: Parcels) -> None:
    parcels.writer.create(parcels.contract, [parcel("p5", label="refused")])
    parcels.carry("postgres", refuse=frozenset({"refused"}))
    table = factory("postgres")(parcels.contract, parcels.settings)
    table.drop()
    table.close()
    parcels.carry("postgres")
    finding = parcels.finding("postgres", explain=10)
    assert (finding.state, finding.refused, finding.differences) == ("equal", (), ())


def test_a_letter_about_another_record_excuses_nothing(parcels: Parcels) -> None:
    parcels.carry("postgres")
    topic = parcels.contract.topic(parcels.settings.topic_prefix)
    state = topic_state(admin_client(parcels.settings), topic)
    (some, *_), *_ = read(parcels.settings, topic, state.first, state.end)
    at = Position(topic, some.partition(), some.offset())
    forged = Forged(some.key(), envelope(parcels.contract, "c", parcel("other")), at)
    error = BadRecord(topic, at.partition, at.offset, "no", stage="postgres")
    DeadLetters(parcels.settings).write([Rejected(forged, error)], 0.0)
    parcels.hand("postgres").remove("p40")
    assert parcels.finding("postgres").state == "different"


@dataclass(frozen=True)
class Forged:
    """A record that says it stood where another stands."""

    key_bytes: bytes | None
    value_bytes: bytes | None
    at: Position

    def key(self) -> bytes | None:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.value_bytes

    def partition(self) -> int:
        return self.at.partition

    def offset(self) -> int:
        return self.at.offset


def test_a_target_that_does_not_answer_is_unreachable_and_the_others_are_still_compared(parcels: Parcels) -> None:
    parcels.carry("opensearch")
    gone = parcels.settings.model_copy(update={"postgres": "postgresql://olist@127.0.0.1:1/olist"})
    report = check(gone, contracts=[parcels.contract], targets=["postgres", "opensearch"])
    assert [finding.state for finding in report.findings] == ["unreachable", "equal"]
    assert report.exit_code == 3


def test_a_topic_that_is_not_there_is_an_error_that_names_it(stack: Stack) -> None:
    contract = replace(fresh(), table="nowhere")
    with pytest.raises(BadInput, match="nowhere"):
        check(stack.settings, contracts=[contract])


def test_a_value_that_the_warehouse_was_altered_to_hold_is_broken_and_not_rounded(parcels: Parcels) -> None:
    parcels.carry("postgres")
    import psycopg

    from sinks.postgres.schema import table_name

    with psycopg.connect(parcels.settings.postgres_url) as connection:
        name = table_name(parcels.contract)
        connection.execute(f"ALTER TABLE {name} ALTER COLUMN price TYPE numeric".encode())
        connection.execute(f"UPDATE {name} SET price = price + 0.001 WHERE parcel_id = 'p41'".encode())
    finding = parcels.finding("postgres")
    assert finding.state == "broken"
    assert "price holds '0.411'" in finding.note
