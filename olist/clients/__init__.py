"""How each server is reached: settings become a client library's options here and nowhere else.

Reading order: `kafka` (librdkafka's and Java's clients), `postgres` (URLs, and which errors are transient), `shop` (the
source database), `s3`, `opensearch`.
"""
