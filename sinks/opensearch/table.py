"""One contract's index. Effectively once, ordered: a repeat changes nothing, an older change never replaces a newer.

`stage` writes the last change of each key under its version (offset + 1); when it ends, readers see them. A delete is a
small document marked ``_deleted``, which the alias hides: OpenSearch keeps the versions of really deleted documents in
memory only, so after its restart an older change could come back to life. `commit` then moves the positions.

Documents are sent to an alias that only this index has, so no request ever makes an index; `commit` first looks
whether the index is still the one that was opened. Positions of another one (deleted and made again) count for nothing
where the index is empty: the topic is read from its beginning. An index with documents that its positions do not speak
of, as a restored one is, is refused: reading again would not remove the rows that were deleted since.

Kill it between the two: the same changes are written again, each finds its own version there, and that is success.
A zombie may write documents too, but only such as its successor writes or has overtaken; its positions are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import structlog

from olist.batches import Batch
from olist.contracts import Contract, evolve
from olist.errors import BadInput, ContractRefused, PositionRefused, ServerTrouble, Stopped, TargetRewound
from olist.positions import Positions
from olist.settings import Settings
from sinks.base import Refusal, SinkTable, Staged
from sinks.latest_accepted import ROW, send_latest
from sinks.opensearch import positions
from sinks.opensearch.client import SERVER, Client, Json
from sinks.opensearch.documents import refused_ids, send, with_ids, with_lines
from sinks.opensearch.mapping import (
    alias_name,
    aliases,
    decoded,
    deleted_below,
    deviations,
    index_body,
    index_name,
    mapping,
    takes,
    write_alias_name,
)

log = structlog.get_logger()

IDENTITY = "error,*.aliases,*.settings.index.uuid,*.settings.index.history.uuid,*.settings.index.hidden"


def connect(contract: Contract, settings: Settings) -> OpenSearchTable:
    """The contract's index in the OpenSearch of the settings, not yet opened."""
    return OpenSearchTable(contract, settings)


@dataclass(frozen=True, eq=False)
class OpenedIndex:
    """The index as one `open` found it; whatever is staged until the next goes there."""

    identity: str


class OpenSearchTable(SinkTable[OpenedIndex]):
    """See the module for what it promises."""

    name = SERVER

    def __init__(self, contract: Contract, settings: Settings) -> None:
        super().__init__(contract)
        self._client = Client(settings)
        self._index = index_name(contract)
        self._alias = write_alias_name(contract)
        self._opened = OpenedIndex("")

    @property
    def where(self) -> str:
        """The index in messages."""
        return f"{SERVER} {self._index}"

    def open(self) -> Positions | None:
        """Create or evolve the index, and read its positions."""
        there = self._describe() or self._created()
        self._evolve(there)
        self._settle(there)
        self._opened = OpenedIndex(positions.identity(there["settings"]))
        positions.create_index(self._client)
        return self._judged_positions()

    def _describe(self, **parameters: Any) -> Json | None:
        found = self._client.ask_unless((404,), "GET", f"/{self._index}", **parameters)
        if found is None or self._index in found:
            return found and found[self._index]
        raise Stopped(f"{self.where}: the name is an alias of {', '.join(found)}", hint="remove the alias")

    def _created(self) -> Json:
        """Make the index, and look at what came out.

        Raises:
            ContractRefused: it is not what was asked for.
        """
        body = index_body(self.contract)
        # An older version's template; a stale one would add its fields.
        self._client.ask_unless((404,), "DELETE", f"/_index_template/{alias_name(self.contract)}")
        self._client.create(self._index, body)
        there = self._describe()
        if there is None:
            raise ServerTrouble(SERVER, f"{self._index} was deleted in the moment in which it was made")
        if off := deviations(body, there):
            raise ContractRefused(
                f"{self.where} came out otherwise than it was asked for: {'; '.join(off)}",
                hint="look at the index templates that match it: GET /_index_template",
            )
        return there

    def _settle(self, there: Json) -> None:
        """Put back what readers and writers go by. An alias that somebody gave to another index is left there."""
        wanted, alias = aliases(self.contract), alias_name(self.contract)
        if alias not in there["aliases"]:
            elsewhere = self._client.ask_unless((404,), "GET", f"/_alias/{alias}")
            if elsewhere:
                log.warning("alias elsewhere", alias=alias, indexes=sorted(elsewhere), written=self._index)
                del wanted[alias]
        positions.settle(self._client, self._index, there, wanted)

    def _judged_positions(self) -> Positions | None:
        """The positions, if they speak of this index.

        Raises:
            PositionRefused: they speak of another, and this one is not empty.
        """
        table = self.contract.table
        stands = positions.read(self._client, table, self._opened.identity)
        if not stands.of_another:
            return stands.positions
        self._client.ask("POST", f"/{self._index}/_refresh")
        if self._client.ask("GET", f"/{self._index}/_count")["count"]:
            raise PositionRefused(
                f"{self.where}: its documents are not those that its positions speak of; it was restored, or made and "
                "filled by somebody else",
                hint=f"`olist sink rebuild opensearch --tables {table}` deletes it and reads the topic anew",
            )
        log.warning("reading again", table=self.where, reason="the index is new, its positions are of another")
        positions.forget(self._client, table)
        return None

    def _evolve(self, there: Json) -> None:
        where = self.where
        key, columns = decoded(where, there["mappings"].get("_meta", {}))
        if key != self.contract.key:
            raise ContractRefused(
                f"{where}: the key there is ({', '.join(key)}), the contract's is ({', '.join(self.contract.key)})",
                hint=f"`olist sink rebuild opensearch --tables {self.contract.table}` reads the topic into a new index",
            )
        evolution = evolve(where, columns, self.contract.columns)
        was = {column.name: column for column in columns}
        if remapped := [c.name for c in evolution.widened if not takes(was[c.name], c)]:
            raise ContractRefused(
                f"{where}: {', '.join(remapped)} would be indexed in another way, which only a new index can",
                hint=f"`olist sink rebuild opensearch --tables {self.contract.table}`",
            )
        if columns != self.contract.columns:
            self._client.ask("PUT", f"/{self._index}/_mapping", mapping(self.contract))

    def assign(self, partitions: frozenset[int]) -> None:
        """Nothing to load: versions find the documents."""

    def stage(self, batch: Batch) -> Staged[OpenedIndex]:
        """Write the last change of each key that OpenSearch takes.

        A refused change does not hide the one before it of the same key: that one is written instead.
        """
        frame = with_ids(self.contract, batch.frame.with_row_index(ROW))
        # A change sent in vain, or for a trial, finds its successor's version there: both may be one call.
        refused = send_latest(frame, self.contract.key, refused_ids(frame), send=self._send, probe=self._send)
        if refused:
            self._expect_same_index()  # else it is the index that refuses, and not its mapping
        if frame.height:  # now rather than within the index's own second; a batch comes about as often
            self._client.ask_unless((404,), "POST", f"/{self._index}/_refresh")  # 404: `commit` says it
        return Staged(batch, self._opened, [refused[row] for row in sorted(refused)])

    def _send(self, rows: pl.DataFrame) -> list[Refusal]:
        if not rows.height:
            return []
        made = with_lines(self.contract, rows)
        return [
            Refusal(int(made[ROW][outcome.row]), outcome.reason) for outcome in send(self._client, self._alias, made)
        ]

    def commit(self, staged: Staged[OpenedIndex], expected: Positions) -> Positions:
        """Move the positions to the next offset to read, one more than the last applied."""
        if staged.prepared is not self._opened:
            raise self.outdated()
        self._expect_same_index()
        identity = self._opened.identity
        return positions.move(self._client, self.contract.table, identity, staged.batch.next, expected)

    def _expect_same_index(self) -> None:
        """Refuse to go on when documents have gone elsewhere than into the index that was opened.

        Raises:
            TargetRewound: it is another index now, or none; or its write alias was taken from it.
        """
        there = self._describe(filter_path=IDENTITY)
        if there is None:
            raise TargetRewound(f"{self.where}: deleted since this process opened it")
        if positions.identity(there["settings"]) != self._opened.identity:
            raise TargetRewound(f"{self.where}: deleted and made again, or restored, since this process opened it")
        if not there.get("aliases", {}).get(self._alias, {}).get("is_write_index"):
            raise TargetRewound(f"{self.where}: its alias {self._alias} was removed since this process opened it")

    def purge_deleted(self, positions: Positions, keep: int = 1_000_000) -> int:
        """Remove the documents of rows that were deleted long ago; return how many went.

        Such a document guards its key against older changes that come late, for `keep` offsets of its partition below
        the positions. It must not go sooner: OpenSearch's own tombstone takes the version after the document's, which
        could be that of the key's next change.

        Raises:
            BadInput: `keep` is below 1.
        """
        if keep < 1:
            raise BadInput(f"keep is {keep}; at least 1 offset must lie between a purged delete and the position")
        query = deleted_below({partition: offset - keep for partition, offset in positions.next.items()})
        path = f"/{self._index}/_delete_by_query"
        return int(self._client.ask("POST", path, {"query": query}, conflicts="proceed", refresh="true")["deleted"])

    def drop(self) -> None:
        """Delete the index, its template and its positions. Cut short anywhere, the next `open` starts afresh."""
        self._client.ask_unless((404,), "DELETE", f"/{self._index}")
        self._client.ask_unless((404,), "DELETE", f"/_index_template/{alias_name(self.contract)}")
        positions.forget(self._client, self.contract.table)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
