"""Iceberg as the platform uses it: row-delta commits, a key index, positions inside the table.

Reading order: `catalog` (open), `schema` (contract -> Iceberg), `files` and `statistics` (Parquet out), `live_rows`
(Parquet in), `key_index` (key -> file and row), `row_delta` (one commit), `table` (all of it together, for one writer),
`orphans` (how old uncommitted files may grow).
"""
