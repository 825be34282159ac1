"""The Debezium connector of the shop's PostgreSQL database, from the contracts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

from psycopg import sql

from olist.clients.shop import HEARTBEAT, PUBLICATION, SIGNAL, database_name, split_prefix
from olist.contracts import COMPACTED, Contract
from olist.errors import BadInput
from olist.settings import Settings
from olist.tables import TABLES

PASSWORD = "${env:OLIST_SHOP_PASSWORD}"  # the worker's own environment: a rendered file or the REST API never hold it
A_DAY_MS = 86_400_000
BEAT = "insert into {} (id) values ('debezium') on conflict (id) do update set beat_at = now()"

Config = dict[str, str]

WIRE: Config = {
    "decimal.handling.mode": "string",
    "time.precision.mode": "microseconds",
    "extended.headers.enabled": "false",
    # A truncate has no key, and a compacted topic takes no record without one: the task would fail for good.
    "skipped.operations": "t",
}
EXACTLY_ONCE: Config = {
    "exactly.once.support": "required",
    "transaction.boundary": "poll",
    # A killed worker's open transaction holds its successor, and every reader, back for this long.
    "producer.override.transaction.timeout.ms": "10000",
}
BOOTSTRAP: Config = {
    # An initial snapshot that is interrupted begins again from zero and repeats every row; an incremental one goes on.
    "snapshot.mode": "no_data",
    "incremental.snapshot.chunk.size": "8192",
    # Its watermarks are removed again, or the signal table would grow with every snapshot.
    "incremental.snapshot.watermarking.strategy": "insert_delete",
}
# docs/cdc.md has the figures.
SPEED: Config = {
    "max.batch.size": "16384",
    "max.queue.size": "65536",
    "poll.interval.ms": "50",
    "producer.override.linger.ms": "20",
    "producer.override.batch.size": "524288",
    "producer.override.buffer.memory": "67108864",
    "producer.override.compression.type": "lz4",
    "producer.override.max.request.size": "8388608",  # a review of 1 MB travels twice in an update's envelope
}
RECOVERY: Config = {
    "retriable.restart.connector.wait.ms": "1000",
    # A killed worker's walsender may hold the slot until PostgreSQL notices.
    "slot.max.retries": "60",
    "slot.retry.delay.ms": "1000",
}
# What the shop's URL may ask of its connections: Debezium's word for it, or None for what concerns us alone.
PARAMETERS = {
    "sslmode": "database.sslmode",
    "sslrootcert": "database.sslrootcert",
    "sslcert": "database.sslcert",
    "sslkey": "database.sslkey",
    "application_name": None,
    "connect_timeout": None,
}


def connector_name(settings: Settings) -> str:
    """One connector per topic prefix."""
    name, _schema = split_prefix(settings.topic_prefix)
    return f"{name}-shop"


def slot_name(settings: Settings) -> str:
    """Slots belong to the whole server, so the connector's name is in theirs."""
    return re.sub(r"[^a-z0-9_]", "_", connector_name(settings).lower())


def render(settings: Settings, contracts: Iterable[Contract] = TABLES.values()) -> Config:
    """The whole configuration, keys sorted within their groups, every value a text as Connect wants it."""
    contracts = tuple(contracts)
    return {
        "name": connector_name(settings),
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        **_source(settings),
        **_tables(settings, contracts),
        **WIRE,
        **EXACTLY_ONCE,
        **BOOTSTRAP,
        **SPEED,
        **RECOVERY,
        **_topics(settings, contracts),
    }


def _source(settings: Settings) -> Config:
    where = urlsplit(settings.shop_url)
    return {
        "database.hostname": where.hostname or "127.0.0.1",
        "database.port": str(where.port or 5432),
        "database.user": unquote(where.username or "olist"),
        "database.password": PASSWORD,
        "database.dbname": database_name(settings),
        **_parameters(where.query),
        "plugin.name": "pgoutput",
        "slot.name": slot_name(settings),
        "publication.name": PUBLICATION,
        # Debezium makes the publication where it is missing; `connect.initial_snapshot` lists the tables in it.
        "publication.autocreate.mode": "filtered",
    }


def _parameters(query: str) -> Config:
    given = dict(parse_qsl(query.replace("+", "%2B")))  # to libpq a plus is a plus
    if unknown := sorted(given.keys() - PARAMETERS.keys()):
        raise BadInput(
            f"OLIST_SHOP: the connector has no setting for {', '.join(unknown)}",
            hint=f"what may follow the URL's `?`: {', '.join(PARAMETERS)}",
        )
    return {carried: value for name, value in given.items() if (carried := PARAMETERS[name])}


def _tables(settings: Settings, contracts: Iterable[Contract]) -> Config:
    name, schema = split_prefix(settings.topic_prefix)
    beat = sql.SQL(BEAT).format(sql.Identifier(schema, HEARTBEAT)).as_string()
    tables = [*(contract.table for contract in contracts), HEARTBEAT]
    return {
        "topic.prefix": name,
        "table.include.list": ",".join(re.escape(f"{schema}.{table}") for table in tables),
        "signal.data.collection": f"{schema}.{SIGNAL}",
        # The heartbeat's row is itself captured: else the slot stands still, and WAL piles up, while other databases
        # of the server write and this one is quiet.
        "heartbeat.interval.ms": "10000",
        "heartbeat.action.query": beat,
    }


def _topics(settings: Settings, contracts: Iterable[Contract]) -> Config:
    """Topics as `olist.topics.admin.ensure_topics` would make them; only the connector's own ones are short-lived."""
    special = [contract for contract in contracts if contract.topic_config != COMPACTED]
    groups = ["meta", *(contract.table for contract in special)]
    made = _group("default", settings.partitions, COMPACTED)
    made |= {"topic.creation.groups": ",".join(groups)}
    made |= {"topic.creation.meta.include": rf"__debezium-heartbeat\..*,.*\.({HEARTBEAT}|{SIGNAL})"}
    made |= _group("meta", 1, {"cleanup.policy": "delete", "retention.ms": str(A_DAY_MS)})
    for contract in special:
        made |= {f"topic.creation.{contract.table}.include": re.escape(contract.topic(settings.topic_prefix))}
        made |= _group(contract.table, settings.partitions, contract.topic_config)
    return made


def _group(name: str, partitions: int, config: Config) -> Config:
    """-1: as many replicas as the brokers' default says."""
    values = {"partitions": str(partitions), "replication.factor": "-1", **config}
    return {f"topic.creation.{name}.{key}": value for key, value in values.items()}
