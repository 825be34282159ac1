CREATE OR REPLACE VIEW mart.sales_by_hour AS
SELECT
  s.hour,
  s.hour::date AS purchase_date,
  d.year_month,
  d.day_name,
  d.is_weekend,
  extract(hour FROM s.hour)::integer AS hour_of_day,
  s.customer_state,
  s.category,
  s.orders,
  s.items,
  s.revenue,
  s.freight,
  s.average_ticket
FROM warehouse.sales_by_hour s
LEFT JOIN mart.dim_date d ON d.date = s.hour::date;

COMMENT ON VIEW mart.sales_by_hour IS 'One row per hour, state of the customer and category in which something was sold, as the app sales_by_hour keeps it: canceled and unavailable orders are left out.';
COMMENT ON COLUMN mart.sales_by_hour.hour IS 'Beginning of the hour of the purchase, the shop''s local time; unique with customer_state and category.';
COMMENT ON COLUMN mart.sales_by_hour.purchase_date IS 'Day of the purchase: key of dim_date.';
COMMENT ON COLUMN mart.sales_by_hour.year_month IS 'As 2017-11: sorts as it reads.';
COMMENT ON COLUMN mart.sales_by_hour.day_name IS 'Day of the week, in English.';
COMMENT ON COLUMN mart.sales_by_hour.is_weekend IS 'Saturday or Sunday.';
COMMENT ON COLUMN mart.sales_by_hour.hour_of_day IS '0 to 23.';
COMMENT ON COLUMN mart.sales_by_hour.customer_state IS 'Where the orders went, two letters; unknown until the customer''s row has arrived.';
COMMENT ON COLUMN mart.sales_by_hour.category IS 'The English name, else the Portuguese one, else unknown.';
COMMENT ON COLUMN mart.sales_by_hour.orders IS 'Different orders with an item of the category. One with items of two categories counts in both: not to be summed over categories.';
COMMENT ON COLUMN mart.sales_by_hour.items IS 'Lines of orders.';
COMMENT ON COLUMN mart.sales_by_hour.revenue IS 'Sum of the items'' prices.';
COMMENT ON COLUMN mart.sales_by_hour.freight IS 'Sum of the items'' freight.';
COMMENT ON COLUMN mart.sales_by_hour.average_ticket IS 'revenue per order of this row, two decimals.';
