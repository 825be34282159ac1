"""Whether a history still finds every change on its topic.

A topic that is compacted keeps every change for a while (`min.compaction.lag.ms`) and then, of each key, the last one.
A history whose sink was away for longer goes on without a word and lacks what was cleaned meanwhile. Which offsets are
gone nobody can tell afterwards: transaction markers leave holes as well. What is known is that the position is older
than the topic promises to keep.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # public, re-exported bare

from olist.contracts import COMPACTION_LAG, Contract
from olist.errors import ServerTrouble
from olist.positions import Positions
from olist.settings import Settings
from olist.topics.admin import TIMEOUT_S
from olist.topics.broker import Broker, Survey
from sinks.readback import read_positions


def short_topics(contracts: Iterable[Contract], settings: Settings) -> list[str]:
    """What is wrong with topics of contracts with a history that were made with a shorter lag, and the way out.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    wanted = {one.topic(settings.topic_prefix): one for one in contracts if one.history and one.compaction_lag_ms}
    broker = Broker(settings)
    surveys = broker.survey(sorted(wanted.keys() & set(broker.names())))
    return [warning for one in surveys if (warning := _too_short(wanted[one.state.topic], one, settings))]


def _too_short(contract: Contract, survey: Survey, settings: Settings) -> str:
    is_compacted = "compact" in survey.configs.get("cleanup.policy", "")
    if not is_compacted or _lag_ms(survey) >= contract.compaction_lag_ms:
        return ""
    topic, wanted = survey.state.topic, f"{COMPACTION_LAG}={contract.compaction_lag_ms}"
    return (
        f"{topic} keeps every change for {_lag_ms(survey)} ms only, so a history may miss some when its sink is away: "
        f"`kafka-configs.sh --bootstrap-server {settings.kafka_bootstrap} --entity-type topics --entity-name {topic} "
        f"--alter --add-config {wanted}`"
    )


def _lag_ms(survey: Survey) -> int:
    return int(survey.configs.get(COMPACTION_LAG, 0))


def passed_over(contracts: Iterable[Contract], settings: Settings) -> Mapping[str, str]:
    """Table -> that its history stands where its topic may have been cleaned already; nothing of the others.

    Raises:
        ServerTrouble: Kafka or the lake does not answer.
        PositionRefused: another engine has set the history back.
    """
    broker, found = Broker(settings), dict[str, str]()
    there = set(broker.names())
    for contract in contracts:
        topic = contract.topic(settings.topic_prefix)
        if contract.history and topic in there:
            (survey,) = broker.survey([topic])
            positions = read_positions("iceberg", replace(contract, table=f"{contract.table}_changes"), settings)
            if gap := _behind_the_lag(broker.admin, positions, survey):
                found[contract.table] = gap
    return found


def _behind_the_lag(admin: AdminClient, positions: Positions | None, survey: Survey) -> str:
    if positions is None or "compact" not in survey.configs.get("cleanup.policy", ""):
        return ""
    kept_from = _first_since(admin, survey, int(time.time() * 1000) - _lag_ms(survey))
    behind = sum(max(0, kept - max(positions.next.get(p, 0), survey.state.first[p])) for p, kept in kept_from.items())
    if not behind:
        return ""
    return (
        f"{behind:,} offsets between its position and what {survey.state.topic} surely keeps are older than "
        f"{_lag_ms(survey) / 86_400_000:g} days: changes among them may be compacted away, and it would lack those"
    )


def _first_since(admin: AdminClient, survey: Survey, at_ms: int) -> dict[int, int]:
    """Per partition the first offset at or after a time; the end where there is none."""
    spec = OffsetSpec.for_timestamp(at_ms)
    topic, end = survey.state.topic, survey.state.end
    asked = admin.list_offsets({TopicPartition(topic, p): spec for p in end}, request_timeout=TIMEOUT_S)
    try:
        offsets = {one.partition: future.result().offset for one, future in asked.items()}
    except KafkaException as error:
        raise ServerTrouble("kafka", f"{topic}: {error.args[0].str()}") from error
    return {p: offset if offset >= 0 else end[p] for p, offset in offsets.items()}
