"""Contracts become connectors, applied and watched over Kafka Connect's REST API.

Reading order: `postgres` and `mongodb` (a contract's connector, pure), `committed` and `rendered/` (them under the
default settings), `config_diff` (what an apply would change, pure), `connect_client` (REST, and waits until a connector
runs), `capture` (the source's side: slot, signals, waiting until all is on the topics), `initial_snapshot` (rows from
before capture), `apply` (and remove), `cli`.
"""
