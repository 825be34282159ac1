"""Stacks of tests never meet at a port, whenever their servers start."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from olist.settings import Settings
from tests import port_claims
from tests.conftest import settings_on_free_ports
from tests.port_claims import ABOVE, SIZE, claimed_ports


def ports(settings: Settings) -> set[int]:
    lowest = settings.kafka_port
    return {*range(lowest, lowest + SIZE - 1), settings.opensearch_port + 100}


def test_two_stacks_share_no_port_though_nothing_listens_yet(tmp_path: Path) -> None:
    first, second = settings_on_free_ports(tmp_path / "first"), settings_on_free_ports(tmp_path / "second")
    assert first.opensearch_port + 100 == first.kafka_port + ABOVE
    assert not ports(first) & ports(second)


def test_what_another_process_claimed_is_left_to_it() -> None:
    claim = "from tests import port_claims; port_claims.os.getpid = lambda: 7; print(port_claims.claimed_ports())"
    script = f"{claim}; input()"
    root = Path(port_claims.__file__).parents[1]
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    found = {int(process.stdout.readline()) for process in started if process.stdout}
    for process in started:
        process.communicate(b"\n")
    assert len(found) == 2


def test_a_block_in_which_anybody_listens_is_passed_over() -> None:
    begin = claimed_ports()
    with socket.create_server(("127.0.0.1", begin + SIZE + 3)):
        port_claims._claims.pop().close()
        assert claimed_ports() == begin
        assert claimed_ports() != begin + SIZE
