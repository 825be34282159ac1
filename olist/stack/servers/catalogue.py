"""Every server of this machine. A new one is its file and its line here."""

from __future__ import annotations

from collections.abc import Iterable

from olist.errors import BadInput
from olist.settings import Settings
from olist.stack.servers.connect import Connect
from olist.stack.servers.flink import JobManager, TaskManager
from olist.stack.servers.kafka import Kafka
from olist.stack.servers.opensearch import OpenSearch
from olist.stack.servers.postgres import Postgres
from olist.stack.servers.s3 import S3
from olist.stack.servers.server import Server

SERVERS: tuple[type[Server], ...] = (Kafka, Postgres, S3, OpenSearch, Connect, JobManager, TaskManager)
USUAL: tuple[str, ...] = tuple(kind.name for kind in SERVERS if not kind.on_request)


def servers(settings: Settings, only: Iterable[str] | None = None) -> dict[str, Server]:
    """The named servers, or all, by name.

    Raises:
        BadInput: an unknown name.
    """
    known = {kind.name: kind for kind in SERVERS}
    names = list(known) if only is None else list(only)
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"no such server: {', '.join(unknown)}", hint=f"the servers are {', '.join(known)}")
    return {name: known[name](settings) for name in known if name in names}
