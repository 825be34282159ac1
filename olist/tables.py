"""The Olist tables, each declared once. No other file spells a table's or a column's name.

Source: the "Brazilian E-Commerce Public Dataset by Olist" as published on Kaggle; ``lenght`` is its own spelling.
Timestamps are the shop's local time without a zone. A column added later takes ``= None``: older records lack it.
"""

from __future__ import annotations

from olist.contracts import Contract, Double, GeoPoint, Int, Micros, Month, Portuguese, Price, Row, Str


class Customer(Row):
    """A customer as one order knows them; `customer_unique_id` is the person."""

    customer_id: Str
    customer_unique_id: Str
    customer_zip_code_prefix: Str
    customer_city: Str
    customer_state: Str


class Seller(Row):
    """A seller and where they ship from."""

    seller_id: Str
    seller_zip_code_prefix: Str
    seller_city: Str
    seller_state: Str


class Product(Row):
    """A product; 610 of the real ones have no category, name or photos."""

    product_id: Str
    product_category_name: Str | None
    product_name_lenght: Int | None
    product_description_lenght: Int | None
    product_photos_qty: Int | None
    product_weight_g: Int | None
    product_length_cm: Int | None
    product_height_cm: Int | None
    product_width_cm: Int | None


class CategoryTranslation(Row):
    """A category's name in English; two real categories have none."""

    product_category_name: Str
    product_category_name_english: Str


class Geolocation(Row):
    """One row per zip prefix: the source has many points each and exact duplicates.

    The reduction: latitude and longitude are the medians of the prefix's distinct points, rounded to 6 decimals
    (0.1 m); city and state are the most frequent pair, ties broken alphabetically.
    """

    geolocation_zip_code_prefix: Str
    geolocation_lat: Double
    geolocation_lng: Double
    geolocation_city: Str
    geolocation_state: Str


class Order(Row):
    """An order and its life; real orders miss dates and contradict themselves."""

    order_id: Str
    customer_id: Str
    order_status: Str
    order_purchase_timestamp: Micros
    order_approved_at: Micros | None
    order_delivered_carrier_date: Micros | None
    order_delivered_customer_date: Micros | None
    order_estimated_delivery_date: Micros


class OrderItem(Row):
    """One line of an order."""

    order_id: Str
    order_item_id: Int
    product_id: Str
    seller_id: Str
    shipping_limit_date: Micros
    price: Price
    freight_value: Price


class OrderPayment(Row):
    """One payment of an order; values need not add up to the items."""

    order_id: Str
    payment_sequential: Int
    payment_type: Str
    payment_installments: Int
    payment_value: Price


class OrderReview(Row):
    """A review; one review can serve two orders, an order can have three."""

    review_id: Str
    order_id: Str
    review_score: Int
    review_comment_title: Portuguese | None
    review_comment_message: Portuguese | None
    review_creation_date: Micros
    review_answer_timestamp: Micros | None


CUSTOMERS = Contract("customers", Customer, key=("customer_id",))
SELLERS = Contract("sellers", Seller, key=("seller_id",))
PRODUCTS = Contract("products", Product, key=("product_id",))
CATEGORY_TRANSLATIONS = Contract(
    "product_category_name_translation", CategoryTranslation, key=("product_category_name",)
)
GEOLOCATION = Contract(
    "geolocation",
    Geolocation,
    key=("geolocation_zip_code_prefix",),
    geo=GeoPoint("geolocation_point", "geolocation_lat", "geolocation_lng"),
)
ORDERS = Contract(
    "orders",
    Order,
    key=("order_id",),
    event_time="order_purchase_timestamp",
    partition_by=Month("order_purchase_timestamp"),
    sort_by=("order_purchase_timestamp",),
    history=True,
)
ORDER_ITEMS = Contract(
    "order_items",
    OrderItem,
    key=("order_id", "order_item_id"),
    event_time="shipping_limit_date",
    sort_by=("order_id", "order_item_id"),
)
ORDER_PAYMENTS = Contract(
    "order_payments",
    OrderPayment,
    key=("order_id", "payment_sequential"),
    sort_by=("order_id", "payment_sequential"),
)
ORDER_REVIEWS = Contract(
    "order_reviews",
    OrderReview,
    key=("review_id", "order_id"),
    event_time="review_creation_date",
    sort_by=("review_creation_date",),
    history=True,
)

# Parents before children: the order in which a reader that checks references wants them.
TABLES: dict[str, Contract] = {
    contract.table: contract
    for contract in (
        GEOLOCATION,
        CATEGORY_TRANSLATIONS,
        CUSTOMERS,
        SELLERS,
        PRODUCTS,
        ORDERS,
        ORDER_ITEMS,
        ORDER_PAYMENTS,
        ORDER_REVIEWS,
    )
}
