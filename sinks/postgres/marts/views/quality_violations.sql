CREATE OR REPLACE VIEW mart.quality_violations AS
SELECT
  v.check_name,
  v.table_name,
  v.row_key,
  v.kind,
  v.message,
  v.found,
  v.opened_at,
  v.order_id,
  v.product_id,
  v.seller_id,
  c.customer_unique_id,
  c.customer_zip_code_prefix AS zip_code_prefix,
  o.order_purchase_timestamp::date AS purchase_date
FROM (
  -- By pattern, since one key that jsonb refuses would fail the whole view.
  SELECT
    *,
    substring(row_key FROM '"order_id":"([^"]*)"') AS order_id,
    substring(row_key FROM '"product_id":"([^"]*)"') AS product_id,
    substring(row_key FROM '"seller_id":"([^"]*)"') AS seller_id
  FROM warehouse.quality_violations
) v
LEFT JOIN warehouse.orders o ON o.order_id = v.order_id
LEFT JOIN warehouse.customers c ON c.customer_id = o.customer_id;

COMMENT ON VIEW mart.quality_violations IS 'One row per check and row that breaks it now, as the app quality finds them: mended ones are gone.';
COMMENT ON COLUMN mart.quality_violations.check_name IS 'The rule; unique with table_name and row_key.';
COMMENT ON COLUMN mart.quality_violations.table_name IS 'Whose row breaks it.';
COMMENT ON COLUMN mart.quality_violations.row_key IS 'The row''s key, and what it refers to by, as JSON; of an undecodable record topic, partition and offset.';
COMMENT ON COLUMN mart.quality_violations.kind IS 'What sort of rule it is.';
COMMENT ON COLUMN mart.quality_violations.message IS 'What the rule asks for.';
COMMENT ON COLUMN mart.quality_violations.found IS 'The columns that the rule looks at, as JSON; null where there is nothing to show.';
COMMENT ON COLUMN mart.quality_violations.opened_at IS 'Since when, the shop''s local time; null where the record''s time cannot be read.';
COMMENT ON COLUMN mart.quality_violations.order_id IS 'Of row_key: key of fact_orders, unless it is what is missing; null where the row is of no order.';
COMMENT ON COLUMN mart.quality_violations.product_id IS 'Of row_key: key of dim_product, unless it is what is missing; null where the row is of no product.';
COMMENT ON COLUMN mart.quality_violations.seller_id IS 'Of row_key: key of dim_seller, unless it is what is missing; null where the row is of no seller.';
COMMENT ON COLUMN mart.quality_violations.customer_unique_id IS 'The person who ordered: key of dim_customer; null where the order is not known.';
COMMENT ON COLUMN mart.quality_violations.zip_code_prefix IS 'Where the order went: key of dim_place; null where the order is not known.';
COMMENT ON COLUMN mart.quality_violations.purchase_date IS 'Day of the purchase: key of dim_date; null where the order is not known.';
