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
  'properties.group.id' = 'olist.public.sales_by_hour',
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
  'properties.group.id' = 'olist.public.sales_by_hour',
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
  'properties.group.id' = 'olist.public.sales_by_hour',
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
  'properties.group.id' = 'olist.public.sales_by_hour',
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
  'properties.group.id' = 'olist.public.sales_by_hour',
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

CREATE TEMPORARY TABLE `topic_of_sales_by_hour` (
  `hour` BIGINT NOT NULL,
  `customer_state` STRING NOT NULL,
  `category` STRING NOT NULL,
  `value` STRING NOT NULL,
  PRIMARY KEY (`hour`, `customer_state`, `category`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'olist.public.sales_by_hour',
  'properties.bootstrap.servers' = '127.0.0.1:9092',
  'key.format' = 'json',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'olist.public.sales_by_hour:',
  'sink.transaction-naming-strategy' = 'POOLING',
  'properties.transaction.timeout.ms' = '900000',
  'properties.compression.type' = 'lz4'
);

INSERT INTO `topic_of_sales_by_hour`
SELECT `hour`, `customer_state`, `category`, CONCAT(
    '{"before":null,"after":',
    '{"hour":',
    COALESCE(CAST(`hour` AS STRING), 'null'),
    ',"customer_state":',
    COALESCE(JSON_STRING(`customer_state`), 'null'),
    ',"category":',
    COALESCE(JSON_STRING(`category`), 'null'),
    ',"orders":',
    COALESCE(CAST(`orders` AS STRING), 'null'),
    ',"items":',
    COALESCE(CAST(`items` AS STRING), 'null'),
    ',"revenue":',
    COALESCE(CONCAT('"', CAST(CAST(`revenue` AS DECIMAL(18, 2)) AS STRING), '"'), 'null'),
    ',"freight":',
    COALESCE(CONCAT('"', CAST(CAST(`freight` AS DECIMAL(18, 2)) AS STRING), '"'), 'null'),
    ',"average_ticket":',
    COALESCE(CONCAT('"', CAST(CAST(`average_ticket` AS DECIMAL(18, 2)) AS STRING), '"'), 'null'),
    '}',
    ',"source":{"version":"1","connector":"flink","name":"olist","ts_ms":',
    CAST(`_committed_us` / 1000 AS STRING),
    ',"snapshot":"false","db":"olist","sequence":null,"ts_us":',
    CAST(`_committed_us` AS STRING),
    ',"ts_ns":',
    CAST(`_committed_us` AS STRING),
    '000',
    ',"schema":"public","table":"sales_by_hour","txId":null,"lsn":null,"xmin":null,"origin":null,"origin_lsn":null},"op":"u","ts_ms":',
    CAST(`_committed_us` / 1000 AS STRING),
    '}'
  )
FROM (
SELECT
  `hour`,
  customer_state,
  category,
  orders,
  items,
  revenue,
  freight,
  CAST((200 * CAST(CAST(CAST(revenue AS DECIMAL(18, 2)) * 100 AS BIGINT) AS BIGINT) + CAST(orders * 100 AS BIGINT)) / NULLIF(2 * CAST(orders * 100 AS BIGINT), 0) AS DECIMAL(18, 0)) * 0.01 AS average_ticket,
  _committed_us
FROM (
  SELECT
    `hour`,
    customer_state,
    category,
    COUNT(DISTINCT order_id) AS orders,
    COUNT(*) AS items,
    SUM(price) AS revenue,
    SUM(freight_value) AS freight,
    MAX(_committed_us) AS _committed_us
  FROM (
    SELECT
      i.order_id,
      o.`hour`,
      o.customer_state,
      COALESCE(p.category, 'unknown') AS category,
      i.price,
      i.freight_value,
      GREATEST(o._committed_us, i._committed_us, COALESCE(p._committed_us, 0)) AS _committed_us
    FROM order_items AS i
    JOIN (
      SELECT
        o.order_id,
        o.order_purchase_timestamp / 3600000000 * 3600000000 AS `hour`,
        COALESCE(c.customer_state, 'unknown') AS customer_state,
        GREATEST(o._committed_us, COALESCE(c._committed_us, 0)) AS _committed_us
      FROM orders AS o
      LEFT JOIN customers AS c ON c.customer_id = o.customer_id
      WHERE o.order_status NOT IN ('canceled', 'unavailable')
    ) AS o ON o.order_id = i.order_id
    LEFT JOIN (
      SELECT
        p.product_id,
        COALESCE(t.product_category_name_english, p.product_category_name) AS category,
        GREATEST(p._committed_us, COALESCE(t._committed_us, 0)) AS _committed_us
      FROM products AS p
      LEFT JOIN product_category_name_translation AS t ON t.product_category_name = p.product_category_name
    ) AS p ON p.product_id = i.product_id
  )
  GROUP BY `hour`, customer_state, category
)
);
