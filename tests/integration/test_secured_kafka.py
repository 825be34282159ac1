"""Kafka with TLS and SASL: every client of ours comes in by settings alone, and says so when it may not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiokafka
import pytest
from confluent_kafka import Producer

from olist.clients.kafka import client_options
from olist.errors import BadInput
from olist.settings import Settings
from olist.tables import ORDERS
from olist.topics.admin import admin_client, ensure_topics, topic_state
from olist.topics.reader import read
from stream_apps.faust.credentials import aiokafka_options
from tests.certificates import Authority
from tests.secured_kafka import SECRETS, SecuredKafka

pytestmark = pytest.mark.integration

WAYS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "mTLS")


async def first_value(settings: Settings, topic: str) -> Any:
    consumer = aiokafka.AIOKafkaConsumer(topic, **aiokafka_options(settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        return (await asyncio.wait_for(consumer.getone(), 60)).value
    finally:
        await consumer.stop()


@pytest.mark.parametrize("way", WAYS)
def test_a_topic_is_made_written_and_read_by_both_libraries(secured: SecuredKafka, way: str) -> None:
    settings = secured.settings(way, topic_prefix=f"t{uuid4().hex}.public")
    topic = ensure_topics(settings, [ORDERS])[ORDERS.table].topic
    producer = Producer(client_options(settings))
    producer.produce(topic, b"a value", b"a key")
    assert producer.flush(60) == 0
    state = topic_state(admin_client(settings), topic)
    assert [r.value() for records in read(settings, topic, state.first, state.end) for r in records] == [b"a value"]
    assert asyncio.run(first_value(settings, topic)) == b"a value"


REFUSED = [
    ("PLAIN", {"kafka_sasl_password": "wr0ng"}, "OLIST_KAFKA_SASL_PASSWORD"),
    ("SCRAM-SHA-512", {"kafka_sasl_username": "nobody"}, "OLIST_KAFKA_SASL_USERNAME"),
    ("OAUTHBEARER", {"kafka_oauth_client_secret": "wr0ng"}, "OLIST_KAFKA_OAUTH_CLIENT_SECRET"),
    ("PLAIN", {"kafka_ssl_ca": "another authority's"}, "OLIST_KAFKA_SSL_CA"),
    ("PLAIN", {"kafka": "the listener without TLS"}, "OLIST_KAFKA_SECURITY_PROTOCOL"),
    ("mTLS", {"kafka_ssl_certificate": None, "kafka_ssl_key": None}, "OLIST_KAFKA_SSL_CERTIFICATE"),
    ("mTLS", {"kafka_ssl_key_password": "wr0ng"}, "OLIST_KAFKA_SSL_KEY_PASSWORD"),
]


@pytest.mark.parametrize(("way", "wrong", "named"), REFUSED, ids=[named for _, _, named in REFUSED])
def test_what_kafka_refuses_ends_in_seconds_and_names_the_setting(
    secured: SecuredKafka, tmp_path: Path, way: str, wrong: dict[str, object], named: str
) -> None:
    if "kafka_ssl_ca" in wrong:
        wrong = {"kafka_ssl_ca": Authority(tmp_path / "another").ca}
    if "kafka" in wrong:
        wrong = {"kafka": secured.home.kafka_bootstrap}
    began = time.monotonic()
    with pytest.raises(BadInput) as refused:
        admin_client(secured.settings(way, **wrong))
    assert time.monotonic() - began < 30
    assert named in refused.value.hint
    assert not [secret for secret in (*SECRETS, "wr0ng") if secret in f"{refused.value} {refused.value.hint}"]
