"""Records that one target refused: they are in the dead letters with the target's name, and not in the target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from olist.batches import OFFSET, PARTITION
from olist.dead_letters import OFFSET as LETTER_OFFSET
from olist.dead_letters import PARTITION as LETTER_PARTITION
from olist.dead_letters import REASON, STAGE, TOPIC, dead_letter_topic
from olist.settings import Settings
from olist.topics.admin import topic_states
from olist.topics.reading import Consumed, read
from olist.topics.survey import Broker
from sinks.check.latest import Refused, fingerprint


@dataclass(frozen=True)
class Refusals:
    """(stage, topic) -> refused record -> reason. The stage is the target's name."""

    by_stage: Mapping[tuple[str, str], Mapping[Refused, str]]

    def of(self, target: str, topic: str, held: pl.DataFrame) -> dict[Refused, str]:
        """What a target refused of a topic, less what it holds after all.

        A letter outlives a rebuild that then took the record; a row that names the letter's place proves that. Its
        values are compared all the same.
        """
        refused = self.by_stage.get((target, topic), {})
        if not refused:
            return {}
        taken = set(held.select(PARTITION, OFFSET).iter_rows())
        return {one: reason for one, reason in refused.items() if (one.partition, one.offset) not in taken}


def read_refusals(settings: Settings) -> Refusals:
    """All letters there are; none when the topic is not there yet.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    topic, broker = dead_letter_topic(settings), Broker(settings)
    if topic not in broker.names():
        return Refusals({})
    state = topic_states(broker.admin, [topic])[topic]
    found: dict[tuple[str, str], dict[Refused, str]] = defaultdict(dict)
    for letters in read(settings, topic, state.first, state.end):
        for letter in letters:
            _file(letter, found)
    return Refusals(found)


def _file(letter: Consumed, found: dict[tuple[str, str], dict[Refused, str]]) -> None:
    """File a letter under its stage and topic; one that was written twice counts once."""
    said: dict[str, str] = {name: _text(content) for name, content in letter.headers() or ()}
    stage, topic, reason = said.get(STAGE), said.get(TOPIC), said.get(REASON)
    partition, offset = said.get(LETTER_PARTITION), said.get(LETTER_OFFSET)
    if stage and topic and partition and offset:
        found[stage, topic][Refused(int(partition), int(offset), fingerprint(letter))] = reason or ""


def _text(content: bytes | str | None) -> str:
    return content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content or ""
