"""Every kind of damage that a check must see, made one at a time, each in each target that it can happen to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public names, re-exported without `as`
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from pyiceberg.conversions import to_bytes
from pyiceberg.types import LongType

from olist.batches import OFFSET, PARTITION
from olist.changes import codec
from olist.stack.local import Stack
from olist.topics.admin import admin_client, delete_topics
from sinks.base import TARGETS
from sinks.check import topic_health
from sinks.check.report import Finding, Report
from sinks.check.run import check
from tests.integration.carried_parcels import ROWS, Parcels, rows, written
from tests.integration.tampering import Hand, HistoryHand
from tests.laws.parcels import parcel
from tests.written import envelope

pytestmark = pytest.mark.integration

LOWER_BOUNDS = 10  # where a data file has them
ALIVE = ROWS - 1


@dataclass(frozen=True)
class Damage:
    """What somebody does to a target, and what the check must say of it."""

    name: str
    do: Callable[[Any], None]
    counts: dict[str, int]
    state: str = "different"
    undo: Callable[[Any], None] = lambda _hand: None


ROW_BY_ROW: dict[str, tuple[Callable[[Hand], None], str, set[str]]] = {  # parcel: damage, kind, fields that differ
    "p31": (lambda hand: hand.remove("p31"), "missing", set()),
    "planted": (lambda hand: hand.add("p32", "planted"), "extra", set()),
    "p33": (lambda hand: hand.change("p33", "label", "tampered"), "different", {"label"}),
    "p34": (lambda hand: hand.change("p34", OFFSET, 10**6), "different", {OFFSET}),  # drops what comes next
    "p35": (lambda hand: hand.change("p35", OFFSET, 0), "different", {OFFSET}),
    "p36": (lambda hand: hand.change("p36", PARTITION, 99), "different", {PARTITION}),
}
EVERYWHERE = [Damage("all rows are gone", lambda hand: hand.truncate(), {"missing": ALIVE})]
OF_ONE = {
    "iceberg": [
        Damage("a key is there twice", lambda hand: hand.add("p33", "p33"), {"doubled": 1}),
        Damage(
            "a manifest's bounds exclude a row of its file",
            lambda hand: hand.misfile("p33", LOWER_BOUNDS, "weight_g", to_bytes(LongType(), 2**62)),
            {"bounds": 1},
        ),
    ],
    "postgres": [],
    "opensearch": [
        Damage(
            "a point is not its columns'", lambda hand: hand.change("p30", "place", {"lat": 0, "lon": 0}), {"geo": 1}
        ),
        Damage("a point is gone", lambda hand: hand.change("p30", "place", None), {"geo": 1}),
        Damage("a document has another id", lambda hand: hand.rename("p30", "p30|01"), {"id": 1}),
        Damage(
            "a pattern finds another index",
            lambda hand: hand.add_index("old"),
            {"index": 1},
            undo=lambda hand: hand.remove_index("old"),
        ),
        Damage("the alias shows what is deleted", lambda hand: hand.unfilter_alias(), {"index": 1, "extra": 1}),
    ],
}
DAMAGES = [(target, damage) for target in TARGETS for damage in (*EVERYWHERE, *OF_ONE[target])]


@pytest.fixture(scope="module")
def parcels(stack: Stack) -> Iterator[Parcels]:
    """One table in all targets, with its history in the lake; every test leaves it as it was."""
    made = written(stack.settings, history=True)
    for target in TARGETS:
        made.carry(target)
    yield made
    for target in TARGETS:
        made.empty(target)


def again(parcels: Parcels, target: str) -> None:
    """The target filled anew."""
    parcels.empty(target)
    parcels.carry(target)


def test_nothing_is_wrong_before(parcels: Parcels) -> None:
    report = parcels.check()
    assert [(f.target, f.state, f.counts, f.note) for f in report.findings] == [
        (name, "equal", {}, "") for name in ("iceberg", "history", "postgres", "opensearch")
    ]
    assert report.exit_code == 0


@pytest.mark.parametrize("target", TARGETS)
def test_each_row_that_is_damaged_is_named_and_no_other(parcels: Parcels, target: str) -> None:
    hand = parcels.hand(target)
    for damage, _kind, _fields in ROW_BY_ROW.values():
        damage(hand)
    finding = parcels.finding(target, explain=len(ROW_BY_ROW) + 5)
    again(parcels, target)
    assert finding.counts == {"missing": 1, "extra": 1, "different": 4}
    named = {one.key["parcel_id"]: (one.kind, one.fields.keys()) for one in finding.differences}
    assert named.keys() == ROW_BY_ROW.keys()
    for parcel_id, (_damage, kind, fields) in ROW_BY_ROW.items():
        assert named[parcel_id][0] == kind
        assert not fields or named[parcel_id][1] == fields


@pytest.mark.parametrize(("target", "damage"), DAMAGES, ids=[f"{target}: {one.name}" for target, one in DAMAGES])
def test_damage_is_seen(parcels: Parcels, target: str, damage: Damage) -> None:
    hand = parcels.hand(target)
    damage.do(hand)
    report = parcels.check(target, explain=3)
    damage.undo(hand)
    again(parcels, target)
    finding = next(one for one in report.findings if one.target == target)
    assert (finding.state, finding.counts) == (damage.state, damage.counts)
    assert bool(finding.differences) == bool({"missing", "extra", "different", "doubled"} & damage.counts.keys())
    assert bool(finding.defects) == bool({"bounds", "geo", "id", "index"} & damage.counts.keys())
    assert report.exit_code == 1


OF_HISTORY = [
    Damage("a change is lost", lambda hand: hand.remove("p31"), {"missing": 1}),
    Damage("a change is altered", lambda hand: hand.change("p31", "label", "tampered"), {"different": 1}),
    Damage("a change is there twice", lambda hand: hand.double("p31"), {"doubled": 1}),
    Damage("a change is invented", lambda hand: hand.add("p31", "planted"), {"extra": 1}),
]


@pytest.mark.parametrize("damage", OF_HISTORY, ids=[one.name for one in OF_HISTORY])
def test_damage_of_the_history_is_seen(parcels: Parcels, damage: Damage) -> None:
    damage.do(HistoryHand(parcels.contract, parcels.settings))
    current, history = parcels.check("iceberg", explain=3).findings
    again(parcels, "iceberg")
    assert (current.state, history.state, history.counts) == ("equal", "different", damage.counts)
    assert history.differences


def stood_elsewhere(parcels: Parcels, target: str, by: int) -> Finding:
    """What is found of a target whose positions were moved by so many offsets and whose rows stayed."""
    ends = {partition: max(0, end + by) for partition, end in parcels.state.end.items()}
    hand: Hand = parcels.hand(target)
    if by < 0:  # the lake has been there
        parcels.empty(target)
        parcels.carry(target, end=ends)
        parcels.carry(target)
    hand.stand_at(ends)
    finding = parcels.finding(target)
    again(parcels, target)
    return finding


@pytest.mark.parametrize(
    ("target", "by", "state"),
    [
        ("iceberg", -3, "broken"),  # another engine set the table back: its ancestry tells
        ("postgres", -3, "different"),
        ("opensearch", -3, "moving"),  # its rows may be ahead: a sink that ends between the two leaves them so
        ("iceberg", 3, "broken"),
        ("postgres", 3, "broken"),
        ("opensearch", 3, "broken"),
    ],
)
def test_positions_set_back_or_past_the_topics_end_are_seen(parcels: Parcels, target: str, by: int, state: str) -> None:
    assert stood_elsewhere(parcels, target, by).state == state


@pytest.mark.parametrize("target", TARGETS)
def test_positions_set_forward_past_a_change_that_was_never_read_are_seen(parcels: Parcels, target: str) -> None:
    partition = next(p for p, end in parcels.state.end.items() if end > 2)
    parcels.empty(target)
    parcels.carry(target, end=parcels.state.end | {partition: 2})
    assert parcels.finding(target).state == "behind"
    parcels.hand(target).stand_at(parcels.state.end)
    finding = parcels.finding(target)
    again(parcels, target)
    assert finding.state == "different"


def configured(parcels: Parcels, **configs: str) -> None:
    """Set a topic's settings, dots written as underscores; an empty one goes back to its default."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, parcels.state.topic)
    for name, value in configs.items():
        kind = AlterConfigOpType.SET if value else AlterConfigOpType.DELETE
        resource.add_incremental_config(ConfigEntry(name.replace("_", "."), value, incremental_operation=kind))
    admin = admin_client(parcels.settings)  # kept until it has answered
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result()


def test_a_topic_that_kafka_removes_rows_from_is_no_truth_and_one_that_only_grows_is_noted(parcels: Parcels) -> None:
    configured(parcels, cleanup_policy="delete", retention_ms="-1")
    grows = parcels.check("postgres")
    configured(parcels, cleanup_policy="delete", retention_ms="604800000")
    eaten = parcels.check("postgres")
    configured(parcels, cleanup_policy="compact", retention_ms="")
    assert (grows.exit_code, len(grows.tables[0].notes)) == (0, 1)
    assert [(f.target, f.state) for f in eaten.findings] == [("postgres", "equal"), ("topic", "broken")]
    assert "retention.ms=604800000" in eaten.findings[1].note
    assert eaten.exit_code == 1


def test_a_transaction_that_stays_open_is_named_and_one_that_ends_is_not(
    parcels: Parcels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_health, "OPEN_FOR_S", 1.0)
    producer = Producer(
        {"bootstrap.servers": parcels.settings.kafka_bootstrap, "transactional.id": parcels.contract.table}
    )
    producer.init_transactions()
    producer.begin_transaction()
    key = codec(parcels.contract).encode_key(("p5", 1))
    producer.produce(parcels.state.topic, key=key, value=envelope(parcels.contract, "u", rows()[5]))
    assert producer.flush(30) == 0
    report = parcels.check("postgres")
    producer.abort_transaction()
    assert [(f.target, f.state) for f in report.findings] == [("postgres", "equal"), ("topic", "stalled")]
    assert "find-hanging" in report.findings[1].note
    assert report.exit_code == 3
    assert [f.target for f in parcels.check("postgres").findings] == ["postgres"]


def test_refused_rows_end_with_a_code_of_their_own(stack: Stack) -> None:
    parcels = written(stack.settings)
    refused = [parcel(f"p{n}", label="refused") for n in range(50)]
    parcels.writer.create(parcels.contract, refused)
    parcels.carry("postgres", refuse=frozenset({"refused"}))
    report = parcels.check("postgres")
    parcels.empty("postgres")
    assert (report.equal, report.refused_rows, report.exit_code) == (True, 50, 4)


def test_a_table_whose_topic_is_gone_is_seen_in_the_targets_that_hold_it(stack: Stack) -> None:
    parcels = written(stack.settings)
    parcels.carry("postgres")
    delete_topics(parcels.settings, [parcels.state.topic])

    def checked() -> Report:
        return check(parcels.settings, contracts=[parcels.contract], optional={parcels.contract.table})

    held = checked()
    parcels.empty("postgres")
    assert [(f.target, f.state) for f in held.findings] == [("postgres", "broken")]
    assert "gone" in held.findings[0].note
    assert checked().tables == ()
