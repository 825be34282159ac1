"""How each seller does: orders, revenue, how often late or canceled, and what customers say.

Reads: orders, order_items, order_reviews, sellers.
Writes: `seller_scores`, one row per seller that has an item in an order.
State: the parts of each order for two years of wall time after they last changed; for ever the sellers, and per seller
    and month of purchase the sums and each order's commit time, to find the newest again: it grows with the orders
    ever made. A part that changes later than that changes nothing here.
Guarantee: exactly once into the topic. After any update, delete or late arrival the row is what the newest rows of all
    topics say. An item whose order is not known yet does not count.

How an order with several sellers counts: once for each of them, with that seller's own items, price and freight, but
with the order's whole life: when it is late, canceled or reviewed, it is so for each of its sellers. So items, revenue
and freight may be summed over sellers; orders, reviews and rates may not.

- `orders`: different orders with an item of the seller, whatever became of them.
- `revenue`, `freight`: sums over the items of those that are neither canceled nor unavailable; `items` counts these.
- `late_rate`: of the delivered orders (those with a delivery date), the share delivered after the estimated day: at any
  hour of that day nothing is late. Null while none is delivered.
- `cancel_rate`: of all orders, the share that is canceled.
- `review_mean`: of all reviews of those orders, the mean score; null while there is none.
Rates have four decimals, the mean two, half rounded up.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from olist.contracts import Contract, Int, Money, Row, Str
from olist.order_status import CANCELED, CLOSED
from olist.tables import ORDER_ITEMS, ORDER_REVIEWS, ORDERS, SELLERS
from stream_apps.app import FlinkApp
from stream_apps.flink_sql.rows import quotient
from stream_apps.flink_sql.text import literal

Total = Annotated[Decimal, Money(18, 2)]
Rate = Annotated[Decimal, Money(5, 4)]
Mean = Annotated[Decimal, Money(5, 2)]


class SellerScore(Row):
    """A seller's record over all time."""

    seller_id: Str
    seller_city: Str | None
    seller_state: Str | None
    orders: Int
    items: Int
    revenue: Total
    freight: Total
    delivered_orders: Int
    late_orders: Int
    late_rate: Rate | None
    canceled_orders: Int
    cancel_rate: Rate
    reviews: Int
    review_mean: Mean | None


SELLER_SCORES = Contract("seller_scores", SellerScore, key=("seller_id",), targets=("postgres", "opensearch"))

# What is counted of an order, and summed, first by month and then over all. The step between is for the newest commit
# time: when the newest row changes, the one before it must be found again, among a month's orders and not among all.
COUNTED = (
    "orders",
    "items",
    "revenue",
    "freight",
    "delivered_orders",
    "late_orders",
    "canceled_orders",
    "reviews",
    "review_scores",
)
SUMS = ",\n    ".join(f"SUM({name}) AS {name}" for name in COUNTED)
DAY_US = 86_400_000_000
MONTH_US = 30 * DAY_US
LATE = f"o.order_delivered_customer_date / {DAY_US} > o.order_estimated_delivery_date / {DAY_US}"
CALLED_OFF = f"o.order_status IN ({', '.join(map(literal, CLOSED))})"

SELECT = f"""
SELECT
  s.seller_id,
  p.seller_city,
  p.seller_state,
  s.orders,
  s.items,
  s.revenue,
  s.freight,
  s.delivered_orders,
  s.late_orders,
  {quotient("s.late_orders", "s.delivered_orders", scale=4)} AS late_rate,
  s.canceled_orders,
  {quotient("s.canceled_orders", "s.orders", scale=4)} AS cancel_rate,
  s.reviews,
  {quotient("s.review_scores", "s.reviews", scale=2)} AS review_mean,
  GREATEST(s._committed_us, COALESCE(p._committed_us, 0)) AS _committed_us
FROM (
  SELECT
    seller_id,
    {SUMS},
    MAX(_committed_us) AS _committed_us
  FROM (
    SELECT
    seller_id,
    {SUMS},
    MAX(_committed_us) AS _committed_us
    FROM (
      SELECT
        i.seller_id,
        o.order_purchase_timestamp / {MONTH_US} AS purchase_month,
        CAST(1 AS BIGINT) AS orders,
        IF({CALLED_OFF}, 0, i.items) AS items,
        IF({CALLED_OFF}, 0, i.revenue) AS revenue,
        IF({CALLED_OFF}, 0, i.freight) AS freight,
        IF(o.order_delivered_customer_date IS NOT NULL, 1, 0) AS delivered_orders,
        IF({LATE}, 1, 0) AS late_orders,
        IF(o.order_status = {literal(CANCELED)}, 1, 0) AS canceled_orders,
        COALESCE(r.reviews, 0) AS reviews,
        COALESCE(r.review_scores, 0) AS review_scores,
        GREATEST(o._committed_us, i._committed_us, COALESCE(r._committed_us, 0)) AS _committed_us
      FROM (
        SELECT
          order_id,
          seller_id,
          COUNT(*) AS items,
          SUM(price) AS revenue,
          SUM(freight_value) AS freight,
          MAX(_committed_us) AS _committed_us
        FROM order_items
        GROUP BY order_id, seller_id
      ) AS i
      JOIN orders AS o ON o.order_id = i.order_id
      LEFT JOIN (
        SELECT
          order_id,
          COUNT(*) AS reviews,
          SUM(CAST(review_score AS BIGINT)) AS review_scores,
          MAX(_committed_us) AS _committed_us
        FROM order_reviews
        GROUP BY order_id
      ) AS r ON r.order_id = o.order_id
    )
    GROUP BY seller_id, purchase_month
  )
  GROUP BY seller_id
) AS s
LEFT JOIN sellers AS p ON p.seller_id = s.seller_id
"""

REMEMBERED = timedelta(days=730)

APP = FlinkApp(
    name="seller_scores",
    reads=(ORDERS, ORDER_ITEMS, ORDER_REVIEWS, SELLERS),
    writes=SELLER_SCORES,
    select=SELECT,
    state_ttl={c.table: REMEMBERED for c in (ORDERS, ORDER_ITEMS, ORDER_REVIEWS)},
)
