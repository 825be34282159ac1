from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from olist.errors import BadInput
from olist.lake.catalog import open_catalog
from olist.settings import Settings

THERE, HIDDEN = "lake", "hidden"


class Storage(BaseHTTPRequestHandler):
    """An S3 that answers whether a bucket is there: one is, one it does not speak of to us, others are not."""

    def do_HEAD(self) -> None:
        bucket = self.path.strip("/").split("/")[0]
        self.send_response({THERE: 200, HIDDEN: 403}.get(bucket, 404))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def storage() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Storage) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path, storage: str) -> Settings:
    return Settings(s3=storage, catalog=f"sqlite:///{tmp_path / 'catalog.db'}", warehouse=None)


def test_a_bucket_that_is_not_there_is_refused_with_the_way_out(settings: Settings) -> None:
    with pytest.raises(BadInput, match="there is no bucket lkae") as caught:
        open_catalog(settings.model_copy(update={"s3_bucket": "lkae"}))
    assert "olist stack make-bucket" in caught.value.hint


@pytest.mark.parametrize("bucket", [THERE, HIDDEN])
def test_a_bucket_that_is_there_or_not_ours_to_ask_for_is_used(bucket: str, settings: Settings) -> None:
    open_catalog(settings.model_copy(update={"s3_bucket": bucket})).close()


def test_the_stacks_own_storage_and_a_lake_on_a_disk_are_not_asked(settings: Settings, tmp_path: Path) -> None:
    elsewhere = {"s3_bucket": "lkae"}
    open_catalog(settings.model_copy(update=elsewhere | {"s3": None, "s3_port": 9})).close()
    open_catalog(settings.model_copy(update=elsewhere | {"warehouse": tmp_path.as_uri()})).close()
