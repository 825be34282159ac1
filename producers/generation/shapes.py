"""How the real data set is shaped: shares and medians, measured over its orders. No row of it is here.

A share is of the orders unless its name says otherwise.
"""

from __future__ import annotations

from olist.order_status import APPROVED, CANCELED, CREATED, DELIVERED, INVOICED, PROCESSING, SHIPPED, UNAVAILABLE

FIRST_DAY = 17_075  # days since 1970: 2016-10-01
DAYS = 700  # until the end of August 2018, growing month by month
GROWTH = 0.65  # the exponent of a uniform number; 1 would be no growth
HOURS = (25, 11, 5, 3, 2, 2, 6, 12, 30, 49, 59, 69, 59, 66, 64, 67, 67, 61, 57, 59, 66, 64, 58, 41)  # weights by hour

STATUSES: dict[str, float] = {
    DELIVERED: 0.9702,
    SHIPPED: 0.0111,
    CANCELED: 0.0065,
    UNAVAILABLE: 0.0060,
    INVOICED: 0.0031,
    PROCESSING: 0.0029,
    CREATED: 0.0001,
    APPROVED: 0.0001,
}
# How often an order in a status lacks a date, or (items) lacks any item.
NO_APPROVAL = {DELIVERED: 0.0004, CANCELED: 0.22, CREATED: 1.0}
NO_HANDOVER = {DELIVERED: 0.0001, SHIPPED: 0.0, CANCELED: 0.89}
NO_DELIVERY = {DELIVERED: 0.0001, CANCELED: 0.99}
NO_ITEMS = {UNAVAILABLE: 0.975, CANCELED: 0.25, INVOICED: 0.016}

APPROVED_AT_ONCE = 0.012  # to the second
APPROVED_SOON = 0.70  # within the hour; the others wait for a bank slip
HANDOVER_BEFORE_APPROVAL = 0.014
HANDOVER_BEFORE_PURCHASE = 0.0018
LATE = 0.08
HANDOVER_DAYS, HANDOVER_SPREAD = 1.8, 0.8  # median, and sigma of the logarithm
DELIVERY_DAYS, DELIVERY_SPREAD = 7.1, 0.65
EARLY_DAYS, EARLY_SPREAD = 12.0, 0.5  # delivered that long before the estimate
SHIPPING_LIMIT_DAYS, SHIPPING_LIMIT_SPREAD = 6.0, 0.35

ITEMS = (
    0.9010,
    0.0760,
    0.0137,
    0.0047,
    0.0021,
    0.0020,
    0.0001,
    0,
    0,
    0.0001,
    0.0001,
    0.0001,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0.0001,
)
SAME_PRODUCT_AGAIN = 0.6  # of an order's further items
PRICE, PRICE_SPREAD = 75.0, 0.95
FREIGHT, FREIGHT_SPREAD = 16.25, 0.45
NO_FREIGHT = 0.0033

PAYMENTS = (0.9688, 0.0254, 0.0031, 0.0011, 0.0006, 0.0004, 0.0002, 0.0001, 0.0001, 0, 0.0001, *([0.00001] * 10))
NO_PAYMENT = 0.00005
NO_FIRST_PAYMENT = 0.0008  # payment_sequential starts at 2
UNEQUAL_TOTAL = 0.003
NOTHING_PAID = 0.00014  # of payments
PAYMENT_TYPES = {"credit_card": 0.768, "boleto": 0.195, "voucher": 0.022, "debit_card": 0.01496, "not_defined": 0.00004}
INSTALMENTS = (
    0.00005,
    0.34,
    0.16,
    0.136,
    0.09,
    0.068,
    0.049,
    0.02,
    0.055,
    0.009,
    0.068,
    0.0001,
    0.0022,
    0.0004,
    0.0002,
)

REVIEWS = (0.0075, 0.9878, 0.0046, 0.0001)  # orders with no review, with one, two, three
SHARED_REVIEW = 0.004  # of reviews: the same review, under the same id, for the order before
SCORES_IN_TIME = (0.085, 0.026, 0.082, 0.200, 0.607)
SCORES_LATE = (0.45, 0.10, 0.12, 0.12, 0.21)
REVIEW_BEFORE_DELIVERY = 0.08
REVIEW_BEFORE_PURCHASE = 0.0007
REVIEW_IN_SUMMER_TIME = 0.0008  # created at 01:00:00, the others at midnight
ANSWER_DAYS, ANSWER_SPREAD = 1.7, 0.8
NO_TITLE, NO_MESSAGE = 0.8846, 0.5865
NUMBER_AS_TITLE = 0.025  # of titles
# Of messages:
BLANK_MESSAGE, CRLF, QUOTES, EMOJI = 0.0007, 0.0925, 0.005, 0.0066
COMMA = 0.35

SAME_PERSON_AGAIN = 0.034
ZIP_NOT_IN_GEOLOCATION = 0.046
PRODUCTS_PER_ORDER, SELLERS_PER_ORDER, PREFIXES_PER_ORDER = 0.331, 0.031, 0.191
MOST_PREFIXES = 19_000
POINTS_PER_PREFIX = 5
REPEATED_POINTS = 0.12
PRODUCT_WITHOUT_CATEGORY = 0.0185
PRODUCT_WITHOUT_SIZE = 0.00006
