"""Carries topics to any target. Read in this order:

1. `process`      one process: the runner with its consumer and tables
2. `source`       the consumer: polls, pauses, reads on where a target stands
3. `runner`       tables side by side: opens them, hands them what was polled, tells how they are
4. `writer`       one batch of one table: decode, stage, dead letters, commit
5. `table_state`  running, waiting, stopped: what each error makes of a table
6. `retry`        a server that is away when the process starts
"""
