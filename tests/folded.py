"""A Faust app run over changes in memory: the worker's own pure parts, without Kafka and with one partition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from olist.changes import Change
from olist.contracts import Contract, Row
from stream_apps.app import FaustApp
from stream_apps.faust.moved_keys import MovedKeys
from stream_apps.faust.partition_states import PartitionStates, StateUpdate
from stream_apps.faust.repartition import Route, routes

Rows = dict[tuple[Any, ...], Row]


class Folded:
    """An app's rows by table and key, as its output topics' latest records say."""

    def __init__(self, app: FaustApp[Any]) -> None:
        self.states = PartitionStates(app)
        self.rows: dict[str, Rows] = {contract.table: {} for contract in app.writes}
        self.written = 0
        self._moved_keys = MovedKeys()
        self._routes = routes(app)

    def take(self, changes: Iterable[Change]) -> Folded:
        """Changes in the order in which they arrive."""
        for change in changes:
            for route in self._routes:
                if route.input.contract.table != change.position.topic:
                    continue
                targets = [change.key]
                if route.forwarded:
                    targets, _moved = self._moved_keys.targets(route, change, 0.0)
                for values in targets:
                    here = arrived(route, values, change)
                    self._apply(self.states.apply(route.key(values), route.name, route.input, here, 0.0))
        return self

    def tick(self, clock_us: int, at_s: float = 0.0) -> Folded:
        """Let event time pass, and wall time."""
        for update in self.states.advance(clock_us, at_s):
            self._apply(update)
        return self

    def of(self, contract: Contract) -> Rows:
        """One output's rows by key."""
        return self.rows[contract.table]

    def _apply(self, update: StateUpdate) -> None:
        for contract, key, row in update.rows:
            self.written += 1
            if row is None:
                self.rows[contract.table].pop(key, None)
            else:
                self.rows[contract.table][key] = row


def arrived(route: Route, values: tuple[Any, ...], change: Change) -> Change:
    """A change as one of its keys sees it: a row that belongs to another key by now is gone from this one."""
    if change.row is None or route.values(change) == values:
        return change
    return Change("d", change.key, None, change.position, change.committed_us)
