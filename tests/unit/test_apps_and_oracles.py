"""Both per-row apps over whole data sets in memory: the same rows as Polars computes from the files, in any order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl
import pytest

from olist.changes import Change, Position
from olist.contracts import Contract
from olist.source import Dataset, load
from producers.generation.dataset import generate
from stream_apps.apps import quality, review_signals
from tests.folded import Folded
from tests.oracles.quality import violations
from tests.oracles.review_signals import signals
from tests.replayed import replayed, shuffled, topic_by_topic

LAST_US = 10**17
KEYS = ["check_name", "table_name", "row_key"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps") / "data"
    generate(folder, 400, 1, lambda _done: None)
    return folder


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return load(data)


@pytest.fixture(scope="module")
def changes(dataset: Dataset) -> list[Change]:
    return list(replayed(dataset))


def frame_of(folded: Folded, contract: Contract) -> pl.DataFrame:
    names = [column.name for column in contract.columns]
    rows = [[getattr(row, name) for name in names] for row in folded.of(contract).values()]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None).sort(contract.key)


def sent_again(changes: list[Change]) -> list[Change]:
    """The same changes further on in their topics, as a source that lost its place writes them."""
    return [
        msgspec.structs.replace(c, position=Position(c.position.topic, 0, c.position.offset + 10**6)) for c in changes
    ]


ARRIVALS: dict[str, Callable[[list[Change]], list[Change]]] = {
    "as it happened": lambda changes: changes,
    "topics shuffled": lambda changes: shuffled(changes, 1),
    "parents first": lambda changes: topic_by_topic(changes, children_first=False),
    "children first": lambda changes: topic_by_topic(changes, children_first=True),
    "everything twice": lambda changes: [change for change in changes for _ in range(2)],
    "read again from the beginning": lambda changes: [*changes, *changes],
    "sent again": lambda changes: [*changes, *sent_again(changes)],
}


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_reviews_are_those_of_the_files_in_any_order_of_arrival(
    data: Path, changes: list[Change], arrival: str
) -> None:
    folded = Folded(review_signals.APP).take(ARRIVALS[arrival](changes))
    found, expected = frame_of(folded, review_signals.REVIEW_SIGNALS), signals(data)
    assert expected.height > 100
    assert found.to_dicts() == expected.to_dicts()


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_violations_are_those_of_the_files_in_any_order_of_arrival(
    data: Path, changes: list[Change], arrival: str
) -> None:
    folded = Folded(quality.APP).take(ARRIVALS[arrival](changes)).tick(LAST_US)
    found = frame_of(folded, quality.VIOLATIONS).select(*KEYS, "opened_at")
    expected = violations(data)
    assert expected["check_name"].n_unique() > 3
    assert found.to_dicts() == expected.to_dicts()


def test_when_every_row_is_deleted_no_row_is_left(changes: list[Change]) -> None:
    rows = {(change.position.topic, change.key): change for change in changes}
    gone = [Change("d", key, None, Position(topic, 0, 10**9 + at), LAST_US) for at, (topic, key) in enumerate(rows)]
    for app in (quality.APP, review_signals.APP):
        folded = Folded(app).take(changes).tick(LAST_US)
        assert any(folded.rows.values())
        folded.take(gone).tick(2 * LAST_US)
        assert not any(folded.rows.values())
