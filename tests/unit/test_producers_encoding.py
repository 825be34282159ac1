"""The fast road to bytes writes exactly what the codec would, and every record decodes to its row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olist.changes import Envelope, Position, codec
from olist.contracts import Row
from olist.source import iter_rows, read
from olist.tables import ORDER_REVIEWS, TABLES, OrderReview
from producers.encoding import CONNECTOR, KEY, VALUE, Origin, encode, envelope_of, source_of
from producers.row_histories import EVENT_US, PREVIOUS_STAGE, PREVIOUS_US, ROW, STAGE, history_of
from producers.sequence import SEQ, TABLE, TABLE_NAMES, TX, sequence
from tests.unit.producers_dataset import files, small_shop, write_folder
from tests.unit.test_row_histories import REVIEW_ROWS, frame_of

ORIGIN = Origin("0123456789ab.1", "olist.public")


@pytest.fixture
def frames(tmp_path: Path) -> dict[str, pl.DataFrame]:
    return read(write_folder(tmp_path, files(small_shop())))


def image(frames: dict[str, pl.DataFrame], table: str, row: int, stage: int, event_us: int) -> Row:
    moment = pl.DataFrame({ROW: [row], STAGE: [stage], EVENT_US: [event_us]}, schema_overrides={ROW: pl.UInt32})
    contract = TABLES[table]
    (found,) = iter_rows(contract, history_of(contract).images(frames[table], moment))
    return found


def slowly(frames: dict[str, pl.DataFrame], change: dict[str, int]) -> tuple[bytes, bytes]:
    """One change's key and value by the codec."""
    table = TABLE_NAMES[change[TABLE]]
    after = image(frames, table, change[ROW], change[STAGE], change[EVENT_US])
    before = None
    if change[PREVIOUS_STAGE] is not None:
        before = image(frames, table, change[ROW], change[PREVIOUS_STAGE], change[PREVIOUS_US])
    source = source_of(TABLES[table], ORIGIN, change[EVENT_US], change[SEQ], change[TX])
    rows = codec(TABLES[table])
    return rows.encode_key(rows.key_of(after)), rows.encode(envelope_of(source, before, after))


def test_the_fast_road_writes_the_codecs_bytes(frames: dict[str, pl.DataFrame]) -> None:
    encoded = encode(frames, sequence(frames), ORIGIN)
    for change in encoded.iter_rows(named=True):
        assert (change[KEY], change[VALUE]) == slowly(frames, change)


@settings(deadline=None, max_examples=50)
@given(st.lists(REVIEW_ROWS, min_size=1, max_size=5, unique_by=lambda row: row.review_id))
def test_any_text_is_escaped_as_the_codec_does(rows: list[OrderReview]) -> None:
    frames = {table: pl.DataFrame(schema={}) for table in TABLES}
    frames |= {table: frame_of(contract, []) for table, contract in TABLES.items()}
    frames[ORDER_REVIEWS.table] = frame_of(ORDER_REVIEWS, rows)
    for change in encode(frames, sequence(frames), ORIGIN).iter_rows(named=True):
        assert (change[KEY], change[VALUE]) == slowly(frames, change)


def test_a_chunk_of_the_sequence_is_encoded_as_in_the_whole(frames: dict[str, pl.DataFrame]) -> None:
    changes = sequence(frames)
    whole = encode(frames, changes, ORIGIN)
    parts = [encode(frames, changes[at : at + 3], ORIGIN) for at in range(0, changes.height, 3)]
    assert pl.concat(parts).equals(whole)
    assert encode(frames, changes[:0], ORIGIN).height == 0


def test_every_record_decodes_and_names_its_road(frames: dict[str, pl.DataFrame]) -> None:
    for change in encode(frames, sequence(frames), ORIGIN).iter_rows(named=True):
        contract = TABLES[TABLE_NAMES[change[TABLE]]]
        decoded = codec(contract).decode(change[KEY], change[VALUE], Position("t", 0, 0))
        assert decoded.committed_us == change[EVENT_US]
        envelope = msgspec.json.decode(change[VALUE], type=Envelope[contract.row])  # type: ignore[name-defined]
        assert envelope.source.connector == CONNECTOR
        assert envelope.source.sequence == ORIGIN.sequence(change[SEQ])
        assert envelope.op == ("c" if envelope.before is None else "u")


def test_the_topic_prefix_is_name_and_schema() -> None:
    source = source_of(ORDER_REVIEWS, replace(ORIGIN, prefix="shop.eu.public"), 0, 1, 1)
    assert (source.name, source.schema) == ("shop.eu", "public")
