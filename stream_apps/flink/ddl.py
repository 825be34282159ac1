"""An app as Flink SQL statements, from its contracts: pure text, no engine.

Of each contract that the app reads there is a table over the topic, as it is on the wire, and a view called as the
contract's table is: its current rows. Of the contract that it writes there is a table of keys and finished values.

Topics are read as upserts by their keys: the newest record of a key replaces the one before, so a change that comes
twice changes nothing, and no before-image is needed (Flink's own Debezium formats demand one, which PostgreSQL's
default replica identity does not give). A delete empties the view's row; the tombstone behind it frees the state.

A view holds what `olist.changes` decodes. A field that cannot be read is NULL, and a record that lacks what its
contract or the envelope demands leaves its row in no view, whatever it was before: sinks put such a record on the
dead-letter topic, and the newest change of that row is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from olist.changes import UNAVAILABLE
from olist.clients.kafka import FLINK_SHADED, JAVA_SECRETS, is_secured, java_properties, java_providers
from olist.contracts import Column, Contract, Text
from olist.settings import Settings
from stream_apps.app import FlinkApp
from stream_apps.flink_sql.envelope import COMMITTED, value_of
from stream_apps.flink_sql.text import literal, quoted, row_type, sql_type

TRANSACTION_TIMEOUT_MS = 15 * 60_000
"""How long an output transaction may stay open over an outage: Kafka's own upper limit."""


@dataclass(frozen=True)
class Names:
    """What one app, or one generation of it, is called towards Kafka."""

    id: str

    @property
    def group(self) -> str:
        """The consumer group whose offsets show how far it has read."""
        return self.id

    @property
    def transactions(self) -> str:
        """What its producers' transactional ids begin with. It stays while state is carried, which finishes them.

        A job that starts aborts every transaction whose id begins so. The colon is in no name: without it the start of
        an app would end those of another whose name goes on where its own ends, and of its own later generations.
        """
        return f"{self.id}:"


def names(settings: Settings, app: FlinkApp, generation: str = "") -> Names:
    """`<prefix>.<app>`, with the generation behind it if there is one."""
    return Names(f"{settings.topic_prefix}.{app.name}" + (f".{generation}" if generation else ""))


def statements(settings: Settings, app: FlinkApp, generation: str = "") -> list[str]:
    """What makes the tables and views, in order; `insert` follows them."""
    named = names(settings, app, generation)
    tables = [text for c in app.reads for text in (source_table(settings, c, named), view(c))]
    return [*tables, sink_table(settings, app.writes, named)]


def insert(settings: Settings, app: FlinkApp) -> str:
    """The app's SELECT on its way to its topic."""
    keys = ", ".join(quoted(name) for name in app.writes.key)
    value = value_of(app.writes, settings.topic_prefix)
    target = quoted(topic_table(app.writes))
    return f"INSERT INTO {target}\nSELECT {keys}, {value}\nFROM (\n{app.select.strip()}\n)"


def topic_table(contract: Contract) -> str:
    """The name of the table over a contract's topic; the contract's own name is the view's."""
    return f"topic_of_{contract.table}"


def source_table(settings: Settings, contract: Contract, named: Names) -> str:
    """The topic as upserts of its keys. Of the envelope only what the view needs is declared; the rest is skipped."""
    values = [f"`after` {row_type(contract.columns)}", "`op` STRING", "`source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>"]
    options = {
        **_kafka(settings, contract),
        "properties.group.id": named.group,
        "properties.isolation.level": "read_committed",
        "key.json.ignore-parse-errors": "true",
        "value.json.ignore-parse-errors": "true",
    }
    return _create_table(contract, values, options)


def view(contract: Contract) -> str:
    """The rows that are there now: every column, and when each was committed (Debezium before 2.6 has no `ts_us`)."""
    keys = set(contract.key)
    columns = [
        quoted(c.name) if c.name in keys else f"`after`.{quoted(c.name)} AS {quoted(c.name)}" for c in contract.columns
    ]
    demanded = filter(None, map(_demand, contract.columns))
    conditions = "\n  AND ".join(["`op` IN ('c', 'u', 'r')", "`source`.`ts_ms` IS NOT NULL", *demanded])
    committed = "COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000)"
    listed = ",\n  ".join([*columns, f"{committed} AS {quoted(COMMITTED)}"])
    body = f"SELECT\n  {listed}\nFROM {quoted(topic_table(contract))}\nWHERE {conditions}"
    return f"CREATE TEMPORARY VIEW {quoted(contract.table)} AS\n{body}"


def _demand(column: Column) -> str:
    """What a value of the after-image must be for its row to be there, if anything."""
    value = f"`after`.{quoted(column.name)}"
    if isinstance(column.type, Text):
        return f"{value} {'IS DISTINCT FROM' if column.nullable else '<>'} {literal(UNAVAILABLE)}"
    return "" if column.nullable else f"{value} IS NOT NULL"


def sink_table(settings: Settings, contract: Contract, named: Names) -> str:
    """The topic as finished values by key: what leaves the SELECT becomes a tombstone of its key.

    A value that is NULL would be a tombstone too. NOT NULL fails the job instead: where `_committed_us` is NULL, so is
    all of the value.
    """
    options = {
        **_kafka(settings, contract, value_format="raw"),
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": named.transactions,
        # A few ids that are used again, instead of new ones at every checkpoint that the broker must remember for days.
        "sink.transaction-naming-strategy": "POOLING",
        "properties.transaction.timeout.ms": str(TRANSACTION_TIMEOUT_MS),
        "properties.compression.type": "lz4",
    }
    return _create_table(contract, ["`value` STRING NOT NULL"], options)


def _kafka(settings: Settings, contract: Contract, value_format: str = "json") -> dict[str, str]:
    return {
        "connector": "upsert-kafka",
        "topic": contract.topic(settings.topic_prefix),
        **{f"properties.{name}": value for name, value in _client(settings).items()},
        "key.format": "json",
        "value.format": value_format,
        "value.fields-include": "EXCEPT_KEY",
    }


def _client(settings: Settings) -> dict[str, str]:
    """How the connector's own copy of Kafka's client reaches it; secrets are named, each process has them itself."""
    options = java_properties(settings, shaded=FLINK_SHADED)
    return options | java_providers(settings, JAVA_SECRETS, shaded=FLINK_SHADED) if is_secured(settings) else options


def _create_table(contract: Contract, values: list[str], options: Mapping[str, str]) -> str:
    body = ",\n  ".join([*_keys(contract), *values, f"PRIMARY KEY ({_listed(contract.key)}) NOT ENFORCED"])
    told = ",\n  ".join(f"{literal(name)} = {literal(value)}" for name, value in options.items())
    return f"CREATE TEMPORARY TABLE {quoted(topic_table(contract))} (\n  {body}\n) WITH (\n  {told}\n)"


def _keys(contract: Contract) -> Iterator[str]:
    """The key's columns in key order: so the record's key is spelt as `olist.changes` spells it."""
    return (f"{quoted(c.name)} {sql_type(c.type)} NOT NULL" for c in contract.key_columns)


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, columns))
