CREATE OR REPLACE VIEW mart.dim_customer AS
SELECT
  latest.customer_unique_id,
  latest.customer_zip_code_prefix AS zip_code_prefix,
  latest.customer_city AS city,
  latest.customer_state AS state,
  of_person.address_count,
  of_person.order_count,
  of_person.first_order_date,
  of_person.last_order_date
FROM (
  SELECT DISTINCT ON (c.customer_unique_id)
    c.customer_unique_id,
    c.customer_zip_code_prefix,
    c.customer_city,
    c.customer_state
  FROM warehouse.customers c
  LEFT JOIN warehouse.orders o ON o.customer_id = c.customer_id
  ORDER BY
    c.customer_unique_id,
    o.order_purchase_timestamp DESC NULLS LAST,
    c.customer_id COLLATE "C" DESC
) latest
JOIN (
  SELECT
    c.customer_unique_id,
    count(DISTINCT (c.customer_zip_code_prefix, c.customer_city, c.customer_state)) AS address_count,
    count(o.order_id) AS order_count,
    min(o.order_purchase_timestamp)::date AS first_order_date,
    max(o.order_purchase_timestamp)::date AS last_order_date
  FROM warehouse.customers c
  LEFT JOIN warehouse.orders o ON o.customer_id = c.customer_id
  GROUP BY c.customer_unique_id
) of_person ON of_person.customer_unique_id = latest.customer_unique_id;

COMMENT ON VIEW mart.dim_customer IS 'One row per person. The source knows a customer once per order, with that order''s address; the address here is that of the person''s latest order (of two at the same moment, the higher customer_id).';
COMMENT ON COLUMN mart.dim_customer.customer_unique_id IS 'The person; unique here.';
COMMENT ON COLUMN mart.dim_customer.zip_code_prefix IS 'Of the latest order''s address: key of dim_place.';
COMMENT ON COLUMN mart.dim_customer.city IS 'Of the latest order''s address.';
COMMENT ON COLUMN mart.dim_customer.state IS 'Of the latest order''s address.';
COMMENT ON COLUMN mart.dim_customer.address_count IS 'Different addresses (zip prefix, city, state) among all orders of the person.';
COMMENT ON COLUMN mart.dim_customer.order_count IS 'Orders of the person; 0 until one has arrived.';
COMMENT ON COLUMN mart.dim_customer.first_order_date IS 'Day of the first purchase: key of dim_date; null until an order has arrived.';
COMMENT ON COLUMN mart.dim_customer.last_order_date IS 'Day of the latest purchase: key of dim_date; null until an order has arrived.';
