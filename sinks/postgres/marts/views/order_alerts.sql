CREATE OR REPLACE VIEW mart.order_alerts AS
SELECT
  a.order_id,
  a.kind,
  c.customer_unique_id,
  c.customer_zip_code_prefix AS zip_code_prefix,
  o.order_purchase_timestamp::date AS purchase_date,
  o.order_status,
  a.raised_at,
  a.cleared_at,
  a.cleared_at IS NULL AS is_open,
  round(extract(epoch FROM a.cleared_at - a.raised_at) / 3600, 2) AS hours_open,
  a.items AS late_items
FROM warehouse.order_alerts a
LEFT JOIN warehouse.orders o ON o.order_id = a.order_id
LEFT JOIN warehouse.customers c ON c.customer_id = o.customer_id;

COMMENT ON VIEW mart.order_alerts IS 'One row per order and kind of alert, as the app order_lifecycle raises them: a deadline that passed, or a move that no order may make.';
COMMENT ON COLUMN mart.order_alerts.order_id IS 'The order: key of fact_orders; unique with kind.';
COMMENT ON COLUMN mart.order_alerts.kind IS 'not_approved, not_handed_over, not_delivered or illegal_move.';
COMMENT ON COLUMN mart.order_alerts.customer_unique_id IS 'The person who ordered: key of dim_customer. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.order_alerts.zip_code_prefix IS 'Where the order went: key of dim_place. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.order_alerts.purchase_date IS 'Day of the purchase: key of dim_date. Null until the order has arrived.';
COMMENT ON COLUMN mart.order_alerts.order_status IS 'The order''s status now. Null until the order has arrived.';
COMMENT ON COLUMN mart.order_alerts.raised_at IS 'The deadline that passed, or when the move was made. No key of dim_date: some shipping limits are years off.';
COMMENT ON COLUMN mart.order_alerts.cleared_at IS 'When what was missing came; null while it is open.';
COMMENT ON COLUMN mart.order_alerts.is_open IS 'Nothing has cleared it.';
COMMENT ON COLUMN mart.order_alerts.hours_open IS 'From raised_at to cleared_at, two decimals; null while it is open.';
COMMENT ON COLUMN mart.order_alerts.late_items IS 'not_handed_over: the order_item_id of each item whose limit was passed, as 1, 3; else null.';
