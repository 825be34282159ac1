"""The search index: one index per contract behind a filtered alias; versions make every repeat harmless.

Read in this order: `table` (what is promised, and how), `documents` (rows as bulk requests), `positions`, `mapping`,
`client` (requests and errors). `current_rows` reads an index back.
"""
