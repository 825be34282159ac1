-- What change data capture needs of the shop.

-- Where before-images are data: tables whose every change is kept, and tables with long texts. Under the default
-- identity an update leaves out a text that it did not touch, once that is long enough to be stored outside the row.
alter table orders replica identity full;
alter table order_reviews replica identity full;

-- Debezium writes here while the shop is quiet. It is captured too: that is what lets the slot, and with it the WAL, move
-- on when only other databases of the server are busy. `token` marks a place in the stream for whoever waits for it.
create table cdc_heartbeat (
    id text primary key,
    beat_at timestamptz not null default now(),
    token text
);

-- A row asks Debezium for something: an incremental snapshot of a table, say. Debezium writes its watermarks here.
create table cdc_signal (
    id text primary key,
    type text not null,
    data text
);

-- How far a replay has come, in the same transaction as what it wrote.
create table replay_progress (
    id boolean primary key default true check (id),
    fingerprint text not null,
    seq bigint not null
);

create publication cdc for table
    geolocation, product_category_name_translation, customers, sellers, products,
    orders, order_items, order_payments, order_reviews,
    cdc_heartbeat, cdc_signal;
