"""`olist`, whose compactor's lease lasts a second: one that is killed does not hold up the next."""

from __future__ import annotations

from functools import partial

from compaction import lease
from olist.cli.main import main

LASTS_MS = 1_000

if __name__ == "__main__":
    lease.Lease = partial(lease.Lease, lasts_ms=LASTS_MS)  # type: ignore[misc, assignment]
    main()
