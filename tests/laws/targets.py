"""The targets that are held to the laws. One line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from olist.batches import OP, decode_batch
from olist.contracts import Contract
from olist.positions import Positions
from olist.settings import Settings
from sinks.base import Refusal, SinkTable, factory
from tests.laws import fake, readers, removals
from tests.laws.parcels import PARTITIONS, TOPIC_ID, Taken, topic_of

Reader = Callable[[Contract, Settings], readers.Rows]
Removal = Callable[[Contract, Settings], None]


@dataclass(frozen=True)
class Target:
    """A target, and what the laws must know of it.

    `remove` takes the table away behind the sink's back, as a person would, and leaves whatever else there is of it.
    `poison` are columns of a parcel that this target refuses, where it refuses anything. `server` is the process whose
    death it must survive. A target that is not `transactional` may show staged rows before they count.
    """

    name: str
    rows: Reader
    remove: Removal
    poison: Mapping[str, Any] | None = None
    server: str | None = None
    transactional: bool = True


TARGETS: tuple[Target, ...] = (
    Target("memory", readers.memory, removals.memory, poison={"label": fake.REFUSED}),
    Target("postgres", readers.postgres, removals.postgres, poison={"label": "nul \0 inside"}, server="postgres"),
    Target(
        "opensearch",
        readers.opensearch,
        removals.opensearch,
        poison={"latitude": 90.5},
        server="opensearch",
        transactional=False,
    ),
    Target("iceberg", readers.iceberg, removals.iceberg, server="s3"),
)


@dataclass(frozen=True)
class Bench:
    """One target with its server running: makes tables and reads them back."""

    target: Target
    settings: Settings

    def connect(self, contract: Contract) -> SinkTable[Any]:
        """A table as a sink process would hold it, not yet opened."""
        if self.target.name == "memory":
            return fake.connect(contract, self.settings)
        return factory(self.target.name)(contract, self.settings)

    def opened(self, contract: Contract, partitions: frozenset[int] = frozenset(range(PARTITIONS))) -> SinkTable[Any]:
        """The same, opened and owning partitions."""
        table = self.connect(contract)
        table.open()
        table.assign(partitions)
        return table

    def remove(self, contract: Contract) -> None:
        """Take the table away behind the sink's back."""
        self.target.remove(contract, self.settings)

    def rows(self, contract: Contract) -> dict[tuple[Any, ...], dict[str, Any]]:
        """What the target holds, by key. A key that is there twice fails."""
        found = self.target.rows(contract, self.settings)
        by_key = {tuple(row[name] for name in contract.key): row for row in found}
        assert len(by_key) == len(found), "a key is there twice"
        return by_key


def start_of(contract: Contract) -> Positions:
    """Nothing read yet."""
    return Positions.start(topic_of(contract), TOPIC_ID, PARTITIONS)


def stage(table: SinkTable[Any], records: Sequence[Taken]) -> Callable[[Positions], Positions]:
    """Stage records as the runner would; the result commits them."""
    batch = decode_batch(table.contract, topic_of(table.contract), records, PARTITIONS)
    staged = table.stage(batch)
    return lambda expected: table.commit(staged, expected)


def write(table: SinkTable[Any], records: Sequence[Taken], held: Positions | None = None) -> Positions:
    """Stage and commit; the positions to start from are those that the target holds unless given."""
    return stage(table, records)(held or start_of(table.contract))


def refusals(table: SinkTable[Any], records: Sequence[Taken]) -> list[Refusal]:
    """What the target refuses of the records, which stay staged and uncommitted."""
    return list(table.stage(decode_batch(table.contract, topic_of(table.contract), records, PARTITIONS)).refused)


def latest(contract: Contract, records: Sequence[Taken]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The model: the last change of each key wins, and a delete leaves nothing."""
    held: dict[tuple[Any, ...], dict[str, Any]] = {}
    batch = decode_batch(contract, topic_of(contract), records, PARTITIONS)
    for change in batch.frame.iter_rows(named=True):
        key = tuple(change[name] for name in contract.key)
        if change[OP] == "d":
            held.pop(key, None)
        else:
            held[key] = change
    return dict(zip(held, readers.plain(contract, held.values()), strict=True))
