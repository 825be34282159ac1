"""Laws about a server that dies (SIGKILL): the sink says so, and after its restart nothing is lost or doubled."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from olist.contracts import Contract
from olist.errors import ServerTrouble
from olist.positions import Positions
from olist.stack.local import Stack
from sinks.base import SinkTable
from tests.laws.parcels import PARTITIONS, Taken, delete, parcel, upsert, upserts
from tests.laws.targets import Bench, latest, stage, write

pytestmark = pytest.mark.faults


class Victim(NamedTuple):
    """A server's process."""

    stack: Stack
    name: str

    def kill(self) -> None:
        self.stack.kill(self.name)

    def start(self) -> None:
        self.stack.start(self.name)


@pytest.fixture
def server(bench: Bench, request: pytest.FixtureRequest) -> Victim:
    """The process to kill. The stack is asked for late: a target without a server needs none."""
    if bench.target.server is None:
        pytest.skip(f"{bench.target.name} has no server")
    return Victim(request.getfixturevalue("stack"), bench.target.server)


def reopened(table: SinkTable[Any]) -> Positions | None:
    """What the runner does after trouble."""
    held = table.open()
    table.assign(frozenset(range(PARTITIONS)))
    return held


def test_a_killed_server_is_trouble_and_the_batch_is_read_again(
    bench: Bench, parcels: Contract, server: Victim
) -> None:
    table, stranger = bench.opened(parcels), bench.opened(parcels)
    first = upserts(parcels, [parcel(f"p{n}") for n in range(500)])
    second: list[Taken] = [upsert(parcels, parcel("p1", label="changed"), 500), delete(parcels, ("p2", 1), 501)]
    held = write(table, first)
    late = stage(table, second)
    server.kill()
    with pytest.raises(ServerTrouble):
        late(held)
    with pytest.raises(ServerTrouble):
        table.open()
    with pytest.raises(ServerTrouble):
        stage(stranger, second)
    stranger.close()
    server.start()
    assert reopened(table) == held
    held = write(table, second, held)
    assert bench.rows(parcels) == latest(parcels, [*first, *second])
    assert bench.connect(parcels).open() == held
