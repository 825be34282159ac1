"""A batch's frame as the lines of a bulk request, made by column.

Each row is two lines, the action and the document. The document's id is its key: one column as text; of several, their
texts joined with ``|``, with a backslash before every ``|`` and backslash inside, so that no two keys share an id.
The version is the offset plus one (versions start at 1, offsets at 0): a later change of a key always has a higher one.
"""

from __future__ import annotations

import polars as pl

from olist.batches import COMMITTED_AT, OFFSET, OP, PARTITION
from olist.contracts import Contract, GeoPoint
from sinks.base import Refusal
from sinks.column_json import json_value, moment
from sinks.opensearch.mapping import DELETED

MOST_ID_BYTES = 512
ID, LINES = "_document_id", "_lines"


def with_ids(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with each row's document id."""
    return frame.with_columns(_id(contract).alias(ID))


def refused_ids(frame: pl.DataFrame) -> list[Refusal]:
    """The rows whose id OpenSearch would refuse, together with their whole request."""
    length = frame[ID].str.len_bytes()
    found = dict.fromkeys((length == 0).arg_true(), "the key is empty, and a document's id cannot be")
    long = f"the key is longer than the {MOST_ID_BYTES} bytes of a document's id"
    found |= dict.fromkeys((length > MOST_ID_BYTES).arg_true(), long)
    return [Refusal(row, found[row]) for row in sorted(found)]


def with_lines(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame (with ids) with each row's two lines; a deleted row's document has its key and trace only."""
    upserts = frame.filter(pl.col(OP) != "d")
    deletes = frame.filter(pl.col(OP) == "d")
    columns = tuple(column.name for column in contract.columns)
    parts = [
        _with_lines(contract, upserts, columns, contract.geo),
        _with_lines(contract, deletes, contract.key, None),
    ]
    return pl.concat(part for part in parts if part.height)


def _with_lines(
    contract: Contract, frame: pl.DataFrame, columns: tuple[str, ...], geo: GeoPoint | None
) -> pl.DataFrame:
    action = pl.struct(
        pl.struct(
            pl.col(ID).alias("_id"),
            (pl.col(OFFSET) + 1).alias("version"),
            pl.lit("external").alias("version_type"),
        ).alias("index")
    )
    fields = [json_value(column) for column in contract.columns if column.name in columns]
    fields += [_point(geo)] if geo else []
    fields += [(pl.col(OP) == "d").alias(DELETED), pl.col(PARTITION), pl.col(OFFSET), moment(pl.col(COMMITTED_AT))]
    lines = pl.format("{}\n{}\n", action.struct.json_encode(), pl.struct(fields).struct.json_encode())
    return frame.with_columns(lines.alias(LINES))


def _point(geo: GeoPoint) -> pl.Expr:
    """A geo point, or null where either column is."""
    both = pl.col(geo.latitude).is_not_null() & pl.col(geo.longitude).is_not_null()
    point = pl.struct(pl.col(geo.latitude).alias("lat"), pl.col(geo.longitude).alias("lon"))
    return pl.when(both).then(point).alias(geo.name)


def _id(contract: Contract) -> pl.Expr:
    texts = [json_value(column).cast(pl.String) for column in contract.key_columns]
    if len(texts) == 1:
        return texts[0]
    return pl.concat_str([_escaped(text) for text in texts], separator="|")


def _escaped(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all("\\", "\\\\", literal=True).str.replace_all("|", "\\|", literal=True)
