"""What the broker says of a topic's offsets, and when it does not know them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from olist.errors import ServerTrouble
from olist.topics import admin


class Broker:
    """Answers with one offset after the other, and with the last for ever."""

    def __init__(self, *offsets: int) -> None:
        self.offsets = list(offsets)

    def list_offsets(self, asked: Mapping[TopicPartition, Any], **_: Any) -> dict[TopicPartition, Future[Any]]:
        offset = self.offsets.pop(0) if len(self.offsets) > 1 else self.offsets[0]
        answer: Future[Any] = Future()
        answer.set_result(SimpleNamespace(offset=offset))
        return dict.fromkeys(asked, answer)


def ends(broker: Broker) -> dict[str, dict[int, int]]:
    return admin._offsets(cast(AdminClient, broker), [TopicPartition("orders", 0)], cast(Any, None))


def test_a_broker_that_does_not_know_an_offset_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ELECTION_PAUSE_S", 0.0)
    assert ends(Broker(-1001, -1001, 7)) == {"orders": {0: 7}}


def test_a_broker_that_never_knows_it_is_trouble_and_no_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "TIMEOUT_S", 0.0)
    with pytest.raises(ServerTrouble, match=r"orders\[0\]: the broker does not know its offsets yet"):
        ends(Broker(-1001))
