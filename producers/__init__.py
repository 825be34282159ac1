"""Real or generated rows become timed change events: onto Kafka topics, or into the source database.

Reading order: `row_histories` (what happens to a row, and when), `sequence` (all of it in one order), `encoding`
(changes to records), `resume` (what the topics hold already), `rate`, `kafka_producer`, `replay` (all of it together),
`progress` and `summary` (what a user sees), `cli/`; `shop/` writes to the database instead, `generation/` makes data.
"""
