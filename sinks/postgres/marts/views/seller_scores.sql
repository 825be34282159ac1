CREATE OR REPLACE VIEW mart.seller_scores AS
SELECT
  s.seller_id,
  d.zip_code_prefix,
  s.seller_city AS city,
  s.seller_state AS state,
  p.latitude,
  p.longitude,
  s.orders,
  s.items,
  s.revenue,
  s.freight,
  s.delivered_orders,
  s.late_orders,
  s.late_rate,
  s.canceled_orders,
  s.cancel_rate,
  s.reviews,
  s.review_mean
FROM warehouse.seller_scores s
LEFT JOIN mart.dim_seller d ON d.seller_id = s.seller_id
LEFT JOIN mart.dim_place p ON p.zip_code_prefix = d.zip_code_prefix;

COMMENT ON VIEW mart.seller_scores IS 'One row per seller that has an item in an order, over all time, as the app seller_scores keeps it. An order of several sellers counts for each with its whole life: items, revenue and freight may be summed over sellers, the rest may not.';
COMMENT ON COLUMN mart.seller_scores.seller_id IS 'The seller: key of dim_seller; unique here.';
COMMENT ON COLUMN mart.seller_scores.zip_code_prefix IS 'Where the seller ships from: key of dim_place. Null until the seller''s row has arrived.';
COMMENT ON COLUMN mart.seller_scores.city IS 'Where the seller ships from. Null until the seller''s row has arrived.';
COMMENT ON COLUMN mart.seller_scores.state IS 'Where the seller ships from. Null until the seller''s row has arrived.';
COMMENT ON COLUMN mart.seller_scores.latitude IS 'Of the zip prefix, degrees; null where it is not known.';
COMMENT ON COLUMN mart.seller_scores.longitude IS 'Of the zip prefix, degrees; null where it is not known.';
COMMENT ON COLUMN mart.seller_scores.orders IS 'Different orders with an item of the seller, whatever became of them.';
COMMENT ON COLUMN mart.seller_scores.items IS 'Lines of orders that are neither canceled nor unavailable.';
COMMENT ON COLUMN mart.seller_scores.revenue IS 'Sum of those items'' prices.';
COMMENT ON COLUMN mart.seller_scores.freight IS 'Sum of those items'' freight.';
COMMENT ON COLUMN mart.seller_scores.delivered_orders IS 'Orders with a delivery time.';
COMMENT ON COLUMN mart.seller_scores.late_orders IS 'Of those, the ones that came late, as the app counts it.';
COMMENT ON COLUMN mart.seller_scores.late_rate IS 'late_orders of delivered_orders, a share with four decimals; null while none is delivered.';
COMMENT ON COLUMN mart.seller_scores.canceled_orders IS 'Orders that are canceled.';
COMMENT ON COLUMN mart.seller_scores.cancel_rate IS 'canceled_orders of orders, a share with four decimals.';
COMMENT ON COLUMN mart.seller_scores.reviews IS 'Reviews of the orders.';
COMMENT ON COLUMN mart.seller_scores.review_mean IS 'Mean score of those reviews, two decimals; null while there is none.';
