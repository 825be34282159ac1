"""Keep lake tables small, fast to read and cheap to commit to: the platform's only batch job.

Reading order: `options` (what is worth doing), `plan` (what to do about it, pure), `table_stats` (what a table holds,
and what is refused), `rewrite` and `external_sort` (old files to new ones), `bounds` (wrong figures in manifests),
`commit` (the change beside live writers), `expire` and `deferred_deletes` (snapshots, then their files), `sweep`
(orphans), `storage`, `lease` (one compactor a table), `job` (one table), `loop` (all of them, again and again),
`report`, `cli`.
"""
