"""What a table contract is: columns, key, money, partitioning, topic, targets.

A table is a `Row` whose annotations say everything about its columns; a `Contract` adds what annotations cannot: the
key, how the lake partitions and sorts it, which targets take it. Every target derives its schema from the contract in
its own module. The row is also the decoder: msgspec decodes JSON straight into it and refuses what does not fit.

A column may be a list of rows, one level deep::

    class DocumentItem(Row):
        product_id: Str
        price: Price

    class OrderDocument(Row):
        order_id: Str
        items: list[DocumentItem]  # may be empty; null only with ``| None``
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from olist.errors import ContractRefused

MICROS_PER_SECOND = 1_000_000
FIRST_MICROS = -62_135_596_800 * MICROS_PER_SECOND  # 0001-01-01
# The year 2100 in milliseconds; as microseconds, 17 February 1970.
MILLIS_UNTIL_2100 = 4_102_444_800_000
LAST_MICROS = 253_402_300_800 * MICROS_PER_SECOND - 1  # 9999-12-31


@dataclass(frozen=True)
class Text:
    """A string. `language` asks the search index for that language's analyser as well."""

    language: str | None = None


@dataclass(frozen=True)
class Integer:
    """A signed integer of 32 or 64 bits."""

    bits: Literal[32, 64] = 32


@dataclass(frozen=True)
class Float:
    """An IEEE double."""


@dataclass(frozen=True)
class Money:
    """An exact decimal; on the wire a string, never a float."""

    precision: int
    scale: int


@dataclass(frozen=True)
class Timestamp:
    """Local time without a zone; on the wire int64 microseconds since 1970 (Debezium's ``microseconds`` mode).

    A time within seven weeks of 1 January 1970 is taken for milliseconds and refused, unless the column is `Near1970`.
    """


@dataclass(frozen=True)
class Near1970:
    """Beside `Timestamp`: the column may hold times within seven weeks of 1 January 1970."""


@dataclass(frozen=True)
class ListOf:
    """A list, perhaps empty, of flat rows with these columns; none of the rows is null. On the wire an array.

    Written as ``list[SomeRow]``.
    """

    columns: tuple[Column, ...]

    def __str__(self) -> str:
        return f"list of ({', '.join(map(str, self.columns))})"


Type = Text | Integer | Float | Money | Timestamp | ListOf

# A topic that is the truth about its keys. Tombstones stay for ten years, not for Kafka's day: a sink that was away
# longer than they stay would never see a delete.
COMPACTED = {"cleanup.policy": "compact", "delete.retention.ms": str(10 * 365 * 86_400_000)}

# A history is to hold every change, but compaction leaves only a key's last. So the topic of a contract with a history
# keeps all changes for as long as its sink may be away.
COMPACTION_LAG = "min.compaction.lag.ms"
HISTORY_LAG_MS = 7 * 86_400_000

# What a row's annotations are written with. Bounds are msgspec's to check, in C, while it decodes.
Str = Annotated[str, Text()]
Portuguese = Annotated[str, Text("pt")]
Int = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1), Integer(32)]
Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1), Integer(64)]
Double = Annotated[float, Float()]
Price = Annotated[Decimal, Money(12, 2)]
Micros = Annotated[int, msgspec.Meta(ge=FIRST_MICROS, le=LAST_MICROS), Timestamp()]


class Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Base of every table's row. A field the contract does not know is refused, so that it can be counted and shown."""


@dataclass(frozen=True)
class Column:
    """One column: its name, type, and whether null is allowed."""

    name: str
    type: Type
    nullable: bool
    near_1970: bool = field(default=False, compare=False, repr=False)  # of the records, and no matter of a target's

    def __str__(self) -> str:
        return f"{self.name} {self.type}{'' if self.nullable else ' not null'}"

    def problem(self, value: object) -> str:
        """Why this column cannot hold a decoded value exactly, or nothing. Decimals only: types say the rest."""
        if isinstance(self.type, ListOf) and isinstance(value, list):
            return next(self._problems_inside(self.type, value), "")
        if not isinstance(self.type, Money) or not isinstance(value, Decimal):
            return ""
        if not value.is_finite():
            return f"{self.name} is {value}, not a number"
        whole_digits = self.type.precision - self.type.scale
        if abs(value) >= 10**whole_digits:  # first: quantize would overflow
            return f"{self.name} is {value}: more than {whole_digits} digits before the point"
        exact = value == value.quantize(Decimal(1).scaleb(-self.type.scale))
        return "" if exact else f"{self.name} is {value}: more than {self.type.scale} decimals"

    def _problems_inside(self, kind: ListOf, rows: list[Row]) -> Iterator[str]:
        for at, row in enumerate(rows):
            for column in kind.columns:
                if problem := column.problem(getattr(row, column.name)):
                    yield inside(self.name, at, problem)


def inside(name: str, at: int, problem: str) -> str:
    """What is wrong with a column of row `at` of a list."""
    return f"{name}[{at}].{problem}"


@dataclass(frozen=True)
class Month:
    """Lake partitioning by the month of a timestamp column."""

    column: str


@dataclass(frozen=True)
class GeoPoint:
    """Two float columns that a search index takes as one point."""

    name: str
    latitude: str
    longitude: str


Target = Literal["iceberg", "postgres", "opensearch"]
ALL_TARGETS: tuple[Target, ...] = ("iceberg", "postgres", "opensearch")


@dataclass(frozen=True, eq=False)
class Contract:
    """One table: what the sinks, the replayer, the connectors and the apps agree on."""

    table: str
    row: type[Row]
    key: tuple[str, ...]
    event_time: str | None = None  # the column that says which day a row belongs to, for checks and dashboards
    partition_by: Month | None = None
    sort_by: tuple[str, ...] = ()
    history: bool = False  # the lake also keeps every change, in <table>_changes; the topic keeps them for a while
    geo: GeoPoint | None = None
    targets: tuple[Target, ...] = ALL_TARGETS
    topic_config: dict[str, str] = field(default_factory=lambda: dict(COMPACTED))

    def __post_init__(self) -> None:
        if self.history and "compact" in self.topic_config.get("cleanup.policy", ""):
            lagging = {COMPACTION_LAG: str(HISTORY_LAG_MS)} | self.topic_config
            object.__setattr__(self, "topic_config", lagging)  # frozen
        names = {column.name for column in self.columns}
        named = {*self.key, *self.sort_by, *filter(None, [self.event_time])}
        if self.partition_by:
            named.add(self.partition_by.column)
        if unknown := named - names:
            raise ContractRefused(f"contract {self.table}: no such column: {', '.join(sorted(unknown))}")
        if nullable := [c.name for c in self.columns if c.name in self.key and c.nullable]:
            raise ContractRefused(f"contract {self.table}: a key column cannot be null: {', '.join(nullable)}")
        if lists := [c.name for c in self.columns if c.name in named and isinstance(c.type, ListOf)]:
            raise ContractRefused(
                f"contract {self.table}: neither key nor order nor time can be a list: {', '.join(lists)}"
            )

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns in declared order."""
        return columns_of(self.row)

    @cached_property
    def key_columns(self) -> tuple[Column, ...]:
        """The key's columns in key order."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.key)

    @property
    def compaction_lag_ms(self) -> int:
        """For how long at least the topic keeps every change, in milliseconds; 0 where nothing is said."""
        return int(self.topic_config.get(COMPACTION_LAG, 0))

    def topic(self, prefix: str) -> str:
        """The topic of this table: ``<prefix>.<table>``."""
        return f"{prefix}.{self.table}"


def columns_of(row: type[Row]) -> tuple[Column, ...]:
    """The columns of a row, in declared order."""
    hints = get_type_hints(row, include_extras=True)
    return tuple(_column(f.name, hints[f.name]) for f in msgspec.structs.fields(row))


def _column(name: str, hint: Any) -> Column:
    """Read one annotation: ``Annotated[T, ..., Type]``, ``list[SomeRow]``, or one of them ``| None``."""
    nullable = False
    if get_origin(hint) in (Union, UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        nullable = len(options) < len(get_args(hint))
        (hint,) = options
    if get_origin(hint) is list:
        return Column(name, _list_of(name, *get_args(hint)), nullable)
    extras = get_args(hint)[1:]
    for extra in extras:
        if isinstance(extra, Type):
            return Column(name, extra, nullable, near_1970=Near1970() in extras)
    raise TypeError(f"column {name}: {hint!r} carries no contract type; annotate it with one of olist.contracts")


def _list_of(name: str, row: Any) -> ListOf:
    if not (isinstance(row, type) and issubclass(row, Row)):
        raise ContractRefused(f"column {name}: a list of {row!r}", hint="a list's elements are rows: list[SomeRow]")
    columns = columns_of(row)
    if not columns:
        raise ContractRefused(f"column {name}: {row.__name__} has no columns")
    if deeper := [column.name for column in columns if isinstance(column.type, ListOf)]:
        raise ContractRefused(
            f"column {name}: {row.__name__} holds lists itself ({', '.join(deeper)})",
            hint="lists go one level deep: give the inner one a table of its own",
        )
    return ListOf(columns)


def widens(old: Type, new: Type) -> bool:
    """Whether every value of `old` is a value of `new`, so that a target may change its column in place."""
    match old, new:
        case Integer(bits=a), Integer(bits=b):
            return a <= b
        case Money(precision=p, scale=s), Money(precision=q, scale=t):
            return s == t and p <= q
        case Text(), Text():
            return True
        case ListOf(), ListOf():
            return not _problems_of_lists(old, new)
        case _:
            return old == new


@dataclass(frozen=True)
class Evolution:
    """What a target must do to take the contract: columns to add, to widen, to let be null."""

    added: tuple[Column, ...] = ()
    widened: tuple[Column, ...] = ()
    loosened: tuple[Column, ...] = ()


def evolve(where: str, old: tuple[Column, ...], new: tuple[Column, ...]) -> Evolution:
    """Compare a target's columns with the contract's.

    Raises:
        ContractRefused: the change is not an added optional column or a widening; both versions are in the message.
    """
    have = {column.name: column for column in old}
    shared = [(have[column.name], column) for column in new if column.name in have]
    problems = _problems(old, new)
    if problems:
        versions = f"  there now: {'; '.join(map(str, old))}\n  contract:  {'; '.join(map(str, new))}"
        raise ContractRefused(
            f"{where}: {', '.join(problems)}\n{versions}",
            hint="make the new column optional, or rebuild the target from the topic",
        )
    added = tuple(column for column in new if column.name not in have)
    widened = tuple(n for o, n in shared if not widens(n.type, o.type))
    return Evolution(added, widened, tuple(n for o, n in shared if n.nullable and not o.nullable))


def _problems(old: tuple[Column, ...], new: tuple[Column, ...]) -> list[str]:
    """Why columns cannot become the new ones in place."""
    have = {column.name: column for column in old}
    want = {column.name: column for column in new}
    shared = [(have[name], column) for name, column in want.items() if name in have]
    problems = [f"{name} is gone from the contract" for name in have if name not in want]
    problems += [f"{c.name} is new and not optional" for c in new if c.name not in have and not c.nullable]
    problems += [f"{n.name} may no longer be null" for o, n in shared if o.nullable and not n.nullable]
    for o, n in shared:
        if isinstance(o.type, ListOf) and isinstance(n.type, ListOf):
            problems += [f"{n.name}[].{problem}" for problem in _problems_of_lists(o.type, n.type)]
        elif not widens(o.type, n.type):
            problems.append(f"{n.name} was {o.type}, is now {n.type}")
    return problems


def _problems_of_lists(old: ListOf, new: ListOf) -> list[str]:
    """The same of the rows in a list. Their columns also keep their places: every target lays them out in order."""
    problems = _problems(old.columns, new.columns)
    moved = (n.name for o, n in zip(old.columns, new.columns, strict=False) if o.name != n.name)
    return problems or [f"{name} stands where another column was; new ones come last" for name in islice(moved, 1)]
