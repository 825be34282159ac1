"""What a replay did, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Summary:
    """One run: what was there before it, what it sent, what it left; `stopped_by` is a signal's number."""

    on_topics_before: int
    sent: int
    left: int
    seconds: float
    cpu_s: float
    event_time: str | None
    stopped_by: int | None
    where: str = "on the topics"

    def as_json(self) -> dict[str, object]:
        """Every field, and the two figures that follow from them."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "where"},
            "changes_per_s": round(self.sent / self.seconds) if self.sent else None,
            "cpu_us_per_change": round(self.cpu_s / self.sent * 1e6, 2) if self.sent else None,
        }

    def as_text(self) -> str:
        """One or two sentences."""
        if not self.sent and not self.left:
            return f"nothing to do: all {self.on_topics_before:,} changes are {self.where} already"
        told = f"{self.sent:,} changes in {self.seconds:.1f} s"
        if self.sent:
            speed = f"{self.sent / self.seconds:,.0f} changes/s, {self.cpu_s / self.sent * 1e6:.1f} us of CPU each"
            told += f" ({speed}), up to {self.event_time} in the data"
        if self.on_topics_before:
            told += f"; {self.on_topics_before:,} were {self.where} already"
        if self.left:
            told += f"\nstopped with {self.left:,} left: the same command goes on where this one stopped"
        return told
