"""Positions in OpenSearch: one document per table, moved by compare-and-set on its sequence number.

The document names the index whose rows it speaks of by the index's identity, its uuid and, where it was restored from a
snapshot, the uuid of its history. Positions of another index (deleted by hand and made again, restored) speak of other
rows.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from olist.errors import ServerTrouble, TargetRewound
from olist.positions import Positions
from sinks.opensearch.client import SERVER, Client, Json
from sinks.opensearch.mapping import SETTINGS, WRITTEN_TO

INDEX = "olist-sink-positions"
WRITE_ALIAS = f"{INDEX}-write"
BODY: Json = {
    "settings": {"index": SETTINGS},
    "mappings": {"dynamic": False},
    "aliases": {WRITE_ALIAS: WRITTEN_TO},
}
ATTEMPTS = 30  # two processes that own different partitions meet at one document; each loss is another's progress


class Stored(NamedTuple):
    """Positions as they stand, and what a compare-and-set must name to replace their document.

    `of_another` says that there are some, and that they speak of another index.
    """

    positions: Positions | None
    condition: Json
    of_another: bool = False


def identity(settings: Json) -> str:
    """An index's identity out of its settings. A restore into a closed index keeps its uuid, but begins a history."""
    index = settings["index"]
    return "/".join(filter(None, [index["uuid"], index.get("history", {}).get("uuid")]))


def create_index(client: Client) -> None:
    """Make the index of the positions where it is missing; give one of an older version its alias, and hide it."""
    there = client.ask_unless((404,), "GET", f"/{INDEX}")
    if there is None:
        client.create(INDEX, BODY)
    else:
        settle(client, INDEX, there[INDEX], BODY["aliases"])


def settle(client: Client, index: str, there: Json, aliases: Json) -> None:
    """Hide an index and give it its aliases, where either is missing."""
    if there["settings"]["index"].get("hidden") != "true":
        client.ask("PUT", f"/{index}/_settings", {"index": {"hidden": True}})
    for alias, wanted in aliases.items():
        if there["aliases"].get(alias) != wanted:
            client.ask("PUT", f"/{index}/_alias/{alias}", wanted)


def read(client: Client, table: str, index: str) -> Stored:
    """The positions of the index of that identity, read from the primary and never from a stale searcher."""
    found = client.ask_unless((404,), "GET", f"/{INDEX}/_doc/{table}", realtime="true")
    if found is None:
        return Stored(None, {"op_type": "create"})
    condition = {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]}
    document = found["_source"]
    if document["index"] != index:
        return Stored(None, condition, of_another=True)
    return Stored(msgspec.convert(document["positions"], Positions, str_keys=True), condition)


def move(client: Client, table: str, index: str, to: dict[int, int], expected: Positions) -> Positions:
    """Move some partitions' next offsets from where this process started; return all positions as they now stand.

    Raises:
        Fenced: they stand elsewhere, or speak of another topic (`TargetRewound`: further back, or their index is gone).
        ServerTrouble: no answer; whether they moved is for the next `read` to find out.
    """
    where = f"{SERVER} {table}"
    for _ in range(ATTEMPTS):
        there, condition, _ = read(client, table, index)
        there = there or Positions(expected.topic, expected.topic_id, dict.fromkeys(expected.next, 0))
        there.expect_topic(where, expected)
        there.expect(where, expected.of(to))
        moved = there.advanced(to)
        document = {"index": index, "positions": msgspec.to_builtins(moved, str_keys=True)}
        path = f"/{WRITE_ALIAS}/_doc/{table}"
        answer = client.ask("PUT", path, document, expected=(404, 409), require_alias="true", **condition)
        if "error" not in answer:
            return moved
        if answer["status"] == 404:
            raise TargetRewound(f"{where}: {INDEX} was deleted since this process opened the table; nothing was moved")
    raise ServerTrouble(SERVER, f"{table}: its positions were moved by others {ATTEMPTS} times in a row")


def forget(client: Client, table: str) -> None:
    """Remove the table's positions."""
    client.ask_unless((404,), "DELETE", f"/{INDEX}/_doc/{table}")
