"""Reviews as documents of a MongoDB collection, for a shop that keeps them there.

A document is its review at that moment, whole, under its key; writing it again changes nothing. It is written before
the progress in PostgreSQL moves past it, so a run that dies in between writes it again and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from olist.clients.shop import split_prefix
from olist.contracts import Contract, Money
from olist.errors import BadInput, ServerTrouble
from olist.settings import Settings
from olist.tables import ORDER_REVIEWS, TABLES
from producers.row_histories import history_of
from producers.sequence import TABLE

Document = dict[str, Any]
ID = "_id"
FORM = "OLIST_MONGODB=mongodb://user:password@host/, user and password percent-encoded"
ANSWER_WITHIN_MS = 5000  # else it is away; the replay tries again


class Documents(Protocol):
    """A collection that takes documents, in order, each replacing the one of the same id."""

    def write(self, documents: Sequence[Document]) -> None:
        """Return when all are written."""


def documents(frames: Mapping[str, pl.DataFrame], changes: pl.DataFrame, contract: Contract) -> list[Document]:
    """The rows after a part of the sequence: times as int64 microseconds and money as text, as on the wire."""
    mine = changes.filter(pl.col(TABLE) == list(TABLES).index(contract.table))
    images = history_of(contract).images(frames[contract.table], mine)
    money = [pl.col(c.name).cast(pl.String) for c in contract.columns if isinstance(c.type, Money)]
    return [{ID: {name: row[name] for name in contract.key}, **row} for row in images.with_columns(money).to_dicts()]


class Collection:
    """The reviews' collection over pymongo; its database is called like the shop's schema.

    Raises:
        BadInput: there is no address, or one that cannot be read; pymongo is not installed.
    """

    def __init__(self, settings: Settings, contract: Contract = ORDER_REVIEWS) -> None:
        if settings.mongodb is None:
            raise BadInput("--reviews mongodb needs to know where", hint=FORM)
        try:
            import pymongo
        except ImportError as error:
            raise BadInput("pymongo is not installed", hint="pip install 'olist-streams[mongodb]'") from error
        self._pymongo = pymongo
        _name, database = split_prefix(settings.topic_prefix)
        url = settings.mongodb.get_secret_value()
        try:
            client: pymongo.MongoClient[Document] = pymongo.MongoClient(
                url, serverSelectionTimeoutMS=ANSWER_WITHIN_MS, w="majority"
            )
        except (pymongo.errors.PyMongoError, ValueError) as error:
            # What it says of a URL that it cannot take apart may quote a password that is not percent-encoded.
            said = "no URL of a MongoDB" if isinstance(error, pymongo.errors.InvalidURI) else error
            raise BadInput(f"OLIST_MONGODB: {said}", hint=FORM) from error
        self._collection = client[database][contract.table]

    def write(self, documents: Sequence[Document]) -> None:
        """Replace or insert each, in order.

        Raises:
            ServerTrouble: MongoDB does not take them; nothing after the first that it refused was written.
        """
        replaced = [self._pymongo.ReplaceOne({ID: one[ID]}, one, upsert=True) for one in documents]
        try:
            self._collection.bulk_write(replaced, ordered=True)
        except self._pymongo.errors.PyMongoError as error:
            raise ServerTrouble("mongodb", str(error), hint="look at OLIST_MONGODB") from error
