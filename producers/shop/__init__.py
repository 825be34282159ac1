"""The shop's database, the source of change data capture: its schema, and the orders' lives as its transactions.

Reading order: `migrations/` and `migrate` (the schema), `transactions` (changes that are committed together, as SQL),
`documents` (reviews that live in MongoDB), `writer` (many transactions in flight), `replay` (what is left to do, and
doing it), `command`.
"""
