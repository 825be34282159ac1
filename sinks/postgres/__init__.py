"""The PostgreSQL warehouse: one table per contract, rows and positions moved by the same transaction."""
