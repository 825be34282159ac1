"""One contract's index. Effectively once, ordered: a repeat changes nothing, an older change never replaces a newer.

`stage` writes the last change of each key under its version (offset + 1); when it ends, readers see them. A delete is a
small document marked ``_deleted``, which the alias hides: OpenSearch keeps the versions of really deleted documents in
memory only, so after its restart an older change could come back to life. `commit` then moves the positions.

Kill it between the two: the same changes are written again, each finds its own version there, and that is success.
A zombie may write documents too, but only such as its successor writes or has overtaken; its positions are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from olist.batches import Batch
from olist.contracts import Contract, evolve
from olist.errors import ContractRefused, ServerTrouble
from olist.positions import Positions
from olist.settings import Settings
from sinks.base import Refusal, SinkTable
from sinks.opensearch import bulk, positions
from sinks.opensearch.client import SERVER, Client, Json
from sinks.opensearch.columns import decoded
from sinks.opensearch.documents import refused_ids, with_ids, with_lines
from sinks.opensearch.mapping import alias_name, index_name, mapping, takes, template

ROW = "_row"


def connect(contract: Contract, settings: Settings) -> OpenSearchTable:
    """The contract's index in the OpenSearch of the settings, not yet opened."""
    return OpenSearchTable(contract, settings.opensearch_url)


class OpenSearchTable(SinkTable):
    """See the module for what it promises."""

    name = SERVER

    def __init__(self, contract: Contract, url: str) -> None:
        super().__init__(contract)
        self._client = Client(url)
        self._index = index_name(contract)
        self._uuid = ""

    def open(self) -> Positions | None:
        """Create or evolve the index and its template, and read its positions."""
        there = self._describe()
        if there is None:
            self._create()
            there = self._described()
        self._evolve(there)
        self._uuid = there["settings"]["index"]["uuid"]
        positions.create_index(self._client)
        return positions.read(self._client, self.contract.table, self._uuid).positions

    def _describe(self) -> Json | None:
        found = self._client.ask_unless((404,), "GET", f"/{self._index}")
        return None if found is None else found[self._index]

    def _described(self) -> Json:
        there = self._describe()
        if there is None:
            raise ServerTrouble(SERVER, f"{self._index} was deleted while it was opened")
        return there

    def _create(self) -> None:
        self._put_template()
        self._client.ask_unless((400,), "PUT", f"/{self._index}")  # 400: another process was faster

    def _put_template(self) -> None:
        self._client.ask("PUT", f"/_index_template/{alias_name(self.contract)}", template(self.contract))

    def _evolve(self, there: Json) -> None:
        where = f"{SERVER} {self._index}"
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
            self._put_template()
            self._client.ask("PUT", f"/{self._index}/_mapping", mapping(self.contract))

    def own(self, partitions: frozenset[int]) -> None:
        """Nothing to load: versions find the documents."""

    def stage(self, batch: Batch) -> Sequence[Refusal]:
        """Write the last change of each key that OpenSearch takes.

        A refused change does not hide the one before it of the same key: that one is written instead.
        """
        frame = with_ids(self.contract, batch.frame.with_row_index(ROW))
        refused = {refusal.row: refusal for refusal in refused_ids(frame)}
        while culprits := self._send(_without(frame, refused)):
            refused |= {culprit.row: culprit for culprit in culprits}
        if frame.height:  # now rather than within the index's own second; a batch comes about as often
            self._client.ask("POST", f"/{self._index}/_refresh")
        return [refused[row] for row in sorted(refused)]

    def _send(self, frame: pl.DataFrame) -> list[Refusal]:
        if not frame.height:
            return []
        last = frame.unique(subset=self.contract.key, keep="last", maintain_order=True)
        last = with_lines(self.contract, last)
        return [
            Refusal(int(last[ROW][outcome.row]), outcome.reason)
            for outcome in bulk.send(self._client, self._index, last)
        ]

    def commit(self, batch: Batch, held: Positions) -> Positions:
        """Move the positions to the next offset to read, one more than the last applied."""
        return positions.move(self._client, self.contract.table, self._uuid, batch.next, held)

    def drop(self) -> None:
        """Delete the index, its template and its positions. Cut short anywhere, the next `open` starts afresh."""
        self._client.ask_unless((404,), "DELETE", f"/{self._index}")
        self._client.ask_unless((404,), "DELETE", f"/_index_template/{alias_name(self.contract)}")
        positions.forget(self._client, self.contract.table)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def _without(frame: pl.DataFrame, refused: dict[int, Refusal]) -> pl.DataFrame:
    return frame.filter(~pl.col(ROW).is_in(list(refused))) if refused else frame
