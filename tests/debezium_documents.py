"""What Debezium makes of a collection's changes, without a mongod: its own classes, called from Python.

A change is an event of a change stream as MongoDB documents it, written here, not recorded. Debezium's schema classes
make the record of it, the transforms of a rendered configuration go over that, and Connect's converter writes bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bson

from connect.postgres import Config
from olist.contracts import Contract
from tests.records import FakeRecord

COMMITTED_MS = 1_700_000_000_123
KINDS = {"insert": "c", "replace": "u", "update": "u", "delete": "d"}


@dataclass(frozen=True)
class Sent(FakeRecord):
    """A record as it goes to Kafka."""

    topic: str = ""


class DocumentsConnector:
    """The connector's inside, by its configuration. `java` holds Connect's classes and Debezium's."""

    def __init__(self, java: Any, config: Config, contract: Contract) -> None:
        self._java, self._connect, self._mongodb = (
            java,
            java.org.apache.kafka.connect,
            java.io.debezium.connector.mongodb,
        )
        local = java.io.debezium.config.Configuration
        configuration = getattr(local, "from")({**config, "mongodb.connection.string": "mongodb://127.0.0.1/"})
        connector = self._mongodb.MongoDbConnectorConfig(configuration)
        scope, target = connector.getCaptureScope(), connector.getCaptureTarget()
        self.captures = scope.toString(), target.get(), connector.getCaptureModeFullUpdateType().toString()
        self._source, self._sources = self._mongodb.SourceInfo(connector), connector.getSourceInfoStructMaker()
        naming = connector.getTopicNamingStrategy(self._mongodb.MongoDbConnectorConfig.TOPIC_NAMING_STRATEGY)
        schema = self._mongodb.MongoDbSchema(
            connector,
            self._mongodb.MongoDbTaskContext(configuration),
            naming,
            self._sources.schema(),
            java.io.debezium.schema.SchemaNameAdjuster.NO_OP,
        )
        self._database, self._table = config["database.include.list"], contract.table
        collection = self._mongodb.CollectionId(self._database, self._table)
        self._collection, self._topic = schema.schemaFor(collection), naming.dataChangeTopic(collection)
        self._steps = [self._step(config, name) for name in config["transforms"].split(",")]
        self._converters = self._converter(is_key=True), self._converter(is_key=False)

    def changed(self, kind: str, document: dict[str, Any], **more: Any) -> Sent:
        """The record of a change; `document` is the whole one afterwards, for a delete as much as its `_id`."""
        return self._on_the_wire(self._change(kind, document, more))

    def deleted(self, document: dict[str, Any]) -> list[Sent]:
        """The records of a delete: Debezium lets a tombstone follow."""
        delete = self._change("delete", document, {})
        tombstone = delete.newRecord(delete.topic(), None, delete.keySchema(), delete.key(), None, None, None)
        return [self._on_the_wire(delete), self._on_the_wire(tombstone)]

    def read(self, document: dict[str, Any]) -> Sent:
        """The record of a document that was there when the connector began."""
        value = self._collection.valueFromDocumentSnapshot(self._bson(document), self._operation("r"))
        return self._on_the_wire(self._record(document, value, "r"))

    def heartbeat(self) -> Sent:
        """A record of the connector's own."""
        data = self._connect.data
        key = data.SchemaBuilder.struct().field("serverName", data.Schema.STRING_SCHEMA).build()
        value = data.SchemaBuilder.struct().field("ts_ms", data.Schema.INT64_SCHEMA).build()
        beat = data.Struct(value).put("ts_ms", COMMITTED_MS)
        named = data.Struct(key).put("serverName", "here")
        topic = "__debezium-heartbeat.here"
        return self._on_the_wire(self._connect.source.SourceRecord({}, {}, topic, None, key, named, value, beat))

    def _change(self, kind: str, document: dict[str, Any], more: dict[str, Any]) -> Any:
        event = self._event(kind, document, more)
        self._source.changeStreamEvent(event)
        operation = KINDS[kind]
        value = self._collection.valueFromDocumentChangeStream(event, self._operation(operation))
        return self._record(document, value, operation)

    def _event(self, kind: str, document: dict[str, Any], more: dict[str, Any]) -> Any:
        """Source: MongoDB's manual, "Change Events"."""
        told = {
            "_id": {"_data": "82"},
            "operationType": kind,
            "clusterTime": bson.Timestamp(COMMITTED_MS // 1000, 1),
            "wallTime": bson.DatetimeMS(COMMITTED_MS),
            "ns": {"db": self._database, "coll": self._table},
            "documentKey": {"_id": document["_id"]},
            **({} if kind == "delete" else {"fullDocument": document}),
            **more,
        }
        java = self._java
        kept = java.java.lang.Class.forName("org.bson.BsonDocument")
        registry = java.com.mongodb.MongoClientSettings.getDefaultCodecRegistry()
        codec = java.com.mongodb.client.model.changestream.ChangeStreamDocument.createCodec(kept, registry)
        context = java.org.bson.codecs.DecoderContext.builder().build()
        return codec.decode(java.org.bson.BsonDocumentReader(self._bson(told)), context)

    def _record(self, document: dict[str, Any], value: Any, operation: str) -> Any:
        value.put("source", self._sources.struct(self._source)).put("op", operation).put("ts_ms", COMMITTED_MS + 9)
        key = self._collection.keyFromDocument(self._bson({"_id": document["_id"]}))
        schema = self._collection.keySchema()
        return self._connect.source.SourceRecord({}, {}, self._topic, None, schema, key, value.schema(), value)

    def _bson(self, document: dict[str, Any]) -> Any:
        """The very bytes that pymongo sends."""
        return self._java.org.bson.RawBsonDocument(bson.encode(document))

    def _operation(self, code: str) -> Any:
        return self._java.io.debezium.data.Envelope.Operation.forCode(code)

    def _on_the_wire(self, record: Any) -> Sent:
        for step, applies in self._steps:
            if applies(record):
                record = step.apply(record)
        key, value = self._converters
        return Sent(
            key.fromConnectData(record.topic(), record.keySchema(), record.key()),
            value.fromConnectData(record.topic(), record.valueSchema(), record.value()),
            topic=record.topic(),
        )

    def _step(self, config: Config, name: str) -> tuple[Any, Callable[[Any], bool]]:
        """A transform of the configuration, and whether it applies to a record, as Connect decides it."""
        wanted = part(config, f"transforms.{name}.")
        predicate, negate = wanted.pop("predicate", None), wanted.pop("negate", "false") == "true"
        step = self._made(wanted)
        if predicate is None:
            return step, lambda _record: True
        asked = self._made(part(config, f"predicates.{predicate}."))
        return step, lambda record: asked.test(record) is not negate

    def _made(self, wanted: Config) -> Any:
        made = self._java.java.lang.Class.forName(wanted.pop("type")).getDeclaredConstructor(None).newInstance(None)
        made.configure(wanted)
        return made

    def _converter(self, *, is_key: bool) -> Any:
        converter = self._connect.json.JsonConverter()
        converter.configure({"schemas.enable": "false"}, is_key)
        return converter


def part(config: Config, prefix: str) -> Config:
    """The settings that begin so, without that beginning."""
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
