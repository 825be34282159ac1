CREATE OR REPLACE VIEW mart.review_signals AS
SELECT
  s.review_id,
  s.order_id,
  c.customer_unique_id,
  c.customer_zip_code_prefix AS zip_code_prefix,
  o.order_purchase_timestamp::date AS purchase_date,
  s.review_creation_date::date AS created_date,
  s.review_score,
  s.language,
  s.characters,
  s.words,
  s.has_title,
  s.topics,
  s.counterfeit,
  s.damaged,
  s.late_delivery,
  s.missing_part,
  s.not_received,
  s.out_of_stock,
  s.poor_quality,
  s.refund,
  s.seller_contact,
  s.wrong_product,
  s.order_status,
  s.delivered,
  s.days_late,
  s.days_to_review
FROM warehouse.review_signals s
LEFT JOIN warehouse.orders o ON o.order_id = s.order_id
LEFT JOIN warehouse.customers c ON c.customer_id = o.customer_id;

COMMENT ON VIEW mart.review_signals IS 'One row per review and order, as the app review_signals reads it: what the text complains of, and how late the order was. The topics are one column of 0 and 1 each: an average is a share.';
COMMENT ON COLUMN mart.review_signals.review_id IS 'The review; unique with order_id: key of fact_reviews.';
COMMENT ON COLUMN mart.review_signals.order_id IS 'An order that it is about: key of fact_orders.';
COMMENT ON COLUMN mart.review_signals.customer_unique_id IS 'The person who ordered: key of dim_customer. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.review_signals.zip_code_prefix IS 'Where the order went: key of dim_place. Null until order and customer have arrived.';
COMMENT ON COLUMN mart.review_signals.purchase_date IS 'Day of the purchase: key of dim_date. Null until the order has arrived.';
COMMENT ON COLUMN mart.review_signals.created_date IS 'Day on which the customer was asked: key of dim_date.';
COMMENT ON COLUMN mart.review_signals.review_score IS 'From 1 to 5.';
COMMENT ON COLUMN mart.review_signals.language IS 'Of title and message: pt, other, or none where there is no word.';
COMMENT ON COLUMN mart.review_signals.characters IS 'Characters of the message.';
COMMENT ON COLUMN mart.review_signals.words IS 'Words of the message.';
COMMENT ON COLUMN mart.review_signals.has_title IS '1 where there is a title, else 0.';
COMMENT ON COLUMN mart.review_signals.topics IS 'What it complains of: the names of the columns that are 1, sorted, one space between.';
COMMENT ON COLUMN mart.review_signals.counterfeit IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.damaged IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.late_delivery IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.missing_part IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.not_received IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.out_of_stock IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.poor_quality IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.refund IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.seller_contact IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.wrong_product IS '1 where it complains of this, else 0.';
COMMENT ON COLUMN mart.review_signals.order_status IS 'The order''s status now, as the app knows it; null while the app does not know the order.';
COMMENT ON COLUMN mart.review_signals.delivered IS '1 where the order is delivered, else 0; null while the app does not know the order.';
COMMENT ON COLUMN mart.review_signals.days_late IS 'Calendar days from the promised day to the delivery; early is negative; null until delivered.';
COMMENT ON COLUMN mart.review_signals.days_to_review IS 'Calendar days from the delivery to the review; negative: asked for before it; null until delivered.';
