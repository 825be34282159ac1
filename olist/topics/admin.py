"""Make the contracts' topics, and ask the broker what a topic is now.

A topic is made once, with the contract's own settings; one that is there already is taken as it is, unless its
partition count differs: then keys would go elsewhere than before, so nothing is written.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public names, re-exported without `as`
    AdminClient,
    ListOffsetsResultInfo,
    NewTopic,
    OffsetSpec,
    TopicDescription,
)

from olist.clients.kafka import Admin, is_secured, words_of
from olist.contracts import Contract
from olist.errors import ServerTrouble, Stopped
from olist.positions import TopicState
from olist.settings import Settings

TIMEOUT_S = 15.0
ELECTION_PAUSE_S = 0.05
UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART,)
# What a partition answers while it gets a leader, be it new or after a broker's end.
ELECTING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    *UNKNOWN,
)
MOST_REPLICAS = 3
AWAY = "`olist up` starts it here; for another look at OLIST_KAFKA and OLIST_KAFKA_SECURITY_PROTOCOL"

T = TypeVar("T")


def admin_client(settings: Settings) -> Admin:
    """An admin client that keeps its connection chatter to itself: our errors say what went wrong.

    Raises:
        BadInput: Kafka refuses who is asking, or its certificate is not one that we trust.
    """
    admin = Admin(settings, {"log_level": 0, "socket.connection.setup.timeout.ms": 5000})
    if is_secured(settings):
        admin.wait()
    return admin


def ensure_topics(settings: Settings, contracts: Iterable[Contract]) -> dict[str, TopicState]:
    """Create `<prefix>.<table>` where it is missing; return every contract's topic, by table.

    Raises:
        Stopped: a topic is there with another number of partitions than the settings say.
        ServerTrouble: Kafka does not answer.
    """
    contracts = tuple(contracts)
    admin = admin_client(settings)
    there, brokers = _cluster(admin, settings.kafka_bootstrap)
    wanted = {contract.topic(settings.topic_prefix): contract for contract in contracts}
    new = [
        NewTopic(
            topic,
            num_partitions=settings.partitions,
            replication_factor=min(MOST_REPLICAS, brokers),
            config=dict(contract.topic_config),
        )
        for topic, contract in wanted.items()
        if topic not in there
    ]
    _create(admin, new)
    states = topic_states(admin, wanted, within_s=TIMEOUT_S)
    for state in states.values():
        check_partitions(state, settings.partitions)
    return {contract.table: states[topic] for topic, contract in wanted.items()}


def check_partitions(state: TopicState, partitions: int) -> None:
    """Refuse a topic whose partition count is not ours.

    Raises:
        Stopped: naming both counts.
    """
    if len(state.end) != partitions:
        raise Stopped(
            f"topic {state.topic} has {len(state.end)} partitions, the settings say {partitions}; "
            "a key would go to another partition than before, and the order of its changes would be lost",
            hint=f"set OLIST_PARTITIONS={len(state.end)}, or use another OLIST_TOPIC_PREFIX",
        )


def topic_state(admin: AdminClient, topic: str) -> TopicState:
    """One topic's id, first and end offsets, as a ``read_committed`` reader sees them.

    Raises:
        Stopped: there is no such topic.
        ServerTrouble: Kafka does not answer.
    """
    return topic_states(admin, [topic])[topic]


def topic_states(admin: AdminClient, topics: Iterable[str], *, within_s: float = 0.0) -> dict[str, TopicState]:
    """As `topic_state`, for many topics in three requests; `within_s` is how long a new one may take to be known."""
    names = list(topics)
    if not names:
        return {}
    ids = _described(admin, names, time.monotonic() + within_s)
    partitions = [TopicPartition(topic, p.id) for topic, about in ids.items() for p in about.partitions]
    first = _offsets(admin, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call] # the library left it bare
    end = _offsets(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call] # the same
    return {topic: TopicState(topic, str(ids[topic].topic_id), first[topic], end[topic]) for topic in names}


def high_watermarks(admin: AdminClient, states: Iterable[TopicState]) -> dict[str, dict[int, int]]:
    """Per topic and partition the end of the log. Above a state's own end it is what an open transaction holds back.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    partitions = [TopicPartition(state.topic, partition) for state in states for partition in state.end]
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the library left it bare
    return _offsets(admin, partitions, latest, IsolationLevel.READ_UNCOMMITTED) if partitions else {}


def delete_topics(settings: Settings, topics: Iterable[str]) -> None:
    """Delete topics and wait until they are gone; one that is not there is gone already.

    Raises:
        ServerTrouble: Kafka does not answer, or keeps a topic.
    """
    admin = admin_client(settings)
    there, _brokers = _cluster(admin, settings.kafka_bootstrap)
    doomed = sorted(there.intersection(topics))
    if not doomed:
        return
    for topic, future in admin.delete_topics(doomed, operation_timeout=TIMEOUT_S).items():
        _answer(future, topic)
    deadline = time.monotonic() + TIMEOUT_S
    while left := _cluster(admin, settings.kafka_bootstrap)[0].intersection(doomed):
        if time.monotonic() > deadline:
            raise ServerTrouble("kafka", f"still there {TIMEOUT_S:g} s after their deletion: {', '.join(sorted(left))}")
        time.sleep(ELECTION_PAUSE_S)


def ensure_topic(settings: Settings, topic: str, config: dict[str, str], partitions: int = 1) -> None:
    """Create a topic that is no contract's, where it is missing; one that is there stays as it is.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    admin = admin_client(settings)
    there, brokers = _cluster(admin, settings.kafka_bootstrap)
    if topic not in there:
        _create(admin, [NewTopic(topic, partitions, min(MOST_REPLICAS, brokers), config=config)])


def _cluster(admin: Admin, bootstrap: str) -> tuple[set[str], int]:
    """The topics that are there, and the number of brokers."""
    try:
        metadata = admin.list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        admin.poll(0)  # hears why
        raise ServerTrouble(
            "kafka", f"{bootstrap} does not answer: {admin.said or words_of(error)}", hint=AWAY
        ) from error
    return set(metadata.topics), len(metadata.brokers)


def _create(admin: AdminClient, new: list[NewTopic]) -> None:
    """Create topics and wait for them; another process that was faster did the same work."""
    if not new:
        return
    for topic, future in admin.create_topics(new, operation_timeout=TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ServerTrouble("kafka", f"topic {topic} was not created: {words_of(error)}") from error


def _described(admin: AdminClient, names: list[str], deadline: float) -> dict[str, TopicDescription]:
    """What the broker says of topics. Creation is acknowledged before every broker has heard of it."""
    while True:
        asked = admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
        if time.monotonic() > deadline or not any(_fails_with(f, UNKNOWN) for f in asked.values()):
            return {topic: _answer(future, topic) for topic, future in asked.items()}
        time.sleep(ELECTION_PAUSE_S)


def _offsets(
    admin: AdminClient,
    partitions: list[TopicPartition],
    spec: OffsetSpec,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[str, dict[int, int]]:
    """Topic -> partition -> offset. A topic made a moment ago may still be without leaders: those are asked again."""
    deadline = time.monotonic() + TIMEOUT_S
    found: dict[str, dict[int, int]] = {partition.topic: {} for partition in partitions}
    while partitions:
        asked = admin.list_offsets(
            dict.fromkeys(partitions, spec), isolation_level=isolation, request_timeout=TIMEOUT_S
        )
        later = [p for p in partitions if _is_unknown_yet(asked[p]) and time.monotonic() < deadline]
        for partition in set(partitions) - set(later):
            name = f"{partition.topic}[{partition.partition}]"
            answer: ListOffsetsResultInfo = _answer(asked[partition], name)
            if answer.offset < 0:
                raise ServerTrouble("kafka", f"{name}: the broker does not know its offsets yet")
            found[partition.topic][partition.partition] = answer.offset
        partitions = later
        time.sleep(ELECTION_PAUSE_S if later else 0)
    return {topic: dict(sorted(offsets.items())) for topic, offsets in found.items()}


def _is_unknown_yet(future: Future[ListOffsetsResultInfo]) -> bool:
    """No leader, or, from a broker that has just started, no offset: librdkafka gives a negative one for an answer."""
    return _fails_with(future, ELECTING) or (future.exception() is None and future.result().offset < 0)


def _fails_with(future: Future[T], codes: tuple[int, ...]) -> bool:
    """Whether the answer is one of these errors, which pass."""
    error = future.exception()
    return isinstance(error, KafkaException) and error.args[0].code() in codes


def _answer(future: Future[T], what: str) -> T:
    """A request's answer.

    Raises:
        Stopped: there is no such topic.
        ServerTrouble: anything else the broker said, or its silence.
    """
    try:
        return future.result()
    except KafkaException as error:
        if error.args[0].code() in UNKNOWN:
            raise Stopped(f"there is no topic {what}", hint="`olist replay` makes the topics and fills them") from error
        raise ServerTrouble("kafka", f"{what}: {words_of(error)}", hint="`olist status`") from error
