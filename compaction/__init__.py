"""Keep lake tables small, fast to read and cheap to commit to: the platform's only batch job.

Reading order: `thresholds` (what is worth doing), `facts` (what a table holds), `plan` (what to do about it, pure),
`rewrite` and `sorting` (old files to new ones), `deletes` (delete files to fewer), `translate` (deletes that arrived
meanwhile, pure), `landing` (the commit), `expire` and `graveyard` (snapshots, then their files), `sweep` (orphans),
`lease`, `job` (one table), `loop` (all of them, again and again), `report`, `cli`.
"""
