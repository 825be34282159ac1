CREATE OR REPLACE VIEW mart.dim_place AS
SELECT
  g.geolocation_zip_code_prefix AS zip_code_prefix,
  g.geolocation_city AS city,
  g.geolocation_state AS state,
  g.geolocation_lat AS latitude,
  g.geolocation_lng AS longitude
FROM warehouse.geolocation g
UNION ALL
(
  SELECT DISTINCT ON (named.zip_code_prefix)
    named.zip_code_prefix,
    named.city,
    named.state,
    NULL::double precision,
    NULL::double precision
  FROM (
    SELECT customer_zip_code_prefix AS zip_code_prefix, customer_city AS city, customer_state AS state
    FROM warehouse.customers
    UNION ALL
    SELECT seller_zip_code_prefix, seller_city, seller_state
    FROM warehouse.sellers
  ) named
  WHERE NOT EXISTS (
    SELECT FROM warehouse.geolocation g WHERE g.geolocation_zip_code_prefix = named.zip_code_prefix
  )
  GROUP BY named.zip_code_prefix, named.city, named.state
  ORDER BY named.zip_code_prefix, count(*) DESC, named.city COLLATE "C", named.state COLLATE "C"
);

COMMENT ON VIEW mart.dim_place IS 'One row per zip prefix that geolocation, a customer or a seller has, so that no join loses a row. A prefix that geolocation lacks has the city and state that most customers and sellers there name (ties: alphabetically) and no coordinates.';
COMMENT ON COLUMN mart.dim_place.zip_code_prefix IS 'First five digits of the zip code, as text; unique here.';
COMMENT ON COLUMN mart.dim_place.city IS 'City, in lower case.';
COMMENT ON COLUMN mart.dim_place.state IS 'State, two letters.';
COMMENT ON COLUMN mart.dim_place.latitude IS 'Degrees; the median of the prefix''s points; null where geolocation lacks the prefix.';
COMMENT ON COLUMN mart.dim_place.longitude IS 'Degrees; the median of the prefix''s points; null where geolocation lacks the prefix.';
