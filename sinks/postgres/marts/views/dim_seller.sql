CREATE OR REPLACE VIEW mart.dim_seller AS
SELECT
  s.seller_id,
  s.seller_zip_code_prefix AS zip_code_prefix,
  s.seller_city AS city,
  s.seller_state AS state
FROM warehouse.sellers s;

COMMENT ON VIEW mart.dim_seller IS 'One row per seller.';
COMMENT ON COLUMN mart.dim_seller.seller_id IS 'The seller; unique here.';
COMMENT ON COLUMN mart.dim_seller.zip_code_prefix IS 'Where the seller ships from: key of dim_place.';
COMMENT ON COLUMN mart.dim_seller.city IS 'Where the seller ships from, as the seller spells it.';
COMMENT ON COLUMN mart.dim_seller.state IS 'Where the seller ships from.';
