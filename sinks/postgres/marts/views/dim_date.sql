CREATE OR REPLACE VIEW mart.dim_date AS
SELECT
  day::date AS date,
  extract(year FROM day)::integer AS year,
  extract(quarter FROM day)::integer AS quarter,
  extract(month FROM day)::integer AS month,
  to_char(day, 'FMMonth') AS month_name,
  to_char(day, 'YYYY-MM') AS year_month,
  extract(isoyear FROM day)::integer AS iso_year,
  extract(week FROM day)::integer AS iso_week,
  extract(day FROM day)::integer AS day_of_month,
  extract(isodow FROM day)::integer AS day_of_week,
  to_char(day, 'FMDay') AS day_name,
  extract(isodow FROM day) >= 6 AS is_weekend
FROM (
  SELECT least(o.first, r.first) AS first, greatest(o.last, r.last) AS last
  FROM (
    SELECT
      min(least(order_purchase_timestamp, order_delivered_customer_date, order_estimated_delivery_date)) AS first,
      max(greatest(order_purchase_timestamp, order_delivered_customer_date, order_estimated_delivery_date)) AS last
    FROM warehouse.orders
  ) o
  CROSS JOIN (
    SELECT min(review_creation_date) AS first, max(review_creation_date) AS last
    FROM warehouse.order_reviews
  ) r
) data
CROSS JOIN LATERAL generate_series(
  date_trunc('year', data.first),
  date_trunc('year', data.last) + interval '1 year - 1 day',
  interval '1 day'
) AS day;

COMMENT ON VIEW mart.dim_date IS 'One row per day of every year between the first and the last purchase, delivery, promised day or review: every date key of a fact has its row.';
COMMENT ON COLUMN mart.dim_date.date IS 'The day; unique here.';
COMMENT ON COLUMN mart.dim_date.year IS 'Calendar year.';
COMMENT ON COLUMN mart.dim_date.quarter IS '1 to 4.';
COMMENT ON COLUMN mart.dim_date.month IS '1 to 12.';
COMMENT ON COLUMN mart.dim_date.month_name IS 'In English.';
COMMENT ON COLUMN mart.dim_date.year_month IS 'As 2017-11: sorts as it reads.';
COMMENT ON COLUMN mart.dim_date.iso_year IS 'Year of the ISO week; differs from year around New Year.';
COMMENT ON COLUMN mart.dim_date.iso_week IS 'ISO week, 1 to 53; weeks begin on Monday.';
COMMENT ON COLUMN mart.dim_date.day_of_month IS '1 to 31.';
COMMENT ON COLUMN mart.dim_date.day_of_week IS '1 is Monday, 7 is Sunday.';
COMMENT ON COLUMN mart.dim_date.day_name IS 'In English.';
COMMENT ON COLUMN mart.dim_date.is_weekend IS 'Saturday or Sunday.';
