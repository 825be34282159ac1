"""Iceberg as the platform uses it: row-delta commits, a key index, positions inside its snapshots.

Reading order: `catalog` (open; `errors`: what servers raise), `schema` (contract -> Iceberg), `files` (Parquet out),
`live_rows` (Parquet in, less deleted rows), `manifests` (a snapshot's files), `key_index` (key -> file and row),
`row_moves` (where rewritten rows went), `row_locations` (the rows of one writer), `row_delta` (one commit; the one
module that knows PyIceberg's private names), `ancestry` (positions of a table's rows), `writable` (what others made of
it), `backpressure`, `table` (all of it together, for one writer).
"""
