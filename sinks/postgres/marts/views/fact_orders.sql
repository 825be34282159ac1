CREATE OR REPLACE VIEW mart.fact_orders AS
SELECT
  o.order_id,
  c.customer_unique_id,
  c.customer_zip_code_prefix AS zip_code_prefix,
  o.order_purchase_timestamp::date AS purchase_date,
  o.order_status,
  o.order_purchase_timestamp AS purchased_at,
  o.order_approved_at AS approved_at,
  o.order_delivered_carrier_date AS handed_over_at,
  o.order_delivered_customer_date AS delivered_at,
  o.order_delivered_customer_date::date AS delivered_date,
  o.order_estimated_delivery_date::date AS estimated_date,
  round(extract(epoch FROM o.order_approved_at - o.order_purchase_timestamp) / 3600, 2) AS hours_to_approval,
  round(extract(epoch FROM o.order_delivered_carrier_date - o.order_approved_at) / 3600, 2) AS hours_to_handover,
  round(extract(epoch FROM o.order_delivered_customer_date - o.order_delivered_carrier_date) / 3600, 2)
    AS hours_in_transit,
  round(extract(epoch FROM o.order_delivered_customer_date - o.order_purchase_timestamp) / 3600, 2)
    AS hours_to_delivery,
  o.order_delivered_customer_date::date - o.order_estimated_delivery_date::date AS days_late,
  o.order_delivered_customer_date::date > o.order_estimated_delivery_date::date AS is_late,
  coalesce(i.item_count, 0) AS item_count,
  coalesce(i.seller_count, 0) AS seller_count,
  coalesce(i.items_total, 0.00) AS items_total,
  coalesce(i.freight_total, 0.00) AS freight_total,
  coalesce(i.items_total + i.freight_total, 0.00) AS order_total,
  coalesce(p.payment_count, 0) AS payment_count,
  coalesce(p.payments_total, 0.00) AS payments_total,
  coalesce(r.review_count, 0) AS review_count,
  r.review_score_mean
FROM warehouse.orders o
LEFT JOIN warehouse.customers c ON c.customer_id = o.customer_id
LEFT JOIN (
  SELECT
    order_id,
    count(*) AS item_count,
    count(DISTINCT seller_id) AS seller_count,
    sum(price) AS items_total,
    sum(freight_value) AS freight_total
  FROM warehouse.order_items
  GROUP BY order_id
) i ON i.order_id = o.order_id
LEFT JOIN (
  SELECT order_id, count(*) AS payment_count, sum(payment_value) AS payments_total
  FROM warehouse.order_payments
  GROUP BY order_id
) p ON p.order_id = o.order_id
LEFT JOIN (
  SELECT order_id, count(*) AS review_count, round(avg(review_score), 2) AS review_score_mean
  FROM warehouse.order_reviews
  GROUP BY order_id
) r ON r.order_id = o.order_id;

COMMENT ON VIEW mart.fact_orders IS 'One row per order: its life, how late it came, and the totals of its items, payments and reviews.';
COMMENT ON COLUMN mart.fact_orders.order_id IS 'The order; unique here.';
COMMENT ON COLUMN mart.fact_orders.customer_unique_id IS 'The person who ordered: key of dim_customer. Null until the customer''s row has arrived.';
COMMENT ON COLUMN mart.fact_orders.zip_code_prefix IS 'Where this order went: key of dim_place. Null until the customer''s row has arrived.';
COMMENT ON COLUMN mart.fact_orders.purchase_date IS 'Day of the purchase: key of dim_date.';
COMMENT ON COLUMN mart.fact_orders.order_status IS 'The order''s status now.';
COMMENT ON COLUMN mart.fact_orders.purchased_at IS 'When it was bought. All times are the shop''s local time.';
COMMENT ON COLUMN mart.fact_orders.approved_at IS 'When the payment was approved; null until then.';
COMMENT ON COLUMN mart.fact_orders.handed_over_at IS 'When the seller handed it to the carrier; null until then.';
COMMENT ON COLUMN mart.fact_orders.delivered_at IS 'When the customer had it; null until then. Some delivered orders never got the time.';
COMMENT ON COLUMN mart.fact_orders.delivered_date IS 'Day of the delivery: key of dim_date; null until then.';
COMMENT ON COLUMN mart.fact_orders.estimated_date IS 'The day promised at purchase: key of dim_date.';
COMMENT ON COLUMN mart.fact_orders.hours_to_approval IS 'Hours from purchase to approval, two decimals; null until approved.';
COMMENT ON COLUMN mart.fact_orders.hours_to_handover IS 'Hours from approval to the carrier, two decimals; negative where the source says so; null until both are known.';
COMMENT ON COLUMN mart.fact_orders.hours_in_transit IS 'Hours from the carrier to the customer, two decimals; negative where the source says so; null until both are known.';
COMMENT ON COLUMN mart.fact_orders.hours_to_delivery IS 'Hours from purchase to the customer, two decimals; null until delivered.';
COMMENT ON COLUMN mart.fact_orders.days_late IS 'Calendar days from the promised day to the delivery: positive is late, negative early; null until delivered.';
COMMENT ON COLUMN mart.fact_orders.is_late IS 'Delivered after the promised day; null until delivered.';
COMMENT ON COLUMN mart.fact_orders.item_count IS 'Lines in fact_order_items; 0 for an order without items.';
COMMENT ON COLUMN mart.fact_orders.seller_count IS 'Different sellers among its items; 0 for an order without items.';
COMMENT ON COLUMN mart.fact_orders.items_total IS 'Sum of its items'' prices; 0.00 for an order without items.';
COMMENT ON COLUMN mart.fact_orders.freight_total IS 'Sum of its items'' freight; 0.00 for an order without items.';
COMMENT ON COLUMN mart.fact_orders.order_total IS 'items_total + freight_total.';
COMMENT ON COLUMN mart.fact_orders.payment_count IS 'Rows in fact_payments; 0 for an order without payments.';
COMMENT ON COLUMN mart.fact_orders.payments_total IS 'Sum of its payments; need not equal order_total (instalments carry interest); 0.00 without payments.';
COMMENT ON COLUMN mart.fact_orders.review_count IS 'Rows in fact_reviews; 0 for an order without reviews.';
COMMENT ON COLUMN mart.fact_orders.review_score_mean IS 'Mean score of its reviews, two decimals; null without reviews.';
