"""Open the Iceberg catalog: SQL (PostgreSQL or SQLite), compare-and-set on a table's metadata location."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from urllib.parse import urlsplit

from pyarrow.fs import FileType, S3FileSystem
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from sqlalchemy.exc import IntegrityError, ProgrammingError

from olist.errors import BadInput
from olist.lake.row_delta import MonotonicCatalog
from olist.s3_client import file_properties
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
    """
    bucket = urlsplit(settings.warehouse_location)
    if settings.s3 is None or bucket.scheme != "s3":
        return
    files = S3FileSystem(
        endpoint_override=settings.s3,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,
    )
    if files.get_file_info(bucket.netloc).type is FileType.NotFound:
        raise BadInput(
            f"there is no bucket {bucket.netloc} at {settings.s3}",
            hint="set OLIST_S3_BUCKET (or OLIST_WAREHOUSE) to one that is there, or make it: `olist stack make-bucket`",
        )


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
