"""What was sold, by hour of the purchase, state of the customer and category: a table that late news corrects.

Reads: orders, customers, order_items, products, product_category_name_translation.
Writes: `sales_by_hour`, one row per hour, state and category in which something was sold.
State: the parts of each order for two years of wall time after they last changed; per hour, state and category for
    ever, its sums and, to count orders once and to find the newest commit again, each order's id and commit times: it
    grows with the items ever sold, not with the rows written. Products and translations for ever. A part that changes
    later than that changes nothing here.
Guarantee: exactly once into the topic. An hour is the event time's, so whenever a change arrives it corrects the hour
    of the purchase. An order that is canceled or unavailable leaves its hour, and an hour left empty is deleted.

How it counts:
- `orders`: different orders with an item of the category. One with items of two categories counts in both, so orders
  must not be summed over categories; items, revenue and freight may.
- `revenue` and `freight`: sums of the items' prices and freight values.
- `average_ticket`: revenue per order of this row, to the cent, half rounded up.
- An order whose customer is not known yet is under `unknown`, a product without a category too.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from olist.contracts import Contract, Int, Micros, Money, Row, Str
from olist.order_status import CLOSED
from olist.tables import CATEGORY_TRANSLATIONS, CUSTOMERS, ORDER_ITEMS, ORDERS, PRODUCTS
from stream_apps.app import FlinkApp
from stream_apps.flink_sql.rows import cents, quotient
from stream_apps.flink_sql.text import literal

Total = Annotated[Decimal, Money(18, 2)]


class SalesByHour(Row):
    """Sales of one event-time hour; `hour` is its beginning."""

    hour: Micros
    customer_state: Str
    category: Str  # in English, else in Portuguese, else `unknown`
    orders: Int
    items: Int
    revenue: Total
    freight: Total
    average_ticket: Total


SALES_BY_HOUR = Contract(
    "sales_by_hour",
    SalesByHour,
    key=("hour", "customer_state", "category"),
    event_time="hour",
    targets=("postgres", "opensearch"),
)

HOUR_US = 3_600_000_000
REMEMBERED = timedelta(days=730)

SELECT = f"""
SELECT
  `hour`,
  customer_state,
  category,
  orders,
  items,
  revenue,
  freight,
  {quotient(cents("revenue"), "orders * 100", scale=2)} AS average_ticket,
  _committed_us
FROM (
  SELECT
    `hour`,
    customer_state,
    category,
    COUNT(DISTINCT order_id) AS orders,
    COUNT(*) AS items,
    SUM(price) AS revenue,
    SUM(freight_value) AS freight,
    MAX(_committed_us) AS _committed_us
  FROM (
    SELECT
      i.order_id,
      o.`hour`,
      o.customer_state,
      COALESCE(p.category, 'unknown') AS category,
      i.price,
      i.freight_value,
      GREATEST(o._committed_us, i._committed_us, COALESCE(p._committed_us, 0)) AS _committed_us
    FROM order_items AS i
    JOIN (
      SELECT
        o.order_id,
        o.order_purchase_timestamp / {HOUR_US} * {HOUR_US} AS `hour`,
        COALESCE(c.customer_state, 'unknown') AS customer_state,
        GREATEST(o._committed_us, COALESCE(c._committed_us, 0)) AS _committed_us
      FROM orders AS o
      LEFT JOIN customers AS c ON c.customer_id = o.customer_id
      WHERE o.order_status NOT IN ({", ".join(map(literal, CLOSED))})
    ) AS o ON o.order_id = i.order_id
    LEFT JOIN (
      SELECT
        p.product_id,
        COALESCE(t.product_category_name_english, p.product_category_name) AS category,
        GREATEST(p._committed_us, COALESCE(t._committed_us, 0)) AS _committed_us
      FROM products AS p
      LEFT JOIN product_category_name_translation AS t ON t.product_category_name = p.product_category_name
    ) AS p ON p.product_id = i.product_id
  )
  GROUP BY `hour`, customer_state, category
)
"""

APP = FlinkApp(
    name="sales_by_hour",
    reads=(ORDERS, CUSTOMERS, ORDER_ITEMS, PRODUCTS, CATEGORY_TRANSLATIONS),
    writes=SALES_BY_HOUR,
    select=SELECT,
    state_ttl={c.table: REMEMBERED for c in (ORDERS, CUSTOMERS, ORDER_ITEMS)},
)
