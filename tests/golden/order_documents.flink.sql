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
  'properties.group.id' = 'olist.public.order_documents',
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

CREATE TEMPORARY TABLE `topic_of_customers` (
  `customer_id` STRING NOT NULL,
  `after` ROW<`customer_id` STRING, `customer_unique_id` STRING, `customer_zip_code_prefix` STRING, `customer_city` STRING, `customer_state` STRING>,
  `op` STRING,
  `source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>,
  PRIMARY KEY (`customer_id`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.customers',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.group.id' = 'olist.public.order_documents',
  'properties.isolation.level' = 'read_committed',
  'key.json.ignore-parse-errors' = 'true',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW `customers` AS
SELECT
  `customer_id`,
  `after`.`customer_unique_id` AS `customer_unique_id`,
  `after`.`customer_zip_code_prefix` AS `customer_zip_code_prefix`,
  `after`.`customer_city` AS `customer_city`,
  `after`.`customer_state` AS `customer_state`,
  COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000) AS `_committed_us`
FROM `topic_of_customers`
WHERE `op` IN ('c', 'u', 'r')
  AND `source`.`ts_ms` IS NOT NULL
  AND `after`.`customer_id` <> '__debezium_unavailable_value'
  AND `after`.`customer_unique_id` <> '__debezium_unavailable_value'
  AND `after`.`customer_zip_code_prefix` <> '__debezium_unavailable_value'
  AND `after`.`customer_city` <> '__debezium_unavailable_value'
  AND `after`.`customer_state` <> '__debezium_unavailable_value';

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
  'properties.group.id' = 'olist.public.order_documents',
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

CREATE TEMPORARY TABLE `topic_of_products` (
  `product_id` STRING NOT NULL,
  `after` ROW<`product_id` STRING, `product_category_name` STRING, `product_name_lenght` INT, `product_description_lenght` INT, `product_photos_qty` INT, `product_weight_g` INT, `product_length_cm` INT, `product_height_cm` INT, `product_width_cm` INT>,
  `op` STRING,
  `source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>,
  PRIMARY KEY (`product_id`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.products',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.group.id' = 'olist.public.order_documents',
  'properties.isolation.level' = 'read_committed',
  'key.json.ignore-parse-errors' = 'true',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW `products` AS
SELECT
  `product_id`,
  `after`.`product_category_name` AS `product_category_name`,
  `after`.`product_name_lenght` AS `product_name_lenght`,
  `after`.`product_description_lenght` AS `product_description_lenght`,
  `after`.`product_photos_qty` AS `product_photos_qty`,
  `after`.`product_weight_g` AS `product_weight_g`,
  `after`.`product_length_cm` AS `product_length_cm`,
  `after`.`product_height_cm` AS `product_height_cm`,
  `after`.`product_width_cm` AS `product_width_cm`,
  COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000) AS `_committed_us`
FROM `topic_of_products`
WHERE `op` IN ('c', 'u', 'r')
  AND `source`.`ts_ms` IS NOT NULL
  AND `after`.`product_id` <> '__debezium_unavailable_value'
  AND `after`.`product_category_name` IS DISTINCT FROM '__debezium_unavailable_value';

CREATE TEMPORARY TABLE `topic_of_product_category_name_translation` (
  `product_category_name` STRING NOT NULL,
  `after` ROW<`product_category_name` STRING, `product_category_name_english` STRING>,
  `op` STRING,
  `source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>,
  PRIMARY KEY (`product_category_name`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.product_category_name_translation',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.group.id' = 'olist.public.order_documents',
  'properties.isolation.level' = 'read_committed',
  'key.json.ignore-parse-errors' = 'true',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW `product_category_name_translation` AS
SELECT
  `product_category_name`,
  `after`.`product_category_name_english` AS `product_category_name_english`,
  COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000) AS `_committed_us`
FROM `topic_of_product_category_name_translation`
WHERE `op` IN ('c', 'u', 'r')
  AND `source`.`ts_ms` IS NOT NULL
  AND `after`.`product_category_name` <> '__debezium_unavailable_value'
  AND `after`.`product_category_name_english` <> '__debezium_unavailable_value';

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
  'properties.group.id' = 'olist.public.order_documents',
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

CREATE TEMPORARY TABLE `topic_of_order_payments` (
  `order_id` STRING NOT NULL,
  `payment_sequential` INT NOT NULL,
  `after` ROW<`order_id` STRING, `payment_sequential` INT, `payment_type` STRING, `payment_installments` INT, `payment_value` DECIMAL(12, 2)>,
  `op` STRING,
  `source` ROW<`ts_ms` BIGINT, `ts_us` BIGINT>,
  PRIMARY KEY (`order_id`, `payment_sequential`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.order_payments',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'properties.group.id' = 'olist.public.order_documents',
  'properties.isolation.level' = 'read_committed',
  'key.json.ignore-parse-errors' = 'true',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW `order_payments` AS
SELECT
  `order_id`,
  `payment_sequential`,
  `after`.`payment_type` AS `payment_type`,
  `after`.`payment_installments` AS `payment_installments`,
  `after`.`payment_value` AS `payment_value`,
  COALESCE(NULLIF(`source`.`ts_us`, 0), `source`.`ts_ms` * 1000) AS `_committed_us`
FROM `topic_of_order_payments`
WHERE `op` IN ('c', 'u', 'r')
  AND `source`.`ts_ms` IS NOT NULL
  AND `after`.`order_id` <> '__debezium_unavailable_value'
  AND `after`.`payment_sequential` IS NOT NULL
  AND `after`.`payment_type` <> '__debezium_unavailable_value'
  AND `after`.`payment_installments` IS NOT NULL
  AND `after`.`payment_value` IS NOT NULL;

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
  'properties.group.id' = 'olist.public.order_documents',
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

CREATE TEMPORARY TABLE `topic_of_order_documents` (
  `order_id` STRING NOT NULL,
  `value` STRING NOT NULL,
  PRIMARY KEY (`order_id`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.order_documents',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'olist.public.order_documents:',
  'sink.transaction-naming-strategy' = 'POOLING',
  'properties.transaction.timeout.ms' = '900000',
  'properties.compression.type' = 'lz4'
);

INSERT INTO `topic_of_order_documents`
SELECT `order_id`, CONCAT(
    '{"before":null,"after":',
    '{"order_id":',
    COALESCE(JSON_STRING(`order_id`), 'null'),
    ',"order_status":',
    COALESCE(JSON_STRING(`order_status`), 'null'),
    ',"order_purchase_timestamp":',
    COALESCE(CAST(`order_purchase_timestamp` AS STRING), 'null'),
    ',"order_approved_at":',
    COALESCE(CAST(`order_approved_at` AS STRING), 'null'),
    ',"order_delivered_carrier_date":',
    COALESCE(CAST(`order_delivered_carrier_date` AS STRING), 'null'),
    ',"order_delivered_customer_date":',
    COALESCE(CAST(`order_delivered_customer_date` AS STRING), 'null'),
    ',"order_estimated_delivery_date":',
    COALESCE(CAST(`order_estimated_delivery_date` AS STRING), 'null'),
    ',"customer_id":',
    COALESCE(JSON_STRING(`customer_id`), 'null'),
    ',"customer_unique_id":',
    COALESCE(JSON_STRING(`customer_unique_id`), 'null'),
    ',"customer_zip_code_prefix":',
    COALESCE(JSON_STRING(`customer_zip_code_prefix`), 'null'),
    ',"customer_city":',
    COALESCE(JSON_STRING(`customer_city`), 'null'),
    ',"customer_state":',
    COALESCE(JSON_STRING(`customer_state`), 'null'),
    ',"delivery_days":',
    COALESCE(CAST(`delivery_days` AS STRING), 'null'),
    ',"days_late":',
    COALESCE(CAST(`days_late` AS STRING), 'null'),
    ',"items_total":',
    COALESCE(CONCAT('"', CAST(CAST(`items_total` AS DECIMAL(12, 2)) AS STRING), '"'), 'null'),
    ',"freight_total":',
    COALESCE(CONCAT('"', CAST(CAST(`freight_total` AS DECIMAL(12, 2)) AS STRING), '"'), 'null'),
    ',"payments_total":',
    COALESCE(CONCAT('"', CAST(CAST(`payments_total` AS DECIMAL(12, 2)) AS STRING), '"'), 'null'),
    ',"items":',
    COALESCE(`items`, 'null'),
    ',"payments":',
    COALESCE(`payments`, 'null'),
    ',"reviews":',
    COALESCE(`reviews`, 'null'),
    '}',
    ',"source":{"version":"1","connector":"flink","name":"olist","ts_ms":',
    CAST(`_committed_us` / 1000 AS STRING),
    ',"snapshot":"false","db":"olist","sequence":null,"ts_us":',
    CAST(`_committed_us` AS STRING),
    ',"ts_ns":',
    CAST(`_committed_us` AS STRING),
    '000',
    ',"schema":"public","table":"order_documents","txId":null,"lsn":null,"xmin":null,"origin":null,"origin_lsn":null},"op":"u","ts_ms":',
    CAST(`_committed_us` / 1000 AS STRING),
    '}'
  )
FROM (
SELECT
  o.order_id,
  o.head.`order_status` AS `order_status`,
  o.head.`order_purchase_timestamp` AS `order_purchase_timestamp`,
  o.head.`order_approved_at` AS `order_approved_at`,
  o.head.`order_delivered_carrier_date` AS `order_delivered_carrier_date`,
  o.head.`order_delivered_customer_date` AS `order_delivered_customer_date`,
  o.head.`order_estimated_delivery_date` AS `order_estimated_delivery_date`,
  o.head.`customer_id` AS `customer_id`,
  o.head.`customer_unique_id` AS `customer_unique_id`,
  o.head.`customer_zip_code_prefix` AS `customer_zip_code_prefix`,
  o.head.`customer_city` AS `customer_city`,
  o.head.`customer_state` AS `customer_state`,
  o.head.order_delivered_customer_date / 86400000000 - o.head.order_purchase_timestamp / 86400000000 AS delivery_days,
  o.head.order_delivered_customer_date / 86400000000 - o.head.order_estimated_delivery_date / 86400000000 AS days_late,
  COALESCE(i.items_total, 0) AS items_total,
  COALESCE(i.freight_total, 0) AS freight_total,
  COALESCE(p.payments_total, 0) AS payments_total,
  COALESCE(i.items, '[]') AS items,
  COALESCE(p.payments, '[]') AS payments,
  COALESCE(r.reviews, '[]') AS reviews,
  GREATEST(
    o.head._committed_us,
    COALESCE(i._committed_us, 0),
    COALESCE(p._committed_us, 0),
    COALESCE(r._committed_us, 0)
  ) AS _committed_us
FROM (
  SELECT order_id, ARRAY_AGG(CAST(ROW(`order_id`, `order_status`, `order_purchase_timestamp`, `order_approved_at`, `order_delivered_carrier_date`, `order_delivered_customer_date`, `order_estimated_delivery_date`, `customer_id`, `customer_unique_id`, `customer_zip_code_prefix`, `customer_city`, `customer_state`, `_committed_us`) AS ROW<`order_id` STRING, `order_status` STRING, `order_purchase_timestamp` BIGINT, `order_approved_at` BIGINT, `order_delivered_carrier_date` BIGINT, `order_delivered_customer_date` BIGINT, `order_estimated_delivery_date` BIGINT, `customer_id` STRING, `customer_unique_id` STRING, `customer_zip_code_prefix` STRING, `customer_city` STRING, `customer_state` STRING, `_committed_us` BIGINT>))[1] AS head
  FROM (
    SELECT
      o.order_id,
      o.order_status,
      o.order_purchase_timestamp,
      o.order_approved_at,
      o.order_delivered_carrier_date,
      o.order_delivered_customer_date,
      o.order_estimated_delivery_date,
      o.customer_id,
      c.customer_unique_id,
      c.customer_zip_code_prefix,
      c.customer_city,
      c.customer_state,
      GREATEST(o._committed_us, COALESCE(c._committed_us, 0)) AS _committed_us
    FROM orders AS o
    LEFT JOIN customers AS c ON c.customer_id = o.customer_id
  )
  GROUP BY order_id
) AS o
LEFT JOIN (
  SELECT
    order_id,
    SUM(price) AS items_total,
    SUM(freight_value) AS freight_total,
    CONCAT('[', ARRAY_JOIN(ARRAY_SORT(ARRAY_AGG(CONCAT(
      '{"order_item_id":',
      LPAD(COALESCE(CAST(`order_item_id` AS STRING), 'null'), 20, ' '),
      ',"product_id":',
      COALESCE(JSON_STRING(`product_id`), 'null'),
      ',"category":',
      COALESCE(JSON_STRING(`category`), 'null'),
      ',"category_english":',
      COALESCE(JSON_STRING(`category_english`), 'null'),
      ',"seller_id":',
      COALESCE(JSON_STRING(`seller_id`), 'null'),
      ',"seller_city":',
      COALESCE(JSON_STRING(`seller_city`), 'null'),
      ',"seller_state":',
      COALESCE(JSON_STRING(`seller_state`), 'null'),
      ',"price":',
      COALESCE(CONCAT('"', CAST(CAST(`price` AS DECIMAL(12, 2)) AS STRING), '"'), 'null'),
      ',"freight_value":',
      COALESCE(CONCAT('"', CAST(CAST(`freight_value` AS DECIMAL(12, 2)) AS STRING), '"'), 'null'),
      '}'
    ))), ','), ']') AS items,
    MAX(_committed_us) AS _committed_us
  FROM (
    SELECT
      i.order_id,
      i.order_item_id,
      i.product_id,
      d.product_category_name AS category,
      t.product_category_name_english AS category_english,
      i.seller_id,
      s.seller_city,
      s.seller_state,
      i.price,
      i.freight_value,
      GREATEST(
        i._committed_us,
        COALESCE(d._committed_us, 0),
        COALESCE(t._committed_us, 0),
        COALESCE(s._committed_us, 0)
      ) AS _committed_us
    FROM order_items AS i
    LEFT JOIN products AS d ON d.product_id = i.product_id
    LEFT JOIN product_category_name_translation AS t ON t.product_category_name = d.product_category_name
    LEFT JOIN sellers AS s ON s.seller_id = i.seller_id
  )
  GROUP BY order_id
) AS i ON i.order_id = o.order_id
LEFT JOIN (
  SELECT
    order_id,
    SUM(payment_value) AS payments_total,
    CONCAT('[', ARRAY_JOIN(ARRAY_SORT(ARRAY_AGG(CONCAT(
      '{"payment_sequential":',
      LPAD(COALESCE(CAST(`payment_sequential` AS STRING), 'null'), 20, ' '),
      ',"payment_type":',
      COALESCE(JSON_STRING(`payment_type`), 'null'),
      ',"payment_installments":',
      COALESCE(CAST(`payment_installments` AS STRING), 'null'),
      ',"payment_value":',
      COALESCE(CONCAT('"', CAST(CAST(`payment_value` AS DECIMAL(12, 2)) AS STRING), '"'), 'null'),
      '}'
    ))), ','), ']') AS payments,
    MAX(_committed_us) AS _committed_us
  FROM order_payments
  GROUP BY order_id
) AS p ON p.order_id = o.order_id
LEFT JOIN (
  SELECT
    order_id,
    CONCAT('[', ARRAY_JOIN(ARRAY_SORT(ARRAY_AGG(CONCAT(
      '{"review_creation_date":',
      LPAD(COALESCE(CAST(`review_creation_date` AS STRING), 'null'), 20, ' '),
      ',"review_id":',
      COALESCE(JSON_STRING(`review_id`), 'null'),
      ',"review_score":',
      COALESCE(CAST(`review_score` AS STRING), 'null'),
      ',"review_comment_title":',
      COALESCE(JSON_STRING(`review_comment_title`), 'null'),
      ',"review_comment_message":',
      COALESCE(JSON_STRING(`review_comment_message`), 'null'),
      ',"review_answer_timestamp":',
      COALESCE(CAST(`review_answer_timestamp` AS STRING), 'null'),
      '}'
    ))), ','), ']') AS reviews,
    MAX(_committed_us) AS _committed_us
  FROM order_reviews
  GROUP BY order_id
) AS r ON r.order_id = o.order_id
);
