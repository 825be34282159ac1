"""Contracts become connectors, applied and watched over Kafka Connect's REST API.

Reading order: `postgres` and `mongodb` (a contract's connector, pure), `rendered/` (committed), `changes_of` (what an
apply would change), `worker` (REST), `watch` (until it runs), `apply`, `capture` (the source's side: slot, signals,
waiting until all is on the topics), `beginning` (rows from before capture), `removal`, `cli`.
"""
