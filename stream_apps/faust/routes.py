"""Which records reach their key where they are, and which are forwarded to it.

All that concerns one key must meet in one partition. An input whose `by` is its contract's own key is there already:
the source has put it where the key's JSON hashes to. Any other input is forwarded to the partition where the JSON of
its `by` values hashes to, so both meet, as long as the columns have the same names. Where inputs of one space name
their columns differently, the first one's names are everyone's, and the others are forwarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from olist.changes import Change, codec, java_escapes
from olist.contracts import Contract, Row
from olist.errors import BadInput
from olist.partitioner import partition_of
from stream_apps.app import FaustApp, Input, Key

_KEYS = msgspec.json.Decoder(tuple[str, ...])


def key_bytes(key: Key) -> bytes:
    """A state's key on a topic: a JSON list, unlike any table's key."""
    return msgspec.json.encode(key)


def key_from(encoded: bytes) -> Key:
    """The inverse of `key_bytes`."""
    return _KEYS.decode(encoded)


@dataclass(frozen=True)
class Route:
    """How one input's records come to their keys."""

    input: Input
    names: tuple[str, ...]  # what the space calls the columns of `by`
    forwarded: bool

    @cached_property
    def name(self) -> str:
        """Tells this input from an app's others, whatever their order is in the next version."""
        return "/".join((self.input.space, self.input.contract.table, *self.input.by))

    @cached_property
    def in_key(self) -> tuple[int, ...] | None:
        """Where the contract's key holds the columns of `by`; None when only the row does."""
        columns = self.input.contract.key
        return tuple(columns.index(name) for name in self.input.by) if set(self.input.by) <= set(columns) else None

    def values(self, change: Change) -> tuple[Any, ...] | None:
        """The values of `by`; None for a delete that does not tell them, or where one of them is null."""
        if self.in_key is not None:
            return tuple(change.key[at] for at in self.in_key)
        return None if change.row is None else self.values_of_row(change.row)

    def values_of_row(self, row: Row) -> tuple[Any, ...] | None:
        """The values of `by`, from a row; None where one of them is null: such a row belongs to no key."""
        values = tuple(getattr(row, name) for name in self.input.by)
        return None if None in values else values

    def key(self, values: tuple[Any, ...]) -> Key:
        """The state's key."""
        return (self.input.space, *map(str, values))

    def partition(self, values: tuple[Any, ...], partitions: int) -> int:
        """Where the key's state is."""
        named = dict(zip(self.names, values, strict=True))
        return partition_of(java_escapes(codec(self.input.contract).encoder.encode(named)), partitions)


def routes(app: FaustApp[Any]) -> tuple[Route, ...]:
    """One route per input, in the app's order.

    Raises:
        BadInput: two inputs alike, a `by` that names no column, or a space that is the worker's own.
    """
    names: dict[str, tuple[str, ...]] = {}
    found: dict[str, Route] = {}
    for given in app.reads:
        _check(app, given)
        canonical = names.setdefault(given.space, given.by)
        if len(canonical) != len(given.by):
            raise BadInput(f"{app.name}: inputs of space {given.space!r} have keys of unlike length")
        route = Route(given, canonical, forwarded=given.by != given.contract.key or canonical != given.by)
        if route.name in found:
            raise BadInput(f"{app.name}: reads {given.contract.table} by {given.by} twice", hint="give it a space")
        found[route.name] = route
    return tuple(found.values())


def _check(app: FaustApp[Any], given: Input) -> None:
    unknown = set(given.by) - {column.name for column in given.contract.columns}
    if not given.by or unknown:
        raise BadInput(f"{app.name}: {given.contract.table} cannot be read by {sorted(unknown) or 'nothing'}")
    if given.space.startswith("@"):
        raise BadInput(f"{app.name}: space {given.space!r} is the worker's own", hint="begin it with a letter")


def tables_read(app: FaustApp[Any]) -> tuple[Contract, ...]:
    """The contracts an app reads, each once."""
    return tuple({given.contract.table: given.contract for given in app.reads}.values())
