"""Runs any `FaustApp`: a process per worker, as many as the app's parallelism; each has some partitions of all topics.

In the order of a record's way:

    names.py        what the app's group and its own topics are called
    transport.py    Faust's consumer as we need it: nothing is committed before it was worked on and written
    routes.py       which records reach their key where they are, and which are forwarded to it
    forwarding.py   a record on its way to its key, and back
    moves.py        rows that move from key to key (pure)
    part.py         one partition's states: the change, the rows before and after, timers (pure)
    clock.py        event time from what the source partitions have said (pure)
    timers.py       what falls due when (pure)
    state.py        a key's state as it is kept, and as bytes
    memory.py       the state topic: written as states change, read back on recovery
    held.py         a partition that this worker holds, and how it is taken over
    output.py       rows to records
    writer.py       one producer for states, rows and forwarded records: one flush puts all in order
    taking.py       what becomes of one record
    shell.py        the Faust app around it: assignment, recovery, the loop, the clock's tick, commits
    ending.py       how a worker ends on an error
    telling.py      what the worker counts of itself, for its status file
    serving.py      metrics from the statuses of one worker or of many
    purging.py      forwarded records that were taken are deleted
    worker.py       the process

**Why not Faust's own tables.** They are changed inside a stream's iteration alone, so no timer can touch them; a
partition that comes back is read again over what is there, so keys that were deleted elsewhere return; and each change
costs 80 us. A state here is a dict's value and one record of the state topic, by the producer that writes the rows.

**The order that makes it effectively once.** A commit is: broadcast the watermarks, flush states, rows and forwarded
records, commit the input's offsets. After a kill the input comes again from the last commit; a state knows the
position of the last change it holds from each source partition, skips what it holds, and writes its rows once more,
deletions of the last ten minutes included. A clock is written down and flushed before the first row that depends on it.

**A worker that was paused** past its session may wake beside the one that took over. It finds that it did not run for
most of its session's timeout and ends; what its producer still held is too old by then and is not sent. A state that
slips through does not count on recovery, since it holds less than the one before it (`memory.py`). A row that slips
through stands until its key's next change: Kafka fences a producer by transactions alone, and the rows' delay would be
the commits' then.
"""
