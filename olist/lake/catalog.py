"""Open the Iceberg catalog: SQL (PostgreSQL or SQLite), compare-and-set on a table's metadata location.

A process has one pool of connections to it, whatever number of tables it carries. A connection notices a server that
vanished within a minute, and no transaction waits or idles for longer. That is said by ``SET LOCAL`` in each of them,
so a pooler may stand between, and so that no role's or database's own limits count.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from threading import Lock
from urllib.parse import urlsplit

import psycopg
from botocore.exceptions import ClientError
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import IntegrityError, ProgrammingError

from olist.clients.s3 import client, file_properties
from olist.errors import BadInput, ServerTrouble
from olist.lake.errors import lake_errors
from olist.lake.row_delta import MonotonicCatalog
from olist.settings import Settings

CATALOG = "olist"
NAMESPACE = "olist"
PATIENT = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "60000",
    "application_name": "olist lake",
}
LIMITS = """
SET LOCAL lock_timeout = '15s';
SET LOCAL statement_timeout = '60s';
SET LOCAL idle_in_transaction_session_timeout = '60s'
"""
_lock = Lock()  # a sink's threads open their tables side by side, and the first creates the catalog's own
_catalogs: dict[tuple[str, ...], SqlCatalog] = {}


def open_catalog(settings: Settings) -> SqlCatalog:
    """The catalog of the lake, its namespace made where it is missing.

    All who open it share it and its connections. Closing it closes those that are idle; it may be used again.
    Table files live under ``settings.warehouse_location``, on S3 or on a disk.

    Raises:
        BadInput: its bucket is missing in an S3 that is not this stack's own.
    """
    _require_bucket(settings)
    with _lock:
        try:
            return _with_namespace(settings)
        except (IntegrityError, ProgrammingError):
            # Another process made the catalog's tables in the same moment, or they were dropped under this one.
            _catalogs.clear()
            return _with_namespace(settings)


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
        with lake_errors():
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


def _with_namespace(settings: Settings) -> SqlCatalog:
    where = (settings.catalog_url, settings.warehouse_location, *map(str, file_properties(settings).values()))
    if where not in _catalogs:
        _catalogs[where] = _connected(settings)
    with suppress(NamespaceAlreadyExistsError):
        _catalogs[where].create_namespace(NAMESPACE)
    return _catalogs[where]


def _connected(settings: Settings) -> SqlCatalog:
    catalog = MonotonicCatalog(
        CATALOG,
        **{
            "uri": _patient(settings.catalog_url),
            "warehouse": settings.warehouse_location,
            **file_properties(settings),
            # A connection that the server closed is noticed and replaced instead of failing a commit.
            "pool_pre_ping": "true",
        },
    )
    if catalog.engine.dialect.name == "postgresql":
        event.listen(catalog.engine, "connect", _opened)
        event.listen(catalog.engine, "begin", _begun)
        catalog.engine.dispose()  # the connection that looked for the catalog's tables came before
    return catalog


def _patient(url: str) -> str:
    """A PostgreSQL URL that says how soon a vanished server is noticed, unless it says so itself."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        return url
    return parsed.update_query_dict({k: v for k, v in PATIENT.items() if k not in parsed.query}).render_as_string(
        hide_password=False
    )


def _opened(connection: psycopg.Connection, _record: object) -> None:
    connection.isolation_level, connection.read_only = psycopg.IsolationLevel.READ_COMMITTED, False
    connection.prepare_threshold = None  # a pooler's next transaction is another session's


def _begun(connection: Connection) -> None:
    connection.exec_driver_sql(LIMITS)


def identifier(name: str) -> tuple[str, str]:
    """A lake table's identifier in the catalog."""
    return NAMESPACE, name
