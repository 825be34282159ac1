"""One app as the deployer holds it: its settings, its files, its engine, and what acts on Kafka and on time for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from olist.contracts import Contract
from olist.settings import Settings
from olist.topics.admin import admin_client, delete_topics, ensure_topics, topic_states
from olist.topics.broker import Broker
from stream_apps.consumer_groups import committed
from stream_apps.deploy.engines import engine_named
from stream_apps.deploy.lag import Lag, is_as_far, lag
from stream_apps.deploy.store import Deployment
from stream_apps.deploy.topic_swap import exchange, put_back
from stream_apps.engine import Engine, Version
from stream_apps.records import EngineName, Record, VersionState


@dataclass(frozen=True)
class Clock:
    """Time: Unix seconds, seconds that never go back, and a pause in seconds."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


REAL_CLOCK = Clock()


class Kafka:
    """All that the deployer does on Kafka by itself: topics, their rows, and how far groups have read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def ensure_topics(self, contracts: Iterable[Contract]) -> None:
        """Make what is missing of the contracts' topics."""
        ensure_topics(self._settings, contracts)

    def delete_topics(self, topics: Iterable[str]) -> None:
        """Delete topics; one that is not there is gone already."""
        delete_topics(self._settings, topics)

    def topic_names(self) -> Iterable[str]:
        """Every topic of the broker."""
        return Broker(self._settings).names()

    def exchange(self, outputs: Iterable[Contract], generation: str, keep: Path) -> int:
        """Make each output's topic equal to what a generation has staged: see `topic_swap.exchange`."""
        return exchange(self._settings, outputs, generation, keep)

    def put_back(self, used: Path, keep: Path | None = None) -> int:
        """Write the rows that a file keeps: see `topic_swap.put_back`."""
        return put_back(self._settings, used, keep)

    def lag(self, group: str, topics: Iterable[str]) -> Lag:
        """How far a group is behind the topics that it reads."""
        return lag(self._settings, group, topics)

    def is_as_far(self, group: str, other: str, topics: Iterable[str]) -> bool:
        """True if a group is nowhere behind another on some topics."""
        states = topic_states(admin_client(self._settings), topics).values()
        mine, theirs = (committed(self._settings, one, states) for one in (group, other))
        return is_as_far(theirs, mine, states)


@dataclass(frozen=True)
class DeployedApp:
    """An app of one home. Whoever changes it is alone with it (`Deployment.alone`)."""

    settings: Settings
    deployment: Deployment
    kind: EngineName
    kafka: Kafka
    clock: Clock = REAL_CLOCK
    engines: Callable[[EngineName, Settings], Engine] = engine_named

    @classmethod
    def of(cls, settings: Settings, deployment: Deployment, kind: EngineName) -> DeployedApp:
        """The one of a deployment, on this machine's engines and Kafka."""
        return cls(settings, deployment, kind, Kafka(settings))

    @cached_property
    def engine(self) -> Engine:
        """What runs it."""
        return self.engines(self.kind, self.settings)

    @property
    def name(self) -> str:
        """The app's."""
        return self.deployment.name

    def record(self) -> Record:
        """What is wanted, as it is written down; changes nothing.

        Raises:
            BadInput: the app is not deployed.
        """
        return self.deployment.deployed_record()

    def current(self, record: Record) -> Version:
        """The current version of a record, with its state."""
        return self.deployment.version(record, record.current)

    def save(self, version: Version, state: VersionState) -> Version:
        """Write down the state that a version has now; the version with it."""
        self.deployment.save_state(version.number, state)
        return version.having(state)
