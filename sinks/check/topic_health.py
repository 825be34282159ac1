"""What makes a topic unfit to be the truth, or keeps every reader from its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from olist.contracts import Contract
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.admin import admin_client, high_watermarks, topic_states
from olist.topics.broker import CLEANUP, RETENTION, Broker

RETENTION_BYTES, TOMBSTONES = "retention.bytes", "delete.retention.ms"
KEPT_FOR_EVER = "-1"
OPEN_FOR_S = 20.0  # a transaction that began before the check and is open after so long
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class TopicHealth:
    """`broken`: changes are removed from the topic that no newer one of the key replaces; `notes` are worth knowing."""

    broken: str = ""
    notes: tuple[str, ...] = ()


def health(contract: Contract, configs: Mapping[str, str], first: Mapping[int, int]) -> TopicHealth:
    """What a topic's settings mean for the truth that the contract wants it to be. Pure.

    A contract whose own topic settings are not those of a compacted topic has said so itself.
    """
    declared = contract.topic_config
    if "compact" not in declared.get(CLEANUP, ""):
        return TopicHealth()
    policy = configs[CLEANUP].split(",")
    limits = [name for name in (RETENTION, RETENTION_BYTES) if configs[name] != KEPT_FOR_EVER]
    if "delete" in policy and limits:
        told = ", ".join(f"{name}={configs[name]}" for name in (CLEANUP, *limits))
        return TopicHealth(
            f"Kafka removes rows that nothing replaced from it ({told}): no target can be rebuilt from it"
        )
    notes = []
    if begins := {partition: offset for partition, offset in sorted(first.items()) if offset}:
        notes.append(f"its records below offsets {begins} were removed, so rows that came from them cannot be judged")
    if "compact" not in policy:
        notes.append(f"it is not compacted ({CLEANUP}={configs[CLEANUP]}), so it grows with every change")
    elif int(configs[TOMBSTONES]) < int(declared.get(TOMBSTONES, 0)):
        kept_s = int(configs[TOMBSTONES]) // 1000
        notes.append(f"it forgets deletes after {kept_s} s ({TOMBSTONES}): a sink away for longer keeps those rows")
    return TopicHealth(notes=tuple(notes))


def healths(contracts: Iterable[Contract], settings: Settings, broker: Broker) -> dict[str, TopicHealth]:
    """As `health`, by table.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    by_topic = {contract.topic(settings.topic_prefix): contract for contract in contracts}
    return {
        by_topic[s.state.topic].table: health(by_topic[s.state.topic], s.configs, s.state.first)
        for s in broker.survey(by_topic)
    }


@dataclass(frozen=True)
class OpenTransactions:
    """Where readers of some topics were held back when the check began: topic -> partition -> (end, high watermark)."""

    held_back: Mapping[str, Mapping[int, tuple[int, int]]]
    since: float  # monotonic seconds

    @classmethod
    def now(cls, settings: Settings, states: Iterable[TopicState]) -> OpenTransactions:
        """As it is now; `states` are of a moment ago."""
        by_topic = {state.topic: state for state in states}
        marks = high_watermarks(admin_client(settings), by_topic.values())
        found = {t: _above(by_topic[t].end, of_topic) for t, of_topic in marks.items()}
        return cls({topic: held for topic, held in found.items() if held}, time.monotonic())

    def still_open(self, settings: Settings, on_wait: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Topic -> what holds its readers back since. Waits until `OPEN_FOR_S` have passed where something may.

        The end that readers see is the first offset of the oldest open transaction: where it has not moved, it is the
        same one.
        """
        left = dict(self.held_back)
        while left:
            states = topic_states(admin_client(settings), left)
            left = {t: same for t, held in left.items() if (same := _unmoved(held, states[t].end))}
            passed_s = time.monotonic() - self.since
            if not left or passed_s >= OPEN_FOR_S:
                break
            on_wait()
            time.sleep(min(LOOK_EVERY_S, OPEN_FOR_S - passed_s))
        return {topic: _told(held) for topic, held in left.items()}


def _above(end: Mapping[int, int], marks: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    return {p: (end[p], mark) for p, mark in marks.items() if mark > end[p]}


def _unmoved(held: Mapping[int, tuple[int, int]], end: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    return {p: (was, mark) for p, (was, mark) in held.items() if end[p] == was}


def _told(held: Mapping[int, tuple[int, int]]) -> str:
    places = ", ".join(f"[{p}]@{end} ({mark - end:,} offsets)" for p, (end, mark) in sorted(held.items()))
    return (
        f"a transaction has stayed open for {OPEN_FOR_S:g} s or longer, and no reader gets past {places}; "
        "if no app is writing it, `kafka-transactions.sh find-hanging` names it and `abort` ends it"
    )
