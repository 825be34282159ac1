"""Open the Iceberg catalog: SQL (PostgreSQL or SQLite), compare-and-set on a table's metadata location."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from threading import Lock
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from sqlalchemy.exc import IntegrityError, ProgrammingError

from olist.errors import BadInput, ServerTrouble
from olist.lake.row_delta import MonotonicCatalog
from olist.lake.trouble import lake_trouble
from olist.s3_client import client, file_properties
from olist.settings import Settings

CATALOG = "olist"
NAMESPACE = "olist"
_making = Lock()  # a sink's threads open their tables side by side, and the first creates the catalog's own


def open_catalog(settings: Settings) -> SqlCatalog:
    """The catalog of the lake, its namespace made where it is missing.

    Table files live under ``settings.warehouse_location``, on S3 or on a disk.

    Raises:
        BadInput: its bucket is missing in an S3 that is not this stack's own.
    """
    _require_bucket(settings)
    with _making:
        try:
            return _made(settings)
        except (IntegrityError, ProgrammingError):
            # Another process made the catalog's tables in the same moment; now they are there.
            return _made(settings)


def _require_bucket(settings: Settings) -> None:
    """Refuse to write to a bucket that is not there: some servers would make it in silence, under a misspelt name too.

    Raises:
        BadInput: it is missing in an S3 that is not this stack's own.
        ServerTrouble: that S3 does not answer.
    """
    bucket = urlsplit(settings.warehouse_location)
    if settings.s3 is None or bucket.scheme != "s3":
        return
    try:
        with lake_trouble():
            client(file_properties(settings), connect_timeout=5, read_timeout=15).head_bucket(Bucket=bucket.netloc)
    except ServerTrouble as error:
        status = _status(error.__cause__)
        if status == HTTPStatus.NOT_FOUND:
            raise BadInput(
                f"there is no bucket {bucket.netloc} at {settings.s3}",
                hint="set OLIST_S3_BUCKET (or OLIST_WAREHOUSE) to one that is there, or make it: "
                "`olist stack make-bucket`",
            ) from error
        if status != HTTPStatus.FORBIDDEN:  # who may write objects need not be allowed to ask for the bucket
            raise


def _status(error: BaseException | None) -> int | None:
    """What the storage answered, if it did."""
    response = error.response if isinstance(error, ClientError) else {}
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _made(settings: Settings) -> SqlCatalog:
    catalog = MonotonicCatalog(
        CATALOG,
        **{
            "uri": settings.catalog_url,
            "warehouse": settings.warehouse_location,
            **file_properties(settings),
            # A connection that the server closed is noticed and replaced instead of failing a commit.
            "pool_pre_ping": "true",
        },
    )
    with suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace(NAMESPACE)
    return catalog


def identifier(name: str) -> tuple[str, str]:
    """A lake table's identifier in the catalog."""
    return NAMESPACE, name
