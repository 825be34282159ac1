CREATE OR REPLACE VIEW mart.dim_product AS
SELECT
  p.product_id,
  coalesce(t.product_category_name_english, p.product_category_name, 'uncategorised') AS category,
  p.product_category_name AS category_portuguese,
  t.product_category_name_english AS category_english,
  p.product_name_lenght AS name_length,
  p.product_description_lenght AS description_length,
  p.product_photos_qty AS photo_count,
  p.product_weight_g AS weight_g,
  p.product_length_cm AS length_cm,
  p.product_height_cm AS height_cm,
  p.product_width_cm AS width_cm,
  p.product_length_cm::bigint * p.product_height_cm * p.product_width_cm AS volume_cm3
FROM warehouse.products p
LEFT JOIN warehouse.product_category_name_translation t ON t.product_category_name = p.product_category_name;

COMMENT ON VIEW mart.dim_product IS 'One row per product, its category in both languages.';
COMMENT ON COLUMN mart.dim_product.product_id IS 'The product; unique here.';
COMMENT ON COLUMN mart.dim_product.category IS 'To group by, never null: the English name, else the Portuguese one, else uncategorised.';
COMMENT ON COLUMN mart.dim_product.category_portuguese IS 'The category as the shop has it; null where the product has none.';
COMMENT ON COLUMN mart.dim_product.category_english IS 'Its translation; null where there is none.';
COMMENT ON COLUMN mart.dim_product.name_length IS 'Characters of the product''s name; null where it has none.';
COMMENT ON COLUMN mart.dim_product.description_length IS 'Characters of its description; null where it has none.';
COMMENT ON COLUMN mart.dim_product.photo_count IS 'Published photos; null where that is not known.';
COMMENT ON COLUMN mart.dim_product.weight_g IS 'Grams.';
COMMENT ON COLUMN mart.dim_product.length_cm IS 'Centimetres.';
COMMENT ON COLUMN mart.dim_product.height_cm IS 'Centimetres.';
COMMENT ON COLUMN mart.dim_product.width_cm IS 'Centimetres.';
COMMENT ON COLUMN mart.dim_product.volume_cm3 IS 'length x height x width; null where one is not known.';
