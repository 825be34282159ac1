CREATE OR REPLACE VIEW mart.fact_payments AS
SELECT
  p.order_id,
  p.payment_sequential,
  c.customer_unique_id,
  c.customer_zip_code_prefix AS zip_code_prefix,
  o.order_purchase_timestamp::date AS purchase_date,
  o.order_status,
  p.payment_type,
  p.payment_installments,
  p.payment_value
FROM warehouse.order_payments p
LEFT JOIN warehouse.orders o ON o.order_id = p.order_id
LEFT JOIN warehouse.customers c ON c.customer_id = o.customer_id;

COMMENT ON VIEW mart.fact_payments IS 'One row per payment of an order; an order may be paid in several ways.';
COMMENT ON COLUMN mart.fact_payments.order_id IS 'The order: key of fact_orders.';
COMMENT ON COLUMN mart.fact_payments.payment_sequential IS 'Number of the payment in its order; unique with order_id; numbers may be missing.';
COMMENT ON COLUMN mart.fact_payments.customer_unique_id IS 'The person who ordered: key of dim_customer. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.fact_payments.zip_code_prefix IS 'Where the order went: key of dim_place. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.fact_payments.purchase_date IS 'Day of the purchase: key of dim_date. Null until the order has arrived.';
COMMENT ON COLUMN mart.fact_payments.order_status IS 'The order''s status now. Null until the order has arrived.';
COMMENT ON COLUMN mart.fact_payments.payment_type IS 'How it was paid.';
COMMENT ON COLUMN mart.fact_payments.payment_installments IS 'In how many instalments; 0 occurs in the source.';
COMMENT ON COLUMN mart.fact_payments.payment_value IS 'What was paid, interest included.';
