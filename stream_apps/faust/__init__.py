"""Runs any `FaustApp`: a process per worker, as many as the app's parallelism; each has some partitions of all topics.

To be read in the order of a record's way:

1. `worker.py`: the process.
2. `worker_loop.py`: the Faust app: assignment, restoring, the loop over records, the clock, commits.
3. `record_processor.py`: what becomes of one record.
4. `repartition.py`: which records reach their key where they are, and which are forwarded to it, and how.
5. `moved_keys.py`: rows that move from key to key (pure).
6. `partition_states.py`: a partition's states: the change, the rows before and after, timers (pure).
7. `producer.py`: states, rows and forwarded records as records of one producer; one flush puts all in order.
8. `watermark.py`: event time from what source partitions have reached (pure).
9. `changelog.py`: the state topic, and how states are read back from it.
10. `owned_partition.py`: a partition that this worker owns, as it goes on from what was restored.
11. `worker_status.py`: what workers count, in a file each, and the metrics that are read from there.
12. `fatal_errors.py`: how a worker ends on an error.

For the deployer `engine.py` starts, observes and ends such processes (`worker_processes.py`: how they are known and
ended), and `state_compatibility.py` says whether a new version can read the old one's states (pure).

Beside that way stand `names.py`, what the app's group and its own topics are called, and below it `transport.py`,
Faust's consumer as we need it (nothing is committed before it was processed and written), with `credentials.py`, who is
asking.

**Why not Faust's own tables.** They are changed inside a stream's iteration alone, so no timer can touch them; a
partition that comes back is read again over what is there, so keys that were deleted elsewhere return; and each change
costs 80 us. A state here is a dict's value and one record of the state topic, by the producer that writes the rows.

**The order that makes it effectively once.** A commit is: broadcast the watermarks, flush states, rows and forwarded
records, commit the input's offsets. After a kill the input comes again from the last commit; a state knows the
position of the last change it holds from each source partition, skips what it holds, and writes its rows once more,
deletions of the last ten minutes included. A clock is written down and flushed before the first row that depends on it.

**A worker that was paused** past its session may wake beside the one that took over. It finds that it did not run for
most of its session's timeout and ends; what its producer still has queued is too old by then and is not sent. A state
that slips through is not restored, since it holds less than the one before it (`changelog.py`). A row that slips
through stands until its key's next change: Kafka fences a producer by transactions alone, and the rows' delay would be
the commits' then.
"""
