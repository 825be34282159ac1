"""The warehouse: one table per contract; rows and positions move in one transaction.

Read in this order: `table` (the steps of a commit), `staging` (rows on their way in), `positions` (with the witnesses
that tell a restored table), `schema`, `connection`. `mart_views` keeps the views of `marts` through a change of a
table; `current_rows` reads a table back.
"""
