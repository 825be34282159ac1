"""What Flink makes of envelopes is what every other reader makes of them, whichever field is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from olist.changes import UNAVAILABLE, Change, Position, codec
from olist.contracts import Contract
from olist.errors import BadRecord, StackError
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import ORDER_REVIEWS, OrderReview
from stream_apps.app import FlinkApp
from stream_apps.flink.submit import wait_healthy
from tests.flink_apps import RunningApps
from tests.shops import records
from tests.waiting import wait_until
from tests.written import Writer, envelope

pytestmark = pytest.mark.integration

REVIEW = OrderReview(
    review_id="r",
    order_id="o",
    review_score=5,
    review_comment_title="bom",
    review_comment_message="chegou",
    review_creation_date=1_500_000_000_000_000,
    review_answer_timestamp=1_500_000_001_000_000,
)
SEEN = Contract("reviews_seen", OrderReview, ORDER_REVIEWS.key)
COPY = FlinkApp("reviews_seen", (ORDER_REVIEWS,), SEEN, "SELECT * FROM order_reviews")
UNTIMED = FlinkApp(
    "reviews_untimed",
    (ORDER_REVIEWS,),
    Contract("reviews_untimed", OrderReview, ORDER_REVIEWS.key),
    f"SELECT {', '.join(c.name for c in ORDER_REVIEWS.columns)}, NULLIF(_committed_us, 1000000) AS _committed_us "
    "FROM order_reviews",
)


@pytest.fixture
def shop(flink_stack: Stack) -> Settings:
    """Topics of this file's own."""
    return flink_stack.settings.model_copy(update={"topic_prefix": "envelopes.shop"})


def running(settings: Settings, folder: Path, app: FlinkApp) -> Iterator[RunningApps]:
    apps = RunningApps(settings, folder, folder, (app,))
    yield apps
    apps.end()


@pytest.fixture
def copying(shop: Settings, tmp_path: Path) -> Iterator[RunningApps]:
    yield from running(shop, tmp_path, COPY)


@pytest.fixture
def untimed(shop: Settings, tmp_path: Path) -> Iterator[RunningApps]:
    yield from running(shop.model_copy(update={"topic_prefix": "envelopes.untimed"}), tmp_path, UNTIMED)


def envelopes() -> Iterator[tuple[str, dict[str, Any]]]:
    """One for each field that may be missing or odd, by what is the matter with it."""

    def made(**changed: Any) -> dict[str, Any]:
        whole: dict[str, Any] = msgspec.json.decode(envelope(ORDER_REVIEWS, "u", REVIEW))
        return {**whole, **changed}

    whole = made()
    yield "nothing", whole
    for name in whole:
        yield f"no {name}", {other: value for other, value in whole.items() if other != name}
    for part in ("source", "after"):
        for name in whole[part]:
            yield f"no {part}.{name}", made(**{part: {o: value for o, value in whole[part].items() if o != name}})
    source = whole["source"]
    yield "neither time", made(source={name: value for name, value in source.items() if not name.startswith("ts_")})
    yield "a zero ts_us", made(source={**source, "ts_us": 0})
    for op in ("c", "r", "d", "t", "m", "x"):
        yield f"op {op}", made(op=op)
    for op in ("c", "t"):
        yield f"op {op} without a row", made(op=op, after=None)
    for column in ("review_comment_title", "order_id"):
        yield f"no value captured of {column}", made(after={**whole["after"], column: UNAVAILABLE})


def decoded(key: bytes, value: bytes) -> Change | None:
    """What `olist.changes` makes of a record; nothing of one that goes to the dead letters."""
    try:
        return codec(ORDER_REVIEWS).decode(key, value, Position("", 0, 0))
    except BadRecord:
        return None


@pytest.mark.timeout(400)
def test_flink_takes_the_records_that_others_take_with_the_same_rows_and_times(
    copying: RunningApps, shop: Settings
) -> None:
    optional = {f"no after.{column.name}": column.name for column in ORDER_REVIEWS.columns if column.nullable}
    written, expected = [], {}
    for matter, spoilt in envelopes():
        key, after = codec(ORDER_REVIEWS).encode_key((matter, "o")), spoilt.get("after")
        if after and "review_id" in after:
            spoilt["after"] = {**after, "review_id": matter}
        if matter in optional:  # the one difference: others refuse the record
            value = msgspec.json.encode({**spoilt, "after": {**spoilt["after"], optional[matter]: None}})
        else:
            value = msgspec.json.encode(spoilt)
        written.append((key, msgspec.json.encode(spoilt)))
        if (change := decoded(key, value)) is not None and change.row is not None:
            expected[change.key] = (change.row, change.committed_us)
    assert len(written) > len(expected) > len(written) / 2
    assert expected["no source.ts_us", "o"][1] == expected["nothing", "o"][1] > 0

    copying.start()
    Writer(shop).raw(ORDER_REVIEWS, written)
    wait_until(lambda: len(records(shop, SEEN)) >= len(expected), "the rows to be written")
    copying.caught_up()
    found = {}
    for record in records(shop, SEEN):
        change = codec(SEEN).decode(record.key(), record.value(), Position("", 0, 0))
        found[change.key] = (change.row, change.committed_us)
    assert found == expected


@pytest.mark.timeout(400)
def test_an_app_whose_value_would_be_null_fails_and_writes_no_tombstone(untimed: RunningApps) -> None:
    settings = untimed.settings
    untimed.start()
    review = msgspec.structs.replace(REVIEW, review_id="later")
    written = [
        (codec(ORDER_REVIEWS).encode_key((row.review_id, row.order_id)), envelope(ORDER_REVIEWS, "c", row, at_s=at_s))
        for row, at_s in ((review, 2), (REVIEW, 1))
    ]
    Writer(settings).raw(ORDER_REVIEWS, written[:1])
    wait_until(lambda: len(records(settings, UNTIMED.writes)) == 1, "the row that has its time")
    Writer(settings).raw(ORDER_REVIEWS, written[1:])
    (job,) = untimed.jobs.values()
    wait_until(lambda: untimed.flink.exceptions(job).count > 0, "the job to fail")
    assert "Column 'value' is NOT NULL" in untimed.flink.exceptions(job).newest
    with pytest.raises(StackError, match="Column 'value' is NOT NULL"):
        wait_healthy(untimed.flink, job, within_s=2)
    assert [record.key() for record in records(settings, UNTIMED.writes)] == [written[0][0]]
