"""The servers of one machine as processes: install, start, ready, stop.

Reading order: `artefacts` (what the lock holds), `resolve` (how it is renewed), `install` (lock -> cache), `server`
(what a server says about itself) and `servers/` (one file each), `launcher` and `processes` (start and stop, no
orphans), `supervisor` (the process that owns them), `local` (the API that the commands, the demo and the tests use).
"""
