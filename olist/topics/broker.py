"""What the broker says of the topics that are there: shape, settings, the newest record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public names, re-exported without `as`
    AdminClient,
    ConfigResource,
    ConfigSource,
    OffsetSpec,
    ResourceType,
)

from olist.clients.kafka import words_of
from olist.errors import BadInput, ServerTrouble
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.admin import AWAY, TIMEOUT_S, admin_client, topic_states

CLEANUP, RETENTION = "cleanup.policy", "retention.ms"


@dataclass(frozen=True)
class Survey:
    """One topic as it is now."""

    state: TopicState
    configs: Mapping[str, str]  # all of them, by name
    own: Mapping[str, str]  # those that differ from the broker's default
    last_ms: int | None  # timestamp of the newest record, milliseconds since 1970
    leaders: Mapping[int, int | None] = field(default_factory=dict)  # partition -> broker id

    @property
    def offsets(self) -> int:
        """End less first offset over all partitions: an upper bound of the records, since offsets have holes."""
        return sum(end - self.state.first[partition] for partition, end in self.state.end.items())


class Broker:
    """The questions, asked for many topics at once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bootstrap = settings.kafka_bootstrap
        self.admin: AdminClient = admin_client(settings)

    def names(self) -> list[str]:
        """Every topic that is not Kafka's own.

        Raises:
            ServerTrouble: Kafka does not answer.
        """
        try:
            metadata = self.admin.list_topics(timeout=TIMEOUT_S)
        except KafkaException as error:
            raise away(self.bootstrap, error) from error
        return sorted(name for name in metadata.topics if not name.startswith("__"))

    def survey(self, topics: Iterable[str]) -> list[Survey]:
        """Each topic's state, settings and newest record, in the given order."""
        names = list(topics)
        states = topic_states(self.admin, names)
        configs, own = self._configs(names)
        last, leaders = self._last(states.values()), self._leaders()
        return [Survey(states[n], configs[n], own[n], last.get(n), leaders.get(n, {})) for n in names]

    def find(self, name: str, prefix: str) -> str:
        """The topic called `name`, or the prefix's topic of the table `name`.

        Raises:
            BadInput: there is neither; the nearest names are told.
        """
        names = self.names()
        for candidate in (name, f"{prefix}.{name}"):
            if candidate in names:
                return candidate
        near = nearest(name, names, prefix)
        told = f"did you mean {' or '.join(near)}?" if near else "`olist topics ls --all` lists what is there"
        raise BadInput(f"there is no topic {name} nor {prefix}.{name}", hint=told)

    def _configs(self, names: list[str]) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
        every: dict[str, dict[str, str]] = {}
        own: dict[str, dict[str, str]] = {}
        asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not asked:
            return every, own
        for resource, future in self.admin.describe_configs(asked, request_timeout=TIMEOUT_S).items():
            try:
                entries = future.result().values()
            except KafkaException as error:
                raise away(self.bootstrap, error) from error
            every[resource.name] = {entry.name: entry.value for entry in entries}
            mine = [entry for entry in entries if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value]
            own[resource.name] = {entry.name: entry.value for entry in sorted(mine, key=lambda entry: entry.name)}
        return every, own

    def _last(self, states: Iterable[TopicState]) -> dict[str, int]:
        """Topic -> timestamp of its newest record; a topic without records is not in it."""
        asked = [TopicPartition(s.topic, p) for s in states for p, end in s.end.items() if end > s.first[p]]
        newest: dict[str, int] = {}
        if not asked:
            return newest
        spec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call] # the library left it bare
        for partition, future in self.admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=TIMEOUT_S).items():
            try:
                newest[partition.topic] = max(future.result().timestamp, newest.get(partition.topic, -1))
            except KafkaException as error:
                raise away(self.bootstrap, error) from error
        return {topic: at for topic, at in newest.items() if at >= 0}

    def _leaders(self) -> dict[str, dict[int, int | None]]:
        topics = self.admin.list_topics(timeout=TIMEOUT_S).topics
        return {name: {p: about.leader for p, about in topic.partitions.items()} for name, topic in topics.items()}


def nearest(name: str, names: Iterable[str], prefix: str) -> list[str]:
    """Topics whose name, or table, is spelt almost like `name`."""
    tables = {topic.removeprefix(f"{prefix}."): topic for topic in names}
    whole = {topic: topic for topic in tables.values()}
    close = get_close_matches(name, [*tables, *whole], n=3, cutoff=0.6)
    return list(dict.fromkeys((tables | whole)[match] for match in close))


def away(bootstrap: str, error: KafkaException) -> ServerTrouble:
    """Kafka's silence, or what it said instead of an answer."""
    return ServerTrouble("kafka", f"{bootstrap} does not answer: {words_of(error)}", hint=AWAY)
