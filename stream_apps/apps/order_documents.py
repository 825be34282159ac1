"""One document per order for search: everything that is known of it, in one row.

Reads: orders, customers, order_items, products, product_category_name_translation, sellers, order_payments,
    order_reviews.
Writes: `order_documents`, one row per order, keyed by order.
State: the parts of each order, and its customer, for two years of wall time after they last changed (the longest real
    order took 528 days to its last review); products, sellers and translations for ever. A part that changes later than
    that writes a document without the parts that were forgotten.
Guarantee: exactly once into the topic. Whatever the order in which parts arrive, and after any update or delete of any
    part, the document is what the newest rows of all topics say. A part whose parent is missing yet is shown as far as
    it is known: an order without its customer has no city, an item without its product no category. Parts without
    their order are in no document.
"""

from __future__ import annotations

from datetime import timedelta

from olist.contracts import Contract, Int, Micros, Month, Portuguese, Price, Row, Str
from olist.tables import (
    CATEGORY_TRANSLATIONS,
    CUSTOMERS,
    ORDER_ITEMS,
    ORDER_PAYMENTS,
    ORDER_REVIEWS,
    ORDERS,
    PRODUCTS,
    SELLERS,
)
from stream_apps.app import FlinkApp
from stream_apps.flink_sql.rows import fields, json_list, one_row


class DocumentItem(Row):
    """One line of the order, by line number."""

    order_item_id: Int
    product_id: Str
    category: Str | None  # in Portuguese, as the shop calls it
    category_english: Str | None
    seller_id: Str
    seller_city: Str | None
    seller_state: Str | None
    price: Price
    freight_value: Price


class DocumentPayment(Row):
    """One payment, by its number."""

    payment_sequential: Int
    payment_type: Str
    payment_installments: Int
    payment_value: Price


class DocumentReview(Row):
    """One review, in the order in which they were asked for."""

    review_id: Str
    review_score: Int
    review_comment_title: Portuguese | None
    review_comment_message: Portuguese | None
    review_creation_date: Micros
    review_answer_timestamp: Micros | None


class OrderHead(Row):
    """The order itself, and its customer as far as it is known."""

    order_id: Str
    order_status: Str
    order_purchase_timestamp: Micros
    order_approved_at: Micros | None
    order_delivered_carrier_date: Micros | None
    order_delivered_customer_date: Micros | None
    order_estimated_delivery_date: Micros
    customer_id: Str
    customer_unique_id: Str | None
    customer_zip_code_prefix: Str | None
    customer_city: Str | None
    customer_state: Str | None


class OrderDocument(OrderHead):
    """An order with all its parts.

    `delivery_days` and `days_late` are differences of calendar days: from purchase to delivery, and from the estimated
    date to delivery (negative when early). Both are null until it is delivered. Totals are sums over the lists.
    """

    delivery_days: Int | None
    days_late: Int | None
    items_total: Price
    freight_total: Price
    payments_total: Price
    items: list[DocumentItem]
    payments: list[DocumentPayment]
    reviews: list[DocumentReview]


ORDER_DOCUMENTS = Contract(
    "order_documents",
    OrderDocument,
    key=("order_id",),
    event_time="order_purchase_timestamp",
    partition_by=Month("order_purchase_timestamp"),
    sort_by=("order_purchase_timestamp",),
    targets=("iceberg", "opensearch"),
)

DAY_US = 86_400_000_000

SELECT = f"""
SELECT
  o.order_id,
  {fields("o.head", OrderHead, but=("order_id",))},
  o.head.order_delivered_customer_date / {DAY_US} - o.head.order_purchase_timestamp / {DAY_US} AS delivery_days,
  o.head.order_delivered_customer_date / {DAY_US} - o.head.order_estimated_delivery_date / {DAY_US} AS days_late,
  COALESCE(i.items_total, 0) AS items_total,
  COALESCE(i.freight_total, 0) AS freight_total,
  COALESCE(p.payments_total, 0) AS payments_total,
  COALESCE(i.items, '[]') AS items,
  COALESCE(p.payments, '[]') AS payments,
  COALESCE(r.reviews, '[]') AS reviews,
  GREATEST(
    o.head._committed_us,
    COALESCE(i._committed_us, 0),
    COALESCE(p._committed_us, 0),
    COALESCE(r._committed_us, 0)
  ) AS _committed_us
FROM (
  SELECT order_id, {one_row(OrderHead)} AS head
  FROM (
    SELECT
      o.order_id,
      o.order_status,
      o.order_purchase_timestamp,
      o.order_approved_at,
      o.order_delivered_carrier_date,
      o.order_delivered_customer_date,
      o.order_estimated_delivery_date,
      o.customer_id,
      c.customer_unique_id,
      c.customer_zip_code_prefix,
      c.customer_city,
      c.customer_state,
      GREATEST(o._committed_us, COALESCE(c._committed_us, 0)) AS _committed_us
    FROM orders AS o
    LEFT JOIN customers AS c ON c.customer_id = o.customer_id
  )
  GROUP BY order_id
) AS o
LEFT JOIN (
  SELECT
    order_id,
    SUM(price) AS items_total,
    SUM(freight_value) AS freight_total,
    {json_list(DocumentItem, order_by=("order_item_id",))} AS items,
    MAX(_committed_us) AS _committed_us
  FROM (
    SELECT
      i.order_id,
      i.order_item_id,
      i.product_id,
      d.product_category_name AS category,
      t.product_category_name_english AS category_english,
      i.seller_id,
      s.seller_city,
      s.seller_state,
      i.price,
      i.freight_value,
      GREATEST(
        i._committed_us,
        COALESCE(d._committed_us, 0),
        COALESCE(t._committed_us, 0),
        COALESCE(s._committed_us, 0)
      ) AS _committed_us
    FROM order_items AS i
    LEFT JOIN products AS d ON d.product_id = i.product_id
    LEFT JOIN product_category_name_translation AS t ON t.product_category_name = d.product_category_name
    LEFT JOIN sellers AS s ON s.seller_id = i.seller_id
  )
  GROUP BY order_id
) AS i ON i.order_id = o.order_id
LEFT JOIN (
  SELECT
    order_id,
    SUM(payment_value) AS payments_total,
    {json_list(DocumentPayment, order_by=("payment_sequential",))} AS payments,
    MAX(_committed_us) AS _committed_us
  FROM order_payments
  GROUP BY order_id
) AS p ON p.order_id = o.order_id
LEFT JOIN (
  SELECT
    order_id,
    {json_list(DocumentReview, order_by=("review_creation_date", "review_id"))} AS reviews,
    MAX(_committed_us) AS _committed_us
  FROM order_reviews
  GROUP BY order_id
) AS r ON r.order_id = o.order_id
"""

REMEMBERED = timedelta(days=730)

APP = FlinkApp(
    name="order_documents",
    reads=(
        ORDERS,
        CUSTOMERS,
        ORDER_ITEMS,
        PRODUCTS,
        CATEGORY_TRANSLATIONS,
        SELLERS,
        ORDER_PAYMENTS,
        ORDER_REVIEWS,
    ),
    writes=ORDER_DOCUMENTS,
    select=SELECT,
    state_ttl={c.table: REMEMBERED for c in (ORDERS, CUSTOMERS, ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS)},
)
