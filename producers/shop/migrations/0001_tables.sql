-- The shop's tables. Keys and foreign keys are those that the real data keep: two of its product categories have no
-- translation and some customers' zip prefixes have no place, so neither refers.

create table geolocation (
    geolocation_zip_code_prefix text primary key,
    geolocation_lat double precision not null,
    geolocation_lng double precision not null,
    geolocation_city text not null,
    geolocation_state text not null
);

create table product_category_name_translation (
    product_category_name text primary key,
    product_category_name_english text not null
);

create table customers (
    customer_id text primary key,
    customer_unique_id text not null,
    customer_zip_code_prefix text not null,
    customer_city text not null,
    customer_state text not null
);

create table sellers (
    seller_id text primary key,
    seller_zip_code_prefix text not null,
    seller_city text not null,
    seller_state text not null
);

create table products (
    product_id text primary key,
    product_category_name text,
    product_name_lenght integer,
    product_description_lenght integer,
    product_photos_qty integer,
    product_weight_g integer,
    product_length_cm integer,
    product_height_cm integer,
    product_width_cm integer
);

create table orders (
    order_id text primary key,
    customer_id text not null references customers on update cascade,
    order_status text not null,
    order_purchase_timestamp timestamp not null,
    order_approved_at timestamp,
    order_delivered_carrier_date timestamp,
    order_delivered_customer_date timestamp,
    order_estimated_delivery_date timestamp not null
);

create table order_items (
    order_id text not null references orders on update cascade,
    order_item_id integer not null,
    product_id text not null references products on update cascade,
    seller_id text not null references sellers on update cascade,
    shipping_limit_date timestamp not null,
    price numeric(12, 2) not null,
    freight_value numeric(12, 2) not null,
    primary key (order_id, order_item_id)
);

create table order_payments (
    order_id text not null references orders on update cascade,
    payment_sequential integer not null,
    payment_type text not null,
    payment_installments integer not null,
    payment_value numeric(12, 2) not null,
    primary key (order_id, payment_sequential)
);

create table order_reviews (
    review_id text not null,
    order_id text not null references orders on update cascade,
    review_score integer not null,
    review_comment_title text,
    review_comment_message text,
    review_creation_date timestamp not null,
    review_answer_timestamp timestamp,
    primary key (review_id, order_id)
);
