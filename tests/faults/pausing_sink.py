"""`olist`, whose sink pauses itself (SIGSTOP) between staging and committing its first batch: a zombie on time."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from olist.batches import Batch
from olist.cli.main import main
from sinks.base import SinkTable, Staged, factory
from sinks.runtime import process


def pausing(table: SinkTable[Any]) -> SinkTable[Any]:
    """The same table, whose first stage with rows ends in a pause."""
    staging = table.stage

    def stage(batch: Batch) -> Staged[Any]:
        staged = staging(batch)
        if not batch.frame.is_empty():
            table.stage = staging  # type: ignore[method-assign]
            # To this very thread: another may take its time over a signal to the process, and the commit be through.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        return staged

    table.stage = stage  # type: ignore[method-assign]
    return table


if __name__ == "__main__":
    real = factory(sys.argv[3])
    process.factory = lambda _target: lambda contract, settings: pausing(real(contract, settings))  # type: ignore[attr-defined, assignment]
    main()
