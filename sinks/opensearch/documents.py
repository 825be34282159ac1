"""A batch's frame as documents, made by column and sent in bulk requests of bounded size.

Each row is two lines, the action and the document. The document's id is its key: one column as text; of several, their
texts joined with ``|``, with a backslash before every ``|`` and backslash inside, so that no two keys share an id.
The version is the offset plus one (versions start at 1, offsets at 0): a later change of a key always has a higher one.

Requests go to an alias and must: where the index is gone they fail, and no server makes one with guessed types of them.
A version conflict means that the document there is this one or a newer one: that is success, and what makes a repeat
harmless. A document that the mapping refuses is named; one that the server has no room for is sent again, a few times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from olist.batches import COMMITTED_AT, OFFSET, OP, PARTITION
from olist.contracts import Contract, GeoPoint
from olist.errors import ServerTrouble, Stopped, TargetRewound
from sinks.base import Refusal
from sinks.column_json import json_value, moment
from sinks.opensearch.client import SERVER, Client, Json
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


REQUEST_BYTES = 6_000_000  # between OpenSearch's advice of 5 and 15 MB
ATTEMPTS = 6
FIRST_PAUSE_S = 0.1  # doubled each time: 3 s in all

DONE = frozenset({200, 201, 409})
REFUSED = 400
BUSY = frozenset({429, 503})
GONE = 404
# Refusals of the index and not of a document, each with the way out.
OF_THE_INDEX = {
    "index_closed_exception": "open it: POST /<index>/_open",
    "cluster_block_exception": "somebody made it read-only: PUT /<index>/_settings with index.blocks.* set to null",
    "strict_dynamic_mapping_exception": "its mapping is not the contract's: `olist sink rebuild opensearch`",
}

ANSWER = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


class Outcome(NamedTuple):
    """A document of a request, by its row in the request's frame, that did not get in."""

    row: int
    status: int
    reason: str
    kind: str = ""


def send(client: Client, alias: str, frame: pl.DataFrame, pause: Callable[[float], None] = time.sleep) -> list[Outcome]:
    """Index the frame's documents; return those that their mapping refuses, by row of the frame.

    Raises:
        ServerTrouble: the server is away, or it stayed too busy. What got in may be sent again.
        TargetRewound: the index behind the alias is gone.
        Stopped: the index takes no documents: closed, read-only.
    """
    frame = frame.with_row_index("_request_row")
    size = pl.col(LINES).str.len_bytes().cum_sum() // REQUEST_BYTES
    refused: list[Outcome] = []
    for part in frame.with_columns(size.alias("_request")).partition_by("_request"):
        refused += _send_until_done(client, alias, part, pause)
    return refused


def _send_until_done(client: Client, alias: str, part: pl.DataFrame, pause: Callable[[float], None]) -> list[Outcome]:
    refused: list[Outcome] = []
    for attempt in range(ATTEMPTS):
        left = _send_once(client, alias, part)
        for outcome in left:
            _judge(alias, outcome)
        refused += [outcome for outcome in left if outcome.status == REFUSED]
        busy = [outcome for outcome in left if outcome.status in BUSY]
        if not busy:
            return refused
        part = part.filter(pl.col("_request_row").is_in([outcome.row for outcome in busy]))
        pause(FIRST_PAUSE_S * 2**attempt)
    raise ServerTrouble(SERVER, f"{alias}: {part.height} documents found no room: {busy[0].status} {busy[0].reason}")


def _judge(alias: str, outcome: Outcome) -> None:
    """Refuse to go on where it is no single document that did not get in."""
    if outcome.status == GONE:
        raise TargetRewound(
            f"{SERVER} {alias}: the index is gone, deleted since this process opened it: {outcome.reason}"
        )
    if outcome.kind in OF_THE_INDEX and outcome.status not in BUSY:
        raise Stopped(f"{SERVER} {alias}: {outcome.status} {outcome.reason}", hint=OF_THE_INDEX[outcome.kind])
    if outcome.status != REFUSED and outcome.status not in BUSY:
        raise ServerTrouble(SERVER, f"{alias}: {outcome.status} {outcome.reason}")


def _send_once(client: Client, alias: str, part: pl.DataFrame) -> list[Outcome]:
    body: str = part[LINES].str.join("").item()
    answer = client.ask("POST", f"/{alias}/_bulk", body.encode(), filter_path=ANSWER, require_alias="true")
    if not answer["errors"]:
        return []
    rows = part["_request_row"].to_list()
    items = (item["index"] for item in answer["items"])
    return [
        Outcome(row, item["status"], _reason(item.get("error", {})), item.get("error", {}).get("type", ""))
        for row, item in zip(rows, items, strict=True)
        if item["status"] not in DONE
    ]


def _reason(error: Json) -> str:
    cause = error.get("caused_by", {}).get("reason")
    return ": ".join(filter(None, [error.get("reason"), cause])) or "no reason given"
