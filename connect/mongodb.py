"""The Debezium connector of a MongoDB that holds the reviews. Pure; see docs/cdc.md for where it can be run.

Debezium gives a document as JSON text inside its envelope, and the key as such text too. The worker's own transforms
make of that the wire of every other table, on the same topic, so that no reader has to know where a row comes from.
"""

from __future__ import annotations

import re

from connect.postgres import A_DAY_MS, EXACTLY_ONCE, SPEED, Config
from olist.clients.shop import split_prefix
from olist.contracts import COMPACTED, Contract
from olist.settings import Settings
from olist.tables import ORDER_REVIEWS

URL = "${env:OLIST_MONGODB}"  # it holds the password, so the worker alone knows it

KAFKAS, DEBEZIUMS = "org.apache.kafka.connect.transforms", "io.debezium"
CARRIED = "op,source,ts_ms"  # of Debezium's envelope, past the step that opens it


def connector_name(settings: Settings) -> str:
    """One connector per topic prefix."""
    name, _schema = split_prefix(settings.topic_prefix)
    return f"{name}-documents"


def render(settings: Settings, contract: Contract = ORDER_REVIEWS) -> Config:
    """Change streams with the whole document after each update, by lookup: a change stream tells changed fields only.

    The database is called like the shop's schema, so that Debezium gives the topic a name of the same form.
    """
    name, schema = split_prefix(settings.topic_prefix)
    prefix = f"{name}.documents"
    return {
        "name": connector_name(settings),
        "connector.class": "io.debezium.connector.mongodb.MongoDbConnector",
        "tasks.max": "1",
        "mongodb.connection.string": URL,
        # Debezium tries the server when it is asked to judge a configuration, and the REST client waits 30 s for that.
        "mongodb.server.selection.timeout.ms": "10000",
        "topic.prefix": prefix,
        "database.include.list": schema,
        "collection.include.list": rf"{schema}\.{contract.table}",
        "capture.mode": "change_streams_update_full",
        "capture.mode.full.update.type": "lookup",
        "capture.scope": "database",
        "capture.target": schema,
        "snapshot.mode": "initial",
        "tombstones.on.delete": "true",
        "heartbeat.interval.ms": "10000",
        **_on_the_wire(contract.topic(prefix + "." + schema), contract.topic(settings.topic_prefix)),
        **EXACTLY_ONCE,
        **SPEED,
        **_topics(settings),
    }


def _on_the_wire(captured: str, topic: str) -> Config:
    """1. Give changes their topic, but not tombstones, and not the heartbeats: now the topic tells which is which.
    2. Keep the envelope's parts as headers. 3. Open the document and the key; a delete has `_id` alone. 4. The key's
    columns are the key. 5. The columns are the row. 6. The row is the after-image. 7. The headers are its envelope
    again. 8. Give tombstones their topic, too.
    """
    changes, both = {"predicate": "changes"}, {"predicate": "reviews"}
    to_topic = {"type": f"{KAFKAS}.RegexRouter", "regex": re.escape(captured), "replacement": topic}
    steps: dict[str, Config] = {
        "changed": {**to_topic, "predicate": "tombstones", "negate": "true"},
        "kept": {"type": f"{KAFKAS}.HeaderFrom$Value", "fields": CARRIED, "headers": CARRIED, "operation": "copy"}
        | changes,
        "opened": {
            "type": f"{DEBEZIUMS}.connector.mongodb.transforms.ExtractNewDocumentState",
            "delete.tombstone.handling.mode": "rewrite-with-tombstone",
            "array.encoding": "document",  # an array of mixed types, in a field of no contract, would end the task
        },
        "key": {"type": f"{KAFKAS}.ExtractField$Key", "field": "id"} | both,
        "row": {"type": f"{KAFKAS}.ReplaceField$Value", "exclude": "_id,__deleted"} | changes,
        "after": {"type": f"{KAFKAS}.HoistField$Value", "field": "after"} | changes,
        "envelope": {
            "type": f"{DEBEZIUMS}.transforms.HeaderToValue",
            "headers": CARRIED,
            "fields": CARRIED,
            "operation": "move",
        }
        | changes,
        "deleted": to_topic,
    }
    predicates: dict[str, Config] = {
        "tombstones": {"type": f"{KAFKAS}.predicates.RecordIsTombstone"},
        "changes": {"type": f"{KAFKAS}.predicates.TopicNameMatches", "pattern": re.escape(topic)},
        "reviews": {
            "type": f"{KAFKAS}.predicates.TopicNameMatches",
            "pattern": f"{re.escape(topic)}|{re.escape(captured)}",
        },
    }
    return _named("transforms", steps) | _named("predicates", predicates)


def _named(kind: str, parts: dict[str, Config]) -> Config:
    settings = {f"{kind}.{name}.{key}": value for name, part in parts.items() for key, value in part.items()}
    return {kind: ",".join(parts), **settings}


def _topics(settings: Settings) -> Config:
    """The reviews' as `olist.topics.admin.ensure_topics` would make it; the heartbeats' forgets."""
    groups = {
        "default": {"partitions": str(settings.partitions), "replication.factor": "-1", **COMPACTED},
        "meta": {
            "include": r"__debezium-heartbeat\..*",
            "partitions": "1",
            "replication.factor": "-1",
            "cleanup.policy": "delete",
            "retention.ms": str(A_DAY_MS),
        },
    }
    made = {f"topic.creation.{name}.{key}": value for name, group in groups.items() for key, value in group.items()}
    return {"topic.creation.groups": "meta", **made}
