"""A target's table taken away behind the sink's back, by another road than the sink's."""

from __future__ import annotations

import psycopg
import requests

from olist.contracts import Contract
from olist.lake.catalog import identifier, open_catalog
from olist.settings import Settings
from sinks.opensearch.mapping import index_name
from sinks.postgres.schema import table_name
from tests.laws import fake


def memory(contract: Contract, settings: Settings) -> None:
    """From the fake's dict."""
    fake.TABLES.pop(contract.table)


def postgres(contract: Contract, settings: Settings) -> None:
    """By DROP TABLE: the positions are in another."""
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute(f"DROP TABLE {table_name(contract)}".encode())


def opensearch(contract: Contract, settings: Settings) -> None:
    """By DELETE of the index: the positions are in another."""
    requests.delete(f"{settings.opensearch_url}/{index_name(contract)}", timeout=30).raise_for_status()


def iceberg(contract: Contract, settings: Settings) -> None:
    """From the catalog, as a DROP TABLE without PURGE does: the files stay."""
    catalog = open_catalog(settings)
    catalog.drop_table(identifier(contract.table))
    catalog.close()
