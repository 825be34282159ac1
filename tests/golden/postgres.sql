CREATE TABLE warehouse."geolocation" (
  "geolocation_zip_code_prefix" text NOT NULL,
  "geolocation_lat" double precision NOT NULL,
  "geolocation_lng" double precision NOT NULL,
  "geolocation_city" text NOT NULL,
  "geolocation_state" text NOT NULL,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("geolocation_zip_code_prefix")
);

CREATE TABLE warehouse."product_category_name_translation" (
  "product_category_name" text NOT NULL,
  "product_category_name_english" text NOT NULL,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("product_category_name")
);

CREATE TABLE warehouse."customers" (
  "customer_id" text NOT NULL,
  "customer_unique_id" text NOT NULL,
  "customer_zip_code_prefix" text NOT NULL,
  "customer_city" text NOT NULL,
  "customer_state" text NOT NULL,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("customer_id")
);

CREATE TABLE warehouse."sellers" (
  "seller_id" text NOT NULL,
  "seller_zip_code_prefix" text NOT NULL,
  "seller_city" text NOT NULL,
  "seller_state" text NOT NULL,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("seller_id")
);

CREATE TABLE warehouse."products" (
  "product_id" text NOT NULL,
  "product_category_name" text,
  "product_name_lenght" integer,
  "product_description_lenght" integer,
  "product_photos_qty" integer,
  "product_weight_g" integer,
  "product_length_cm" integer,
  "product_height_cm" integer,
  "product_width_cm" integer,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("product_id")
);

CREATE TABLE warehouse."orders" (
  "order_id" text NOT NULL,
  "customer_id" text NOT NULL,
  "order_status" text NOT NULL,
  "order_purchase_timestamp" timestamp NOT NULL,
  "order_approved_at" timestamp,
  "order_delivered_carrier_date" timestamp,
  "order_delivered_customer_date" timestamp,
  "order_estimated_delivery_date" timestamp NOT NULL,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("order_id")
);

CREATE TABLE warehouse."order_items" (
  "order_id" text NOT NULL,
  "order_item_id" integer NOT NULL,
  "product_id" text NOT NULL,
  "seller_id" text NOT NULL,
  "shipping_limit_date" timestamp NOT NULL,
  "price" numeric(12,2) NOT NULL,
  "freight_value" numeric(12,2) NOT NULL,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("order_id", "order_item_id")
);

CREATE TABLE warehouse."order_payments" (
  "order_id" text NOT NULL,
  "payment_sequential" integer NOT NULL,
  "payment_type" text NOT NULL,
  "payment_installments" integer NOT NULL,
  "payment_value" numeric(12,2) NOT NULL,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("order_id", "payment_sequential")
);

CREATE TABLE warehouse."order_reviews" (
  "review_id" text NOT NULL,
  "order_id" text NOT NULL,
  "review_score" integer NOT NULL,
  "review_comment_title" text,
  "review_comment_message" text,
  "review_creation_date" timestamp NOT NULL,
  "review_answer_timestamp" timestamp,
  "_kafka_partition" integer NOT NULL,
  "_kafka_offset" bigint NOT NULL,
  "_committed_at" timestamp NOT NULL,
  PRIMARY KEY ("review_id", "order_id")
);
