"""The servers of one machine as processes: install, start, ready, stop.

Reading order: `servers/` (what each is made of), `launcher` and `processes` (start and stop, no orphans), `home` (run
state on disk), `supervisor` (the process that owns the servers), `local` (the API that the commands, the demo and the
tests use), `hooks` (what other folders run beside the servers); then `slots`, `doctor`, `view` and `cli`.
"""
