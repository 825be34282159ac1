"""The shop's database, the source of change data capture: its schema, and the orders' lives as its transactions.

Reading order: `migrations/` and `migrate` (the schema), `statements` and `rows` (a change as SQL), `writer` (many
transactions in flight), `replay` (what is left to do, and doing it).
"""
