"""A lake table with lists of rows: written, evolved, compacted, and read back by other engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any

import pytest

from compaction.job import Environment, Job
from compaction.rewrite import Budget
from olist.batches import OFFSET, decode_batch
from olist.contracts import Contract, Int, Micros, Money, Price, Row, Str
from olist.errors import ContractRefused
from olist.lake.catalog import identifier, open_catalog
from olist.lake.table import LakeTable
from olist.positions import Positions
from tests.duckdb_lake import duckdb_with_iceberg
from tests.lakes import local_settings
from tests.laws.parcels import PARCELS, PARTITIONS, TOPIC_ID, Item, Taken, delete, parcel, topic_of, upsert, upserts
from tests.laws.readers import Rows, plain, scanned

Key = tuple[Any, ...]

DAY_US = 86_400_000_000
SENT_AT = 17_000 * DAY_US  # in 2016: times around 1970 are milliseconds that were taken for microseconds


class Lake:
    """A table on this machine's disk, and what it should hold."""

    def __init__(self, home: Path, contract: Contract) -> None:
        self.settings = local_settings(home)
        self.catalog = open_catalog(self.settings)
        self.contract = contract
        self.model: dict[Key, dict[str, Any]] = {}

    def write(self, records: Sequence[Taken]) -> None:
        """Commit records as a sink would."""
        table = LakeTable(self.catalog, self.contract)
        held = table.open() or Positions.start(topic_of(self.contract), TOPIC_ID, PARTITIONS)
        table.assign(frozenset(range(PARTITIONS)))
        batch = decode_batch(self.contract, topic_of(self.contract), records, PARTITIONS)
        table.commit(table.stage(batch.last_per_key()), held, batch.next)
        for record, row in zip(records, batch.frame.iter_rows(named=True), strict=True):
            key = tuple(row[name] for name in self.contract.key)
            self.model.pop(key, None)
            if b'"op":"d"' not in (record.value() or b""):
                self.model[key] = plain(self.contract, [row])[0]

    def compact(self, memory: int = 1 << 28) -> tuple[int, int]:
        """Rewrite; data files before and after."""
        job = Job(Environment(self.catalog, self.settings, Budget(memory, Path(gettempdir()))), self.contract)
        table = job.load()
        assert table is not None
        report = job.run(table)
        return report.before.data_files, report.after.data_files

    def by_pyiceberg(self) -> dict[Key, dict[str, Any]]:
        """By PyIceberg's scan."""
        return self._by_key(scanned(self._table(), self.contract))

    def by_duckdb(self) -> dict[Key, dict[str, Any]]:
        """By DuckDB's own reader."""
        with duckdb_with_iceberg() as duckdb:
            found = duckdb.execute("SELECT * FROM iceberg_scan(?)", [self._table().metadata_location])
            names = [column[0] for column in found.description or ()]
            return self._by_key([dict(zip(names, row, strict=True)) for row in found.fetchall()])

    def _table(self) -> Any:
        return self.catalog.load_table(identifier(self.contract.table))

    def _by_key(self, found: Rows) -> dict[Key, dict[str, Any]]:
        rows = plain(self.contract, found)
        by_key = {tuple(row[name] for name in self.contract.key): row for row in rows}
        assert len(by_key) == len(rows), "a key is there twice"
        return by_key


def items(count: int, seed: int = 0) -> list[Item]:
    """Items with nulls among their values."""
    return [
        Item(
            f"sku {seed} {n}",
            n,
            serial=2**53 + n if n % 2 else None,
            price=Decimal(seed * 100 + n).scaleb(-2) if n % 3 else None,
            weight_g=n / 3,
            packed_at=seed * 1_000_000 + n if n % 2 else None,
            words="pão" if n % 4 else None,
        )
        for n in range(count)
    ]


def filled(lake: Lake) -> None:
    """Six commits with updates and deletes, in two months, and lists of every kind."""
    for batch in range(6):
        rows = [
            parcel(f"p{n}", sent_at=SENT_AT + n % 2 * 40 * DAY_US, items=items(n % 5, batch), returned=lists(n, batch))
            for n in range(batch, batch + 12)
        ]
        lake.write(upserts(lake.contract, rows, first_offset=batch * 100))
    lake.write([delete(lake.contract, ("p5", 1), 900), delete(lake.contract, ("p6", 1), 901)])


def lists(n: int, batch: int) -> list[Item] | None:
    return None if n % 3 == 0 else items(n % 3 - 1, batch)


@pytest.mark.parametrize("sort_by", [(), ("sent_at", "parcel_id")], ids=["unsorted", "sorted"])
def test_a_compaction_carries_lists_unchanged(tmp_path: Path, sort_by: tuple[str, ...]) -> None:
    lake = Lake(tmp_path, replace(PARCELS, sort_by=sort_by))
    filled(lake)
    assert lake.by_pyiceberg() == lake.model
    before, after = lake.compact()
    assert after < before
    assert lake.by_pyiceberg() == lake.by_duckdb() == lake.model
    lake.write([upsert(lake.contract, parcel("p7", items=items(2, 9)), 950)])
    lake.compact()
    assert lake.by_pyiceberg() == lake.by_duckdb() == lake.model


def test_lists_survive_a_sort_that_spills_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "run_bytes", 500)
    lake = Lake(tmp_path, replace(PARCELS, sort_by=("sent_at", "parcel_id")))
    filled(lake)
    lake.compact()
    assert lake.by_pyiceberg() == lake.by_duckdb() == lake.model


WiderPrice = Annotated[Decimal, Money(18, 2)]


class Line(Row):
    """The first version of a row in a list."""

    what: Str
    paid: Price
    pieces: Int


class WiderLine(Row):
    """With a wider column, one that may be null, and one more."""

    what: Str | None
    paid: WiderPrice
    pieces: Int
    sent_at: Micros | None = None


class Basket(Row):
    """The first version."""

    basket_id: Str
    lines: list[Line]


class WiderBasket(Row):
    """The second, with one more list too."""

    basket_id: Str
    lines: list[WiderLine]
    returned: list[Line] | None = None


def test_old_and_new_rows_of_a_list_that_was_widened_are_compacted_together(tmp_path: Path) -> None:
    lake = Lake(tmp_path, Contract("baskets", Basket, key=("basket_id",)))
    one = Decimal("1.00")
    for n in range(4):
        lake.write(upserts(lake.contract, [Basket(f"b{n}", [Line("a", one, n), Line("b", one, n)][: n % 3])], n))
    ids = {field.name: field.field_id for field in lake._table().schema().fields}
    lake.contract = replace(lake.contract, row=WiderBasket)
    lake.model = {
        key: row | {"lines": [line | {"sent_at": None} for line in row["lines"]], "returned": None}
        for key, row in lake.model.items()
    }
    wide = WiderLine(None, Decimal("9999999999999.99"), 1, 5)
    for n in range(4, 8):
        lake.write(upserts(lake.contract, [WiderBasket(f"b{n}", [wide], [Line("c", one, n)])], n))
    assert lake.by_pyiceberg() == lake.model
    before, after = lake.compact()
    assert after < before
    assert lake.by_pyiceberg() == lake.by_duckdb() == lake.model
    assert ids.items() <= {field.name: field.field_id for field in lake._table().schema().fields}.items()


def test_a_list_whose_rows_lose_a_column_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path, Contract("baskets", WiderBasket, key=("basket_id",)))
    LakeTable(lake.catalog, lake.contract).open()
    with pytest.raises(ContractRefused, match=r"lines\[\]\.sent_at is gone"):
        LakeTable(lake.catalog, replace(lake.contract, row=Basket)).open()


def test_ids_of_flat_tables_count_their_columns(tmp_path: Path) -> None:
    lake = Lake(tmp_path, PARCELS)
    LakeTable(lake.catalog, lake.contract).open()
    fields = lake._table().schema().fields
    assert [field.field_id for field in fields] == list(range(1, len(fields) + 1))


def test_a_history_keeps_every_version_of_a_list_and_none_of_a_delete(tmp_path: Path) -> None:
    lake = Lake(tmp_path, PARCELS)
    table = LakeTable(lake.catalog, PARCELS, history=True)
    table.open()
    records = [
        upsert(PARCELS, parcel(items=items(3)), 0),
        upsert(PARCELS, parcel(items=[]), 1),
        delete(PARCELS, ("p1", 1), 2),
    ]
    batch = decode_batch(PARCELS, topic_of(PARCELS), records, PARTITIONS)
    table.commit(table.stage(batch.frame), Positions.start(topic_of(PARCELS), TOPIC_ID, PARTITIONS), batch.next)
    found = sorted(scanned(table.table, PARCELS), key=lambda row: int(row[OFFSET]))
    assert plain(PARCELS, found) == plain(PARCELS, batch.frame.iter_rows(named=True))
    assert [row["items"] is None for row in found] == [False, False, True]
