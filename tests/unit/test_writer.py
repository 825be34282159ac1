"""The writer's recovery, on a table that fails when told to: what is called, in which order, how often."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from olist.batches import Batch, Rejected
from olist.errors import BadRecord, ServerTrouble
from olist.positions import Positions, TopicState
from olist.tables import ORDER_ITEMS
from olist.topics.dead_letters import DeadLetters
from sinks.base import Refusal, SinkTable, Staged
from sinks.runtime.writer import MOST_REASONS, TableWriter, log_lines
from tests.records import FakeRecord, record_of

TOPIC = "p.order_items"
STATE = TopicState(TOPIC, "id-1", {0: 0}, {0: 100})
ITEM = {
    "order_id": "o",
    "order_item_id": 1,
    "product_id": "p",
    "seller_id": "s",
    "shipping_limit_date": 0,
    "price": "1.00",
    "freight_value": "0.00",
}


class FakeDeadLetters(DeadLetters):
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.written: list[Rejected] = []

    def write(self, rejected: Sequence[Rejected], now: float) -> None:
        self.written.extend(rejected)


class Table(SinkTable[None]):
    """Commits fail as told: `before` a commit counts, or `after` it, when only the answer is lost."""

    name = "fake"

    def __init__(self, fail: str = "") -> None:
        super().__init__(ORDER_ITEMS)
        self.calls: list[str] = []
        self.stored: Positions | None = None
        self.fail = fail

    def open(self) -> Positions | None:
        self.calls.append("open")
        return self.stored

    def assign(self, partitions: frozenset[int]) -> None:
        self.calls.append("own")

    def stage(self, batch: Batch) -> Staged[None]:
        self.calls.append("stage")
        return Staged(batch, None, [Refusal(0, "not here")] if self.fail == "refuse" else [])

    def commit(self, staged: Staged[None], expected: Positions) -> Positions:
        self.calls.append("commit")
        fail, self.fail = self.fail, ""
        if fail == "before":
            raise ServerTrouble("fake", "away")
        if fail == "zombie":
            self.stored = expected.advanced({0: 50})
            raise ServerTrouble("fake", "away")
        self.stored = expected.advanced(staged.batch.next)
        if fail == "after":
            raise ServerTrouble("fake", "answer lost")
        return self.stored

    def drop(self) -> None: ...

    def close(self) -> None: ...


def writer(table: Table) -> tuple[TableWriter, FakeDeadLetters]:
    dead_letters = FakeDeadLetters()
    made = TableWriter(TOPIC, table, dead_letters)
    made.take_over(frozenset({0}), STATE)
    table.calls.clear()
    return made, dead_letters


def test_a_batch_is_staged_and_committed_once() -> None:
    table = Table()
    made, _dead_letters = writer(table)
    made.write([record_of(ORDER_ITEMS, ITEM, 4)], {})
    assert table.calls == ["stage", "commit"]
    assert made.positions.next == {0: 5}


def test_a_table_is_opened_once_when_it_is_taken_over_so_that_what_it_loads_is_what_is_judged() -> None:
    table = Table("before")
    made, _dead_letters = writer(table)
    with pytest.raises(ServerTrouble):
        made.write([record_of(ORDER_ITEMS, ITEM, 4)], {})
    assert made.take_over(frozenset({0}), STATE) == {0: 0}
    assert table.calls == ["stage", "commit", "open", "own"]


def test_reading_goes_on_behind_a_commit_whose_answer_was_lost_when_it_had_landed() -> None:
    table = Table("after")
    made, _dead_letters = writer(table)
    with pytest.raises(ServerTrouble):
        made.write([record_of(ORDER_ITEMS, ITEM, 4)], {})
    assert made.take_over(frozenset({0}), STATE) == {0: 5}


def test_reading_goes_on_where_another_process_has_left_the_table() -> None:
    table = Table("zombie")
    made, _dead_letters = writer(table)
    with pytest.raises(ServerTrouble):
        made.write([record_of(ORDER_ITEMS, ITEM, 4)], {})
    assert made.take_over(frozenset({0}), STATE) == {0: 50}


def test_dead_letters_are_written_once_however_often_a_batch_comes_again_after_trouble() -> None:
    table = Table("before")
    made, dead_letters = writer(table)
    batch = [FakeRecord(None, b"{}", 3), record_of(ORDER_ITEMS, ITEM, 4)]
    with pytest.raises(ServerTrouble):
        made.write(batch, {})
    made.take_over(frozenset({0}), STATE)
    made.write(batch, {})
    assert [one.error.offset for one in dead_letters.written] == [3]


def test_the_log_has_a_line_per_reason_and_no_more_than_a_few() -> None:
    def letter(offset: int, reason: str) -> Rejected:
        return Rejected(FakeRecord(None, None, offset), BadRecord(TOPIC, 0, offset, reason))

    alike = [letter(offset, "no key") for offset in range(1_000)]
    others = [letter(offset, f"odd {offset}") for offset in range(50)]
    lines = log_lines([*others, *alike])
    assert lines[0] == {"stage": "decode", "count": 1_000, "first": f"{TOPIC}[0]@0: no key"}
    assert len(lines) == MOST_REASONS + 1
    assert lines[-1] == {"other_reasons": 51 - MOST_REASONS, "count": 51 - MOST_REASONS}


def test_an_end_beyond_the_records_moves_the_position_past_transaction_markers() -> None:
    table = Table()
    made, _dead_letters = writer(table)
    made.write([record_of(ORDER_ITEMS, ITEM, 4)], {0: 7})
    assert made.positions.next == {0: 7}
    assert not made.has_news([], {0: 7})
    assert made.has_news([], {0: 9})
