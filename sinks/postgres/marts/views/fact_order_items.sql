CREATE OR REPLACE VIEW mart.fact_order_items AS
SELECT
  i.order_id,
  i.order_item_id,
  i.product_id,
  i.seller_id,
  c.customer_unique_id,
  c.customer_zip_code_prefix AS zip_code_prefix,
  o.order_purchase_timestamp::date AS purchase_date,
  o.order_status,
  i.shipping_limit_date AS shipping_limit_at,
  i.price,
  i.freight_value,
  i.price + i.freight_value AS item_total
FROM warehouse.order_items i
LEFT JOIN warehouse.orders o ON o.order_id = i.order_id
LEFT JOIN warehouse.customers c ON c.customer_id = o.customer_id;

COMMENT ON VIEW mart.fact_order_items IS 'One row per line of an order: what was bought of whom, for how much.';
COMMENT ON COLUMN mart.fact_order_items.order_id IS 'The order: key of fact_orders.';
COMMENT ON COLUMN mart.fact_order_items.order_item_id IS 'Number of the line in its order, from 1; unique with order_id.';
COMMENT ON COLUMN mart.fact_order_items.product_id IS 'The product: key of dim_product.';
COMMENT ON COLUMN mart.fact_order_items.seller_id IS 'The seller: key of dim_seller.';
COMMENT ON COLUMN mart.fact_order_items.customer_unique_id IS 'The person who ordered: key of dim_customer. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.fact_order_items.zip_code_prefix IS 'Where the order went: key of dim_place. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.fact_order_items.purchase_date IS 'Day of the purchase: key of dim_date. Null until the order has arrived.';
COMMENT ON COLUMN mart.fact_order_items.order_status IS 'The order''s status now. Null until the order has arrived.';
COMMENT ON COLUMN mart.fact_order_items.shipping_limit_at IS 'Until when the seller must hand it to the carrier.';
COMMENT ON COLUMN mart.fact_order_items.price IS 'Price of the line.';
COMMENT ON COLUMN mart.fact_order_items.freight_value IS 'Freight of the line.';
COMMENT ON COLUMN mart.fact_order_items.item_total IS 'price + freight_value.';
