"""Reviews on their way from MongoDB: what the connector's plugin says of its configuration, and what its classes make
of changes. The changes are written as MongoDB documents them; see `tests.debezium_documents`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from connect import mongodb
from connect.apply import validate
from connect.connect_client import ConnectClient
from connect.postgres import Config
from olist.batches import decode_batch
from olist.changes import Change, Position, codec
from olist.errors import BadInput, BadRecord
from olist.settings import Settings
from olist.source import Dataset, load
from olist.stack.local import Stack
from olist.stack.servers.artefacts import locked
from olist.stack.servers.connect import Connect
from olist.tables import ORDER_REVIEWS
from producers.sequence import sequence
from producers.shop.documents import ID, documents
from tests.debezium_documents import COMMITTED_MS, DocumentsConnector, Sent
from tests.jvm import jvm
from tests.unit.producers_dataset import files, small_shop, write_folder

pytestmark = pytest.mark.integration

TOPIC = "olist.public.order_reviews"


@pytest.fixture(scope="module")
def connector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentsConnector]:
    settings = Settings.model_validate({"mongodb": "mongodb://127.0.0.1:9/"})
    server = Connect(settings)
    server.installer.install(locked(*server.sections))
    server.unpack()
    (plugin,) = (folder for folder in server.plugins if "mongodb" in folder.name)
    jars = [*map(server.installer.path, locked("connect")), *sorted(plugin.rglob("*.jar"))]
    with jvm(settings, jars, tmp_path_factory.mktemp("debezium") / "log") as java:
        yield DocumentsConnector(java, mongodb.render(Settings.model_construct()), ORDER_REVIEWS)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Reviews as the replay writes them."""
    shop: Dataset = load(write_folder(tmp_path_factory.mktemp("data"), files(small_shop())))
    return documents(shop.frames, sequence(shop.frames), ORDER_REVIEWS)


def columns_of(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != ID}


def decoded(sent: Sent) -> Change:
    return codec(ORDER_REVIEWS).decode(sent.key(), sent.value(), Position(sent.topic, 0, 0))


def change(op: str, document: dict[str, Any]) -> Change:
    """What a record of the direct road decodes to."""
    row = ORDER_REVIEWS.row(**columns_of(document))
    return Change(op, tuple(document[ID].values()), row, Position(TOPIC, 0, 0), COMMITTED_MS * 1000)  # type: ignore[arg-type]


def quickly(settings: Settings) -> Config:
    """The rendered configuration; but do not wait long for a server that is not there."""
    return {**mongodb.render(settings), "mongodb.server.selection.timeout.ms": "500"}


def test_the_plugin_finds_nothing_wrong_but_that_the_server_is_away(connect_stack: Stack) -> None:
    with pytest.raises(BadInput) as raised:
        validate(ConnectClient(connect_stack.settings.connect_url), quickly(connect_stack.settings))
    head, *problems = str(raised.value).split("\n")
    assert head == "olist-documents: the connector refuses its configuration"
    assert len(problems) == 1
    assert problems[0].startswith("  mongodb.connection.string: Unable to connect: Timed out")
    assert "address=127.0.0.1:9" in problems[0]
    assert "Connection refused" in problems[0]


def test_the_plugin_knows_every_setting_and_refuses_wrong_ones(connect_stack: Stack) -> None:
    config = quickly(connect_stack.settings)
    wrong = {"capture.mode": "sideways", "predicates.reviews.pattern": "(", "transforms.kept.operation": "lose"}
    judge = f"{connect_stack.settings.connect_url}/connector-plugins/MongoDbConnector/config/validate"
    judged = requests.put(judge, json={**config, **wrong}, timeout=30).json()["configs"]
    named = {entry["definition"]["name"] for entry in judged if entry["definition"] is not None}
    of_connect_itself = ("producer.override.", "topic.creation.")
    undeclared = {name for name in config if not name.startswith(of_connect_itself)} - named
    assert undeclared == {"capture.scope", "capture.target", "capture.mode.full.update.type"}  # see the next test
    refused = {entry["value"]["name"] for entry in judged if entry["value"] and entry["value"]["errors"]}
    assert {"mongodb.connection.string", *wrong} == refused


def test_one_database_is_watched_and_updated_documents_are_looked_up(connector: DocumentsConnector) -> None:
    assert connector.captures == ("DATABASE", "public", "LOOKUP")


@pytest.mark.parametrize("kind", ["insert", "replace", "update"])
def test_a_documents_change_is_that_of_the_direct_road(
    connector: DocumentsConnector, written: list[dict[str, Any]], kind: str
) -> None:
    op = "c" if kind == "insert" else "u"
    for document in written:
        sent = connector.changed(kind, document)
        assert sent.topic == TOPIC
        assert sent.key() == codec(ORDER_REVIEWS).encode_key(tuple(document[ID].values()))
        assert decoded(sent) == change(op, document)


def test_a_document_that_was_there_before_is_read_as_a_row(
    connector: DocumentsConnector, written: list[dict[str, Any]]
) -> None:
    sent = connector.read(written[0])
    assert (decoded(sent).op, decoded(sent).row) == ("r", change("r", written[0]).row)


def test_a_delete_is_an_envelope_and_a_tombstone_under_the_rows_key(
    connector: DocumentsConnector, written: list[dict[str, Any]]
) -> None:
    document = written[0]
    key = tuple(document[ID].values())
    delete, tombstone = connector.deleted(document)
    at = Position(TOPIC, 0, 0)
    assert (delete.topic, tombstone.topic, tombstone.value()) == (TOPIC, TOPIC, None)
    assert delete.key() == tombstone.key() == codec(ORDER_REVIEWS).encode_key(key)
    assert decoded(delete) == Change("d", key, None, at, COMMITTED_MS * 1000)
    batch = decode_batch(ORDER_REVIEWS, TOPIC, [connector.changed("insert", document), delete, tombstone], 1)
    assert batch.frame["_op"].to_list() == ["c", "d", "d"]


def test_any_text_arrives_as_it_was_written(connector: DocumentsConnector, written: list[dict[str, Any]]) -> None:
    text = 'ção "aspas" \\ {"$numberLong": "1"}\r\n\t\x01\U0001f600 $oid'
    name = next(c.name for c in ORDER_REVIEWS.columns if c.nullable)
    document = {**written[0], name: text}
    assert getattr(decoded(connector.changed("replace", document)).row, name) == text


def test_an_update_of_a_document_that_is_gone_since_is_refused_by_name_and_never_half_a_row(
    connector: DocumentsConnector, written: list[dict[str, Any]]
) -> None:
    updated = {"updatedFields": {"review_score": 1}, "removedFields": []}
    sent = connector.changed("update", written[0], fullDocument=None, updateDescription=updated)
    with pytest.raises(BadRecord, match="missing required field"):
        decoded(sent)


def test_fields_that_no_contract_knows_are_counted_whatever_they_hold(
    connector: DocumentsConnector, written: list[dict[str, Any]]
) -> None:
    document = {**written[0], "tags": [1, "a", None]}
    batch = decode_batch(ORDER_REVIEWS, TOPIC, [connector.changed("insert", document)], 1)
    assert (batch.frame.height, batch.unknown) == (1, {"tags": 1})


def test_the_connectors_heartbeats_stay_what_they_are(connector: DocumentsConnector) -> None:
    beat = connector.heartbeat()
    assert beat.topic.startswith("__debezium-heartbeat.")
    assert beat.value() == b'{"ts_ms":%d}' % COMMITTED_MS
