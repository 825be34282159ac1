"""Open the Iceberg catalog: SQL (PostgreSQL or SQLite), compare-and-set on a table's metadata location."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from sqlalchemy.exc import IntegrityError, ProgrammingError

from olist.lake.row_delta import MonotonicCatalog
from olist.s3_client import file_properties
from olist.settings import Settings

CATALOG = "olist"
NAMESPACE = "olist"
_making = Lock()  # a sink's threads open their tables side by side, and the first creates the catalog's own


def open_catalog(settings: Settings) -> SqlCatalog:
    """The catalog of the lake, its namespace made where it is missing.

    Table files live under ``settings.warehouse_location``, on S3 or on a disk.
    """
    with _making:
        try:
            return _made(settings)
        except (IntegrityError, ProgrammingError):
            # Another process made the catalog's tables in the same moment; now they are there.
            return _made(settings)


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
