"""The Debezium connector of a MongoDB that holds the reviews. Pure; see docs/cdc.md for where it can be run."""

from __future__ import annotations

from connect.postgres import EXACTLY_ONCE, SPEED, Config
from olist.contracts import COMPACTED, Contract
from olist.settings import Settings
from olist.shop import split_prefix
from olist.tables import ORDER_REVIEWS

URL = "${env:OLIST_MONGODB}"  # it holds the password, so the worker alone knows it


def connector_name(settings: Settings) -> str:
    """One connector per topic prefix."""
    name, _schema = split_prefix(settings.topic_prefix)
    return f"{name}-documents"


def render(settings: Settings, contract: Contract = ORDER_REVIEWS) -> Config:
    """Change streams with the whole document after each update, by lookup: a change stream tells changed fields only.

    The database is called like the shop's schema, so that Debezium gives the topic a name of the same form.
    """
    name, schema = split_prefix(settings.topic_prefix)
    topics = {"partitions": str(settings.partitions), "replication.factor": "-1", **COMPACTED}
    return {
        "name": connector_name(settings),
        "connector.class": "io.debezium.connector.mongodb.MongoDbConnector",
        "tasks.max": "1",
        "mongodb.connection.string": URL,
        "topic.prefix": f"{name}.documents",
        "database.include.list": schema,
        "collection.include.list": rf"{schema}\.{contract.table}",
        "capture.mode": "change_streams_update_full",
        "capture.mode.full.update.type": "lookup",
        "capture.scope": "database",
        "capture.target": schema,
        "snapshot.mode": "initial",
        "tombstones.on.delete": "true",
        "heartbeat.interval.ms": "10000",
        **EXACTLY_ONCE,
        **SPEED,
        **{f"topic.creation.default.{key}": value for key, value in topics.items()},
    }
