"""A partition that this worker owns: its states, its clock, and how both are restored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olist.errors import PositionRefused
from stream_apps.app import FaustApp, Key
from stream_apps.faust.changelog import METADATA, PartitionMetadata, RestoredPartition
from stream_apps.faust.moved_keys import MovedKeys
from stream_apps.faust.partition_states import PartitionStates, StateUpdate
from stream_apps.faust.watermark import WatermarkClock

MIXED = ""  # the code of a partition whose rows are being written anew: some may be the old version's, some the new's


@dataclass
class OwnedPartition:
    """One partition number of every topic that the app reads."""

    number: int
    states: PartitionStates
    moved_keys: MovedKeys
    clock: WatermarkClock
    metadata: PartitionMetadata

    @classmethod
    def of(
        cls, app: FaustApp[Any], number: int, restored: RestoredPartition, code: str, topic_ids: Mapping[str, str]
    ) -> OwnedPartition:
        """Go on from what was restored.

        Raises:
            PositionRefused: positions are of topics that have been made anew since.
        """
        known = restored.metadata or PartitionMetadata()
        _check_topics(app, known.topics, topic_ids)
        version = known.code if restored.metadata or restored.entries else code
        return cls(
            number,
            PartitionStates(app, known.clock_us, restored.entries),
            MovedKeys(restored.forwarded),
            WatermarkClock(known.clock_us, dict(known.reached)),
            PartitionMetadata(version, {**known.topics, **topic_ids}, known.clock_us),
        )

    def first_updates(self, code: str, at_s: float) -> Iterator[StateUpdate]:
        """What is to be written before the first record, and the timers that fell due meanwhile."""
        self.moved_keys.restored()
        yield from self.states.restored(at_s)
        if self.metadata.code != code:
            yield from self.states.all_rows()

    def metadata_at(self, clock_us: int) -> tuple[Key, PartitionMetadata]:
        """What to write down, and under which key, before the clock shows a time."""
        self.metadata.clock_us, self.metadata.reached = clock_us, dict(self.clock.reached)
        return METADATA, self.metadata

    def advance(self, clock_us: int, at_s: float) -> Iterator[StateUpdate]:
        """Let time pass. The clock's new time is written down already."""
        self.clock.now_us = clock_us
        return self.states.advance(clock_us, at_s)


def _check_topics(app: FaustApp[Any], known: Mapping[str, str], topic_ids: Mapping[str, str]) -> None:
    for table, topic_id in known.items():
        if topic_ids.get(table, topic_id) != topic_id:
            raise PositionRefused(
                f"{app.name}: the topic of {table} is another one than the one that the state was made of",
                hint="rebuild the app from the topics as they are now",
            )
