"""What a sink says of its progress: a line now and then, whatever the rate."""

from __future__ import annotations

from dataclasses import dataclass

EVERY_S = 10.0


@dataclass
class Throughput:
    """Counts records between two lines of the log."""

    since_s: float
    records: int = 0

    def take(self, records: int, now_s: float) -> dict[str, int] | None:
        """Count; return the line's fields when it is time for one and something was written."""
        self.records += records
        if now_s - self.since_s < EVERY_S or not self.records:
            return None
        line = {"records": self.records, "per_s": round(self.records / (now_s - self.since_s))}
        self.since_s, self.records = now_s, 0
        return line
