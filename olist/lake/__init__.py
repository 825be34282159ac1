"""Iceberg as the platform uses it: row-delta commits, a key index, positions inside its snapshots.

Reading order: `catalog` (open), `schema` (contract -> Iceberg), `files` and `statistics` (Parquet out), `live_rows`
(Parquet in), `key_index` (key -> file and row), `owned_rows` and `row_locations` (the rows of one writer), `row_delta`
(one commit), `ancestry` (where a table stands), `writable` (what others made of it), `table` (all of it together, for
one writer), `orphans` (how old uncommitted files may grow).
"""
