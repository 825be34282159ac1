"""Which tests a process takes together, and when: a cluster starts once, and all processes end at about one time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parents[1]
CLUSTERS: Mapping[str, str] = {"flink_stack": "Flink", "connect_stack": "Kafka Connect"}
"""Fixtures whose servers take half a minute and a gigabyte to start, and what they start. The longest first."""
QUICK = ("tests/unit/", "tests/golden/")


@cache
def together(file: str) -> str:
    """What a file is run together with: the cluster that it asks for, else itself alone."""
    text = (ROOT / file).read_text("utf-8")
    return next((cluster for fixture, cluster in CLUSTERS.items() if f"{fixture}: " in text), file)


def turn(file: str) -> int:
    """Lower comes first: what takes seconds, then each cluster's tests, which no other process can help with."""
    if file.startswith(QUICK):
        return 0
    return 1 + [*CLUSTERS.values(), together(file)].index(together(file))


class ByCluster(LoadFileScheduling):  # type: ignore[misc] # xdist ships no types
    """As `--dist loadfile`, and the files of a cluster are one."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid.partition("::")[0])
