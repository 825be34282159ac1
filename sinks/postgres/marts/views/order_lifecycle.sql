CREATE OR REPLACE VIEW mart.order_lifecycle AS
SELECT
  l.order_id,
  c.customer_unique_id,
  c.customer_zip_code_prefix AS zip_code_prefix,
  l.order_purchase_timestamp::date AS purchase_date,
  l.order_status,
  l.order_purchase_timestamp AS purchased_at,
  l.ended_at,
  round(extract(epoch FROM l.ended_at - l.order_purchase_timestamp) / 3600, 2) AS hours_to_end,
  l.moves,
  l.illegal_moves,
  round(l.created_s / 3600.0, 2) AS hours_created,
  round(l.approved_s / 3600.0, 2) AS hours_approved,
  round(l.invoiced_s / 3600.0, 2) AS hours_invoiced,
  round(l.processing_s / 3600.0, 2) AS hours_processing,
  round(l.shipped_s / 3600.0, 2) AS hours_shipped,
  l.open_alerts
FROM warehouse.order_lifecycle l
LEFT JOIN warehouse.orders o ON o.order_id = l.order_id
LEFT JOIN warehouse.customers c ON c.customer_id = o.customer_id;

COMMENT ON VIEW mart.order_lifecycle IS 'One row per order, as the app order_lifecycle keeps it: its way through its states, and how long it was in each.';
COMMENT ON COLUMN mart.order_lifecycle.order_id IS 'The order: key of fact_orders; unique here.';
COMMENT ON COLUMN mart.order_lifecycle.customer_unique_id IS 'The person who ordered: key of dim_customer. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.order_lifecycle.zip_code_prefix IS 'Where the order went: key of dim_place. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.order_lifecycle.purchase_date IS 'Day of the purchase: key of dim_date.';
COMMENT ON COLUMN mart.order_lifecycle.order_status IS 'The order''s status now, as the app knows it.';
COMMENT ON COLUMN mart.order_lifecycle.purchased_at IS 'When it was bought. All times are the shop''s local time.';
COMMENT ON COLUMN mart.order_lifecycle.ended_at IS 'When it was delivered, canceled or unavailable; null while it is on its way.';
COMMENT ON COLUMN mart.order_lifecycle.hours_to_end IS 'From the purchase to ended_at, two decimals.';
COMMENT ON COLUMN mart.order_lifecycle.moves IS 'The statuses seen, in order: created > approved > shipped.';
COMMENT ON COLUMN mart.order_lifecycle.illegal_moves IS 'How many of its moves no order may make.';
COMMENT ON COLUMN mart.order_lifecycle.hours_created IS 'Hours in the status created, of all stays that are over, two decimals; null: none.';
COMMENT ON COLUMN mart.order_lifecycle.hours_approved IS 'As hours_created, of the status approved.';
COMMENT ON COLUMN mart.order_lifecycle.hours_invoiced IS 'As hours_created, of the status invoiced.';
COMMENT ON COLUMN mart.order_lifecycle.hours_processing IS 'As hours_created, of the status processing.';
COMMENT ON COLUMN mart.order_lifecycle.hours_shipped IS 'As hours_created, of the status shipped.';
COMMENT ON COLUMN mart.order_lifecycle.open_alerts IS 'Rows of order_alerts for this order that are open.';
