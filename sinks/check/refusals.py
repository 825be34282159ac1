"""Records that one target refused: they are in the dead letters with the target's name, and not in the target."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from olist.batches import Record
from olist.settings import Settings
from olist.topics.admin import topic_states
from olist.topics.broker import Broker
from olist.topics.dead_letters import OFFSET as LETTER_OFFSET
from olist.topics.dead_letters import PARTITION as LETTER_PARTITION
from olist.topics.dead_letters import REASON, STAGE, TOPIC, dead_letter_topic
from olist.topics.reader import Consumed, read

SHOWN = 100  # reasons kept of each target and topic


Numbers = npt.NDArray[np.int64]


def fingerprint(record: Record) -> int:
    """64 bits of a record's key and value."""
    return xxh3_64_intdigest(repr((record.key(), record.value())).encode())


@dataclass
class Refused:
    """What one target refused of one topic: by place and by what stood there, since a re-created topic has others."""

    offsets: dict[int, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("q")))  # by partition
    prints: dict[int, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("Q")))
    reasons: dict[tuple[int, int], str] = field(default_factory=dict)  # the first of them, by place
    _in_order: dict[int, tuple[Numbers, npt.NDArray[np.uint64]]] = field(default_factory=dict)

    def add(self, partition: int, offset: int, print_: int, reason: str) -> None:
        """One letter; one that was written twice counts once."""
        self.offsets[partition].append(offset)
        self.prints[partition].append(print_)
        if len(self.reasons) < SHOWN:
            self.reasons[partition, offset] = reason

    def marks(self, records: Sequence[Record], partitions: Numbers, offsets: Numbers) -> npt.NDArray[np.bool_]:
        """Which of these records are refused ones; the arrays say where the records stand."""
        found = np.zeros(len(offsets), dtype=bool)
        for partition in self.offsets:
            refused, prints = self._sorted(partition)
            here = np.flatnonzero((partitions == partition) & np.isin(offsets, refused))
            first, last = (np.searchsorted(refused, offsets[here], side) for side in ("left", "right"))
            for at, begin, end in zip(here.tolist(), first.tolist(), last.tolist(), strict=True):
                found[at] = fingerprint(records[at]) in prints[begin:end]
        return found

    def _sorted(self, partition: int) -> tuple[Numbers, npt.NDArray[np.uint64]]:
        """Offsets in order, and the fingerprints beside them."""
        if partition not in self._in_order:
            offsets = np.array(self.offsets[partition], dtype=np.int64)
            order = np.argsort(offsets, kind="stable")
            self._in_order[partition] = offsets[order], np.array(self.prints[partition], dtype=np.uint64)[order]
        return self._in_order[partition]


@dataclass(frozen=True)
class Refusals:
    """(stage, topic) -> what was refused. The stage is the target's name."""

    by_stage: Mapping[tuple[str, str], Refused]

    def of(self, target: str, topic: str) -> Refused:
        """What a target refused of a topic."""
        return self.by_stage.get((target, topic), Refused())


def read_refusals(settings: Settings) -> Refusals:
    """All letters there are; none when the topic is not there yet.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    topic, broker = dead_letter_topic(settings), Broker(settings)
    if topic not in broker.names():
        return Refusals({})
    state = topic_states(broker.admin, [topic])[topic]
    found: dict[tuple[str, str], Refused] = defaultdict(Refused)
    for letters in read(settings, topic, state.first, state.end):
        for letter in letters:
            _file(letter, found)
    return Refusals(found)


def _file(letter: Consumed, found: dict[tuple[str, str], Refused]) -> None:
    headers: dict[str, str] = {name: _text(content) for name, content in letter.headers() or ()}
    stage, topic, reason = headers.get(STAGE), headers.get(TOPIC), headers.get(REASON)
    partition, offset = headers.get(LETTER_PARTITION), headers.get(LETTER_OFFSET)
    if stage and topic and partition and offset:
        found[stage, topic].add(int(partition), int(offset), fingerprint(letter), reason or "")


def _text(content: bytes | str | None) -> str:
    return content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content or ""
