"""All changes of all tables in one order: event time first, then parents before children.

The order is a function of the data alone, so a number in it names a change for ever: it is what a record carries and
what a resumed run goes on from.

- The catalogue (geolocation, translations, and what no order needs) is there when the first order is placed.
- An order is placed in one transaction with its items and payments, after the customer, sellers and products that no
  earlier order needed. Each later change of it, and each change of a review, is a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from olist.contracts import Contract
from olist.source.typed import ColumnNames
from olist.tables import CUSTOMERS, ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS, ORDERS, PRODUCTS, SELLERS, TABLES
from producers.row_histories import EVENT_US, FROM_US, ROW, STAGE, history_of

# Part of the data set's name on the topics: raise it when the same files come to give another sequence.
VERSION = 1

SEQ, TX, TABLE = "seq", "tx", "table"
TABLE_NAMES: tuple[str, ...] = tuple(TABLES)

_ANCHOR = "anchor"  # the order that needs a row, by its place among all orders; 0 is the catalogue
_PHASE = "phase"  # transactions of one order at one time, in order
_UNIT = "unit"  # two reviews of one order are two transactions
_REVIEW_PHASE = 16  # past every stage of an order

_ORDER, _ITEM = ColumnNames(ORDERS), ColumnNames(ORDER_ITEMS)


def sequence(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Every change: `SEQ` from 1, `TX` from 1, `TABLE` as an index into `TABLE_NAMES`, and the moment's columns."""
    orders = _anchored(frames[ORDERS.table])
    items = frames[ORDER_ITEMS.table].join(orders, on=_ITEM.order_id)
    needs = {
        CUSTOMERS: _first(orders, _ORDER.customer_id),
        SELLERS: _first(items, _ITEM.seller_id),
        PRODUCTS: _first(items, _ITEM.product_id),
        **dict.fromkeys((ORDERS, ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS), _first(orders, _ORDER.order_id)),
    }
    parts = [_placed(contract, frames[contract.table], needs.get(contract), orders) for contract in TABLES.values()]
    transaction = (EVENT_US, _ANCHOR, _PHASE, _UNIT)
    ordered = pl.concat(parts).sort(*transaction, TABLE, ROW)
    return ordered.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(SEQ),
        (pl.struct(transaction).rle_id().cast(pl.Int64) + 1).alias(TX),
        pl.exclude(_ANCHOR, _PHASE, _UNIT),
    )


def _anchored(orders: pl.DataFrame) -> pl.DataFrame:
    """Every order's ids, its place among all orders, from 1, and when it was placed."""
    placed = orders.select(
        _ORDER.order_id, _ORDER.customer_id, pl.col(_ORDER.order_purchase_timestamp).alias(FROM_US)
    ).sort(FROM_US, _ORDER.order_id)
    return placed.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias(_ANCHOR))


def _first(orders: pl.DataFrame, by: str) -> pl.DataFrame:
    """The first order that names each value of a column."""
    return orders.group_by(by).agg(pl.col(_ANCHOR, FROM_US).min())


def _placed(contract: Contract, frame: pl.DataFrame, need: pl.DataFrame | None, orders: pl.DataFrame) -> pl.DataFrame:
    """The moments of a table with what they are sorted by."""
    rows = frame.with_row_index(ROW)
    if need is None:
        starts = rows.select(ROW, pl.lit(None, pl.UInt32).alias(_ANCHOR), pl.lit(None, pl.Int64).alias(FROM_US))
    else:
        by = need.columns[0]
        starts = rows.select(ROW, by).join(need, on=by, how="left", maintain_order="left").drop(by)
    opening = orders[FROM_US].min() or 0
    starts = starts.with_columns(pl.col(_ANCHOR).fill_null(0), pl.col(FROM_US).fill_null(opening))
    moments = history_of(contract).moments(frame, starts.select(ROW, FROM_US))
    is_review = contract is ORDER_REVIEWS
    return moments.with_columns(
        starts[_ANCHOR].gather(moments[ROW]),
        (pl.col(STAGE).cast(pl.Int16) + (_REVIEW_PHASE if is_review else 0)).alias(_PHASE),
        (pl.col(ROW) + 1 if is_review else pl.lit(0, pl.UInt32)).alias(_UNIT),
        pl.lit(TABLE_NAMES.index(contract.table), pl.UInt8).alias(TABLE),
    )
