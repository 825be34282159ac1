"""`olist` on a machine whose clock is two days ahead: what was written a moment ago is old enough for any sweep."""

from __future__ import annotations

import time

from olist.cli.main import main

AHEAD_NS = 2 * 86_400 * 1_000_000_000

if __name__ == "__main__":
    now_ns = time.time_ns
    time.time_ns = lambda: now_ns() + AHEAD_NS
    main()
