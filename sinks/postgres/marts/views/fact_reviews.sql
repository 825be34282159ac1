CREATE OR REPLACE VIEW mart.fact_reviews AS
SELECT
  r.review_id,
  r.order_id,
  c.customer_unique_id,
  c.customer_zip_code_prefix AS zip_code_prefix,
  o.order_purchase_timestamp::date AS purchase_date,
  r.review_creation_date::date AS created_date,
  r.review_answer_timestamp AS answered_at,
  round(extract(epoch FROM r.review_answer_timestamp - r.review_creation_date) / 3600, 2) AS hours_to_answer,
  r.review_score,
  r.review_comment_title AS comment_title,
  r.review_comment_message AS comment_message,
  coalesce(r.review_comment_title, r.review_comment_message) IS NOT NULL AS has_comment,
  count(*) OVER (PARTITION BY r.review_id) AS orders_of_review,
  row_number() OVER (PARTITION BY r.review_id ORDER BY r.order_id COLLATE "C") AS order_of_review
FROM warehouse.order_reviews r
LEFT JOIN warehouse.orders o ON o.order_id = r.order_id
LEFT JOIN warehouse.customers c ON c.customer_id = o.customer_id;

COMMENT ON VIEW mart.fact_reviews IS 'One row per review and order. One review can serve several orders, an order can have several reviews: to count each review once, WHERE order_of_review = 1.';
COMMENT ON COLUMN mart.fact_reviews.review_id IS 'The review; unique with order_id, not alone.';
COMMENT ON COLUMN mart.fact_reviews.order_id IS 'An order that it is about: key of fact_orders.';
COMMENT ON COLUMN mart.fact_reviews.customer_unique_id IS 'The person who ordered: key of dim_customer. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.fact_reviews.zip_code_prefix IS 'Where the order went: key of dim_place. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.fact_reviews.purchase_date IS 'Day of the purchase: key of dim_date. Null until the order has arrived.';
COMMENT ON COLUMN mart.fact_reviews.created_date IS 'Day on which the customer was asked: key of dim_date.';
COMMENT ON COLUMN mart.fact_reviews.answered_at IS 'When the customer answered; null until then.';
COMMENT ON COLUMN mart.fact_reviews.hours_to_answer IS 'Hours from the start of created_date to the answer, two decimals; null until answered.';
COMMENT ON COLUMN mart.fact_reviews.review_score IS 'From 1 to 5.';
COMMENT ON COLUMN mart.fact_reviews.comment_title IS 'The comment''s title, in Portuguese; null for most.';
COMMENT ON COLUMN mart.fact_reviews.comment_message IS 'The comment, in Portuguese; null for more than half.';
COMMENT ON COLUMN mart.fact_reviews.has_comment IS 'Whether there is a title or a message.';
COMMENT ON COLUMN mart.fact_reviews.orders_of_review IS 'How many orders the review serves.';
COMMENT ON COLUMN mart.fact_reviews.order_of_review IS 'Numbers the orders of one review from 1, by order_id.';
