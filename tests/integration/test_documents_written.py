"""The reviews' collection over pymongo, against mongo-java-server in memory: it writes, finds and counts as a mongod
does, and has no change streams that Debezium could read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pydantic import SecretStr
from pymongo.collection import Collection as Found

from olist.errors import ServerTrouble
from olist.settings import Settings
from olist.source import load
from olist.stack.local import Stack
from olist.stack.servers.artefacts import locked
from olist.stack.servers.install import Installer
from olist.tables import ORDER_REVIEWS
from producers.sequence import sequence
from producers.shop import documents as written
from producers.shop.documents import ID, Collection, documents
from tests.commands import done
from tests.jvm import jvm
from tests.shops import CapturedShop, shop_settings, source_rows
from tests.unit.producers_dataset import files, small_shop, write_folder

pytestmark = pytest.mark.integration

ODD = {"text": 'ção "aspas" \\ $set.x\r\n\t\x01\U0001f600', "none": None, "micros": 1_507_288_035_000_000, "small": -1}


class Server:
    """One on a port of its own; `url` is where."""

    def __init__(self, java: Any) -> None:
        mongo = java.de.bwaldvogel.mongo
        version = mongo.ServerVersion.MONGO_5_0
        # It calls itself older than pymongo asks for, and does what is asked of it here all the same.
        says = version.getClass().getDeclaredField("wireVersion")
        says.setAccessible(True)
        says.set(version, 9)
        self._server = mongo.MongoServer(mongo.backend.memory.MemoryBackend().version(version))
        self.url: str = self._server.bindAndGetConnectionString()

    def end(self) -> None:
        self._server.shutdownNow()


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    settings = Settings()
    installer, jars = Installer(settings.cache.resolve(), offline=settings.offline), locked("mongo-java-server")
    installer.install(jars)
    with jvm(settings, map(installer.path, jars), tmp_path_factory.mktemp("mongodb") / "log") as started:
        yield started


@pytest.fixture
def server(java: Any) -> Iterator[Server]:
    started = Server(java)
    yield started
    started.end()


@pytest.fixture
def collection(server: Server) -> Collection:
    return Collection(Settings(mongodb=SecretStr(server.url)))


def there(server: Server) -> Found[dict[str, Any]]:
    """The same collection, by a client of one's own."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(server.url)
    return client["public"][ORDER_REVIEWS.table]


def document(number: int, **columns: Any) -> dict[str, Any]:
    return {ID: {"review": f"r{number}", "order": "ó"}, **columns}


def test_documents_are_there_to_the_last_character_and_the_last_of_an_id_stays(
    server: Server, collection: Collection
) -> None:
    collection.write([document(1, n=1, gone=True), document(2, n=1), document(1, n=2, **ODD)])
    assert list(there(server).find()) == [document(1, n=2, **ODD), document(2, n=1)]


def test_documents_written_again_change_nothing(server: Server, collection: Collection) -> None:
    several = [document(1, **ODD), document(2, n=1)]
    collection.write(several)
    before = list(there(server).find_raw_batches())
    collection.write(several)
    assert list(there(server).find_raw_batches()) == before


def test_a_document_that_is_refused_is_trouble_and_not_passed_over(server: Server, collection: Collection) -> None:
    there(server).create_index("n", unique=True)
    with pytest.raises(ServerTrouble, match="duplicate key"):
        collection.write([document(1, n=1), document(2, n=1)])
    assert list(there(server).find()) == [document(1, n=1)]  # this server would go on behind it


def test_a_server_that_went_away_is_trouble_with_the_way_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "ANSWER_WITHIN_MS", 300)
    collection = Collection(Settings(mongodb=SecretStr(server.url)))
    collection.write([document(1)])
    server.end()
    for _with_and_then_without_a_connection in range(2):
        with pytest.raises(ServerTrouble, match="mongodb: ") as raised:
            collection.write([document(2)])
        assert "OLIST_MONGODB" in raised.value.hint


def test_a_replay_leaves_the_reviews_in_mongodb_and_everything_else_in_postgres(
    connect_stack: Stack, server: Server, tmp_path: Path
) -> None:
    data = write_folder(tmp_path, files(small_shop()))
    frames = load(data).frames
    settings = shop_settings(connect_stack.settings, "documents", mongodb=SecretStr(server.url))
    with CapturedShop(settings) as shop:
        assert "27 changes" in replay(settings, data)
        last = {tuple(one[ID].values()): one for one in documents(frames, sequence(frames), ORDER_REVIEWS)}
        assert {tuple(one[ID].values()): one for one in there(server).find()} == last
        assert len(last) == frames[ORDER_REVIEWS.table].height
        assert source_rows(shop, ORDER_REVIEWS).is_empty()
        assert "nothing to do" in replay(settings, data)


def replay(settings: Settings, data: Path) -> str:
    command = ("replay", "--to", "postgres", "--reviews", "mongodb", "--data", str(data))
    return done(settings, *command)
