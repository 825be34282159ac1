CREATE TEMPORARY TABLE `topic_of_orders` (
  `order_id` STRING NOT NULL,
  `after` ROW<`order_id` STRING, `customer_id` STRING, `order_status` STRING, `order_purchase_timestamp` BIGINT, `order_approved_at` BIGINT, `order_delivered_carrier_date` BIGINT, `order_delivered_customer_date` BIGINT, `order_estimated_delivery_date` BIGINT>,
  `op` STRING,
  `source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>,
  PRIMARY KEY (`order_id`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.orders',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.group.id' = 'olist.public.seller_scores',
  'properties.isolation.level' = 'read_committed',
  'key.json.ignore-parse-errors' = 'true',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW `orders` AS
SELECT
  `order_id`,
  `after`.`customer_id` AS `customer_id`,
  `after`.`order_status` AS `order_status`,
  `after`.`order_purchase_timestamp` AS `order_purchase_timestamp`,
  `after`.`order_approved_at` AS `order_approved_at`,
  `after`.`order_delivered_carrier_date` AS `order_delivered_carrier_date`,
  `after`.`order_delivered_customer_date` AS `order_delivered_customer_date`,
  `after`.`order_estimated_delivery_date` AS `order_estimated_delivery_date`,
  COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000) AS `_committed_us`
FROM `topic_of_orders`
WHERE `op` IN ('c', 'u', 'r')
  AND `source`.`ts_ms` IS NOT NULL
  AND `after`.`order_id` <> '__debezium_unavailable_value'
  AND `after`.`customer_id` <> '__debezium_unavailable_value'
  AND `after`.`order_status` <> '__debezium_unavailable_value'
  AND `after`.`order_purchase_timestamp` IS NOT NULL
  AND `after`.`order_estimated_delivery_date` IS NOT NULL;

CREATE TEMPORARY TABLE `topic_of_order_items` (
  `order_id` STRING NOT NULL,
  `order_item_id` INT NOT NULL,
  `after` ROW<`order_id` STRING, `order_item_id` INT, `product_id` STRING, `seller_id` STRING, `shipping_limit_date` BIGINT, `price` DECIMAL(12, 2), `freight_value` DECIMAL(12, 2)>,
  `op` STRING,
  `source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>,
  PRIMARY KEY (`order_id`, `order_item_id`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.order_items',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.group.id' = 'olist.public.seller_scores',
  'properties.isolation.level' = 'read_committed',
  'key.json.ignore-parse-errors' = 'true',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW `order_items` AS
SELECT
  `order_id`,
  `order_item_id`,
  `after`.`product_id` AS `product_id`,
  `after`.`seller_id` AS `seller_id`,
  `after`.`shipping_limit_date` AS `shipping_limit_date`,
  `after`.`price` AS `price`,
  `after`.`freight_value` AS `freight_value`,
  COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000) AS `_committed_us`
FROM `topic_of_order_items`
WHERE `op` IN ('c', 'u', 'r')
  AND `source`.`ts_ms` IS NOT NULL
  AND `after`.`order_id` <> '__debezium_unavailable_value'
  AND `after`.`order_item_id` IS NOT NULL
  AND `after`.`product_id` <> '__debezium_unavailable_value'
  AND `after`.`seller_id` <> '__debezium_unavailable_value'
  AND `after`.`shipping_limit_date` IS NOT NULL
  AND `after`.`price` IS NOT NULL
  AND `after`.`freight_value` IS NOT NULL;

CREATE TEMPORARY TABLE `topic_of_order_reviews` (
  `review_id` STRING NOT NULL,
  `order_id` STRING NOT NULL,
  `after` ROW<`review_id` STRING, `order_id` STRING, `review_score` INT, `review_comment_title` STRING, `review_comment_message` STRING, `review_creation_date` BIGINT, `review_answer_timestamp` BIGINT>,
  `op` STRING,
  `source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>,
  PRIMARY KEY (`review_id`, `order_id`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.order_reviews',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.group.id' = 'olist.public.seller_scores',
  'properties.isolation.level' = 'read_committed',
  'key.json.ignore-parse-errors' = 'true',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW `order_reviews` AS
SELECT
  `review_id`,
  `order_id`,
  `after`.`review_score` AS `review_score`,
  `after`.`review_comment_title` AS `review_comment_title`,
  `after`.`review_comment_message` AS `review_comment_message`,
  `after`.`review_creation_date` AS `review_creation_date`,
  `after`.`review_answer_timestamp` AS `review_answer_timestamp`,
  COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000) AS `_committed_us`
FROM `topic_of_order_reviews`
WHERE `op` IN ('c', 'u', 'r')
  AND `source`.`ts_ms` IS NOT NULL
  AND `after`.`review_id` <> '__debezium_unavailable_value'
  AND `after`.`order_id` <> '__debezium_unavailable_value'
  AND `after`.`review_score` IS NOT NULL
  AND `after`.`review_comment_title` IS DISTINCT FROM '__debezium_unavailable_value'
  AND `after`.`review_comment_message` IS DISTINCT FROM '__debezium_unavailable_value'
  AND `after`.`review_creation_date` IS NOT NULL;

CREATE TEMPORARY TABLE `topic_of_sellers` (
  `seller_id` STRING NOT NULL,
  `after` ROW<`seller_id` STRING, `seller_zip_code_prefix` STRING, `seller_city` STRING, `seller_state` STRING>,
  `op` STRING,
  `source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>,
  PRIMARY KEY (`seller_id`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.sellers',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.group.id' = 'olist.public.seller_scores',
  'properties.isolation.level' = 'read_committed',
  'key.json.ignore-parse-errors' = 'true',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW `sellers` AS
SELECT
  `seller_id`,
  `after`.`seller_zip_code_prefix` AS `seller_zip_code_prefix`,
  `after`.`seller_city` AS `seller_city`,
  `after`.`seller_state` AS `seller_state`,
  COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000) AS `_committed_us`
FROM `topic_of_sellers`
WHERE `op` IN ('c', 'u', 'r')
  AND `source`.`ts_ms` IS NOT NULL
  AND `after`.`seller_id` <> '__debezium_unavailable_value'
  AND `after`.`seller_zip_code_prefix` <> '__debezium_unavailable_value'
  AND `after`.`seller_city` <> '__debezium_unavailable_value'
  AND `after`.`seller_state` <> '__debezium_unavailable_value';

CREATE TEMPORARY TABLE `topic_of_seller_scores` (
  `seller_id` STRING NOT NULL,
  `value` STRING NOT NULL,
  PRIMARY KEY (`seller_id`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.seller_scores',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'olist.public.seller_scores:',
  'sink.transaction-naming-strategy' = 'POOLING',
  'properties.transaction.timeout.ms' = '900000',
  'properties.compression.type' = 'lz4'
);

INSERT INTO `topic_of_seller_scores`
SELECT `seller_id`, CONCAT(
    '{"before":null,"after":',
    '{"seller_id":',
    COALESCE(JSON_STRING(`seller_id`), 'null'),
    ',"seller_city":',
    COALESCE(JSON_STRING(`seller_city`), 'null'),
    ',"seller_state":',
    COALESCE(JSON_STRING(`seller_state`), 'null'),
    ',"orders":',
    COALESCE(CAST(`orders` AS STRING), 'null'),
    ',"items":',
    COALESCE(CAST(`items` AS STRING), 'null'),
    ',"revenue":',
    COALESCE(CONCAT('"', CAST(CAST(`revenue` AS DECIMAL(18, 2)) AS STRING), '"'), 'null'),
    ',"freight":',
    COALESCE(CONCAT('"', CAST(CAST(`freight` AS DECIMAL(18, 2)) AS STRING), '"'), 'null'),
    ',"delivered_orders":',
    COALESCE(CAST(`delivered_orders` AS STRING), 'null'),
    ',"late_orders":',
    COALESCE(CAST(`late_orders` AS STRING), 'null'),
    ',"late_rate":',
    COALESCE(CONCAT('"', CAST(CAST(`late_rate` AS DECIMAL(5, 4)) AS STRING), '"'), 'null'),
    ',"canceled_orders":',
    COALESCE(CAST(`canceled_orders` AS STRING), 'null'),
    ',"cancel_rate":',
    COALESCE(CONCAT('"', CAST(CAST(`cancel_rate` AS DECIMAL(5, 4)) AS STRING), '"'), 'null'),
    ',"reviews":',
    COALESCE(CAST(`reviews` AS STRING), 'null'),
    ',"review_mean":',
    COALESCE(CONCAT('"', CAST(CAST(`review_mean` AS DECIMAL(5, 2)) AS STRING), '"'), 'null'),
    '}',
    ',"source":{"version":"1","connector":"flink","name":"olist","ts_ms":',
    CAST(`_committed_us` / 1000 AS STRING),
    ',"snapshot":"false","db":"olist","sequence":null,"ts_us":',
    CAST(`_committed_us` AS STRING),
    ',"ts_ns":',
    CAST(`_committed_us` AS STRING),
    '000',
    ',"schema":"public","table":"seller_scores","txId":null,"lsn":null,"xmin":null,"origin":null,"origin_lsn":null},"op":"u","ts_ms":',
    CAST(`_committed_us` / 1000 AS STRING),
    '}'
  )
FROM (
SELECT
  s.seller_id,
  p.seller_city,
  p.seller_state,
  s.orders,
  s.items,
  s.revenue,
  s.freight,
  s.delivered_orders,
  s.late_orders,
  CAST((20000 * CAST(s.late_orders AS BIGINT) + CAST(s.delivered_orders AS BIGINT)) / NULLIF(2 * CAST(s.delivered_orders AS BIGINT), 0) AS DECIMAL(18, 0)) * 0.0001 AS late_rate,
  s.canceled_orders,
  CAST((20000 * CAST(s.canceled_orders AS BIGINT) + CAST(s.orders AS BIGINT)) / NULLIF(2 * CAST(s.orders AS BIGINT), 0) AS DECIMAL(18, 0)) * 0.0001 AS cancel_rate,
  s.reviews,
  CAST((200 * CAST(s.review_scores AS BIGINT) + CAST(s.reviews AS BIGINT)) / NULLIF(2 * CAST(s.reviews AS BIGINT), 0) AS DECIMAL(18, 0)) * 0.01 AS review_mean,
  GREATEST(s._committed_us, COALESCE(p._committed_us, 0)) AS _committed_us
FROM (
  SELECT
    seller_id,
    SUM(orders) AS orders,
    SUM(items) AS items,
    SUM(revenue) AS revenue,
    SUM(freight) AS freight,
    SUM(delivered_orders) AS delivered_orders,
    SUM(late_orders) AS late_orders,
    SUM(canceled_orders) AS canceled_orders,
    SUM(reviews) AS reviews,
    SUM(review_scores) AS review_scores,
    MAX(_committed_us) AS _committed_us
  FROM (
    SELECT
    seller_id,
    SUM(orders) AS orders,
    SUM(items) AS items,
    SUM(revenue) AS revenue,
    SUM(freight) AS freight,
    SUM(delivered_orders) AS delivered_orders,
    SUM(late_orders) AS late_orders,
    SUM(canceled_orders) AS canceled_orders,
    SUM(reviews) AS reviews,
    SUM(review_scores) AS review_scores,
    MAX(_committed_us) AS _committed_us
    FROM (
      SELECT
        i.seller_id,
        o.order_purchase_timestamp / 2592000000000 AS purchase_month,
        CAST(1 AS BIGINT) AS orders,
        IF(o.order_status IN ('canceled', 'unavailable'), 0, i.items) AS items,
        IF(o.order_status IN ('canceled', 'unavailable'), 0, i.revenue) AS revenue,
        IF(o.order_status IN ('canceled', 'unavailable'), 0, i.freight) AS freight,
        IF(o.order_delivered_customer_date IS NOT NULL, 1, 0) AS delivered_orders,
        IF(o.order_delivered_customer_date / 86400000000 > o.order_estimated_delivery_date / 86400000000, 1, 0) AS late_orders,
        IF(o.order_status = 'canceled', 1, 0) AS canceled_orders,
        COALESCE(r.reviews, 0) AS reviews,
        COALESCE(r.review_scores, 0) AS review_scores,
        GREATEST(o._committed_us, i._committed_us, COALESCE(r._committed_us, 0)) AS _committed_us
      FROM (
        SELECT
          order_id,
          seller_id,
          COUNT(*) AS items,
          SUM(price) AS revenue,
          SUM(freight_value) AS freight,
          MAX(_committed_us) AS _committed_us
        FROM order_items
        GROUP BY order_id, seller_id
      ) AS i
      JOIN orders AS o ON o.order_id = i.order_id
      LEFT JOIN (
        SELECT
          order_id,
          COUNT(*) AS reviews,
          SUM(CAST(review_score AS BIGINT)) AS review_scores,
          MAX(_committed_us) AS _committed_us
        FROM order_reviews
        GROUP BY order_id
      ) AS r ON r.order_id = o.order_id
    )
    GROUP BY seller_id, purchase_month
  )
  GROUP BY seller_id
) AS s
LEFT JOIN sellers AS p ON p.seller_id = s.seller_id
);
