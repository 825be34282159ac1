"""What each client library is told of a Kafka with TLS and SASL, and that no file or message gets a secret."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from olist.clients.kafka import (
    FLINK_SHADED,
    Admin,
    as_properties,
    client_options,
    java_options,
    java_properties,
    java_secrets,
)
from olist.errors import BadInput
from olist.settings import Settings
from olist.stack.servers.connect import Connect
from producers.kafka_producer import Sender
from stream_apps.apps.sales_by_hour import APP
from stream_apps.faust.producer import BufferedProducer
from stream_apps.flink.job import encode, job_of
from tests.certificates import Authority

SECRET = 's3cret"\\'
KAFKA = "broker.example:9093"


def settings(**given: Any) -> Settings:
    return Settings(**{"kafka": KAFKA, **given})


def by_password(mechanism: str = "SCRAM-SHA-512", **more: Any) -> Settings:
    named = {"kafka_sasl_mechanism": mechanism, "kafka_sasl_username": "u", "kafka_sasl_password": SECRET}
    return settings(kafka_security_protocol="SASL_SSL", **named, **more)


def by_token() -> Settings:
    client = {"kafka_oauth_client_id": "c", "kafka_oauth_client_secret": SECRET, "kafka_oauth_scope": "s"}
    url = "https://login.example/token"
    named = {"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_oauth_token_url": url}
    return settings(kafka_security_protocol="SASL_SSL", **named, **client)


def test_without_these_settings_a_client_is_told_where_kafka_is_and_no_more() -> None:
    assert client_options(Settings(kafka=None)) == {"bootstrap.servers": "127.0.0.1:19092"}
    assert java_properties(settings()) == {"bootstrap.servers": KAFKA}
    assert java_secrets(settings()) == {}
    assert java_options(settings()) == ()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kafka": None, "kafka_security_protocol": "SSL"}, "OLIST_KAFKA_SECURITY_PROTOCOL"),
        ({"kafka_security_protocol": "SASL_SSL"}, "OLIST_KAFKA_SASL_MECHANISM"),
        ({"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"}, "OLIST_KAFKA_SASL_PASSWORD"),
        ({"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"}, "OLIST_KAFKA_OAUTH_TOKEN_URL"),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_key": "client.key"}, "OLIST_KAFKA_SSL_CERTIFICATE"),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_ca": "none.pem"}, "OLIST_KAFKA_SSL_CA"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "OLIST_KAFKA_SECURITY_PROTOCOL"),
        ({"kafka_ssl_ca": "ca.pem"}, "OLIST_KAFKA_SECURITY_PROTOCOL"),
    ],
)
def test_a_setting_that_another_one_needs_is_asked_for_by_its_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput) as refused:
        client_options(settings(**given))
    assert named in str(refused.value)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing", encoding="utf-8")
    with pytest.raises(BadInput, match="OLIST_KAFKA_SSL_CA"):
        client_options(settings(kafka_security_protocol="SSL", kafka_ssl_ca=tmp_path / "ca.pem"))


@pytest.mark.parametrize("given", [by_password("PLAIN"), by_password(), by_token()])
def test_properties_of_java_clients_name_secrets_and_do_not_hold_them(given: Settings) -> None:
    text = as_properties(java_properties(given, shaded=FLINK_SHADED))
    assert "s3cret" not in text
    assert {name for name in java_secrets(given) if f"${{env:{name}}}" in text} == java_secrets(given).keys()
    assert f"{FLINK_SHADED}org.apache.kafka.common.security" in text


def test_a_quote_in_a_password_stays_within_its_jaas_line() -> None:
    assert java_secrets(by_password())["OLIST_KAFKA_SASL_PASSWORD"] == 's3cret\\"\\\\'


def test_a_client_certificates_files_are_named_to_java_and_its_keys_password_is_not(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "own").issue("client", "s3cret")
    files = {"kafka_ssl_certificate": pair.certificate, "kafka_ssl_key": pair.key, "kafka_ssl_key_password": "s3cret"}
    found = java_properties(settings(kafka_security_protocol="SSL", **files))
    assert found["ssl.keystore.key"] == f"${{directory:{pair.key.parent}:client.key}}"
    assert found["ssl.key.password"] == "${env:OLIST_KAFKA_SSL_KEY_PASSWORD}"


@pytest.mark.parametrize("given", [by_password(), by_token()])
def test_neither_a_flink_job_nor_a_connect_workers_file_holds_a_secret(given: Settings, tmp_path: Path) -> None:
    worker = Connect(given.model_copy(update={"home": tmp_path}))
    worker.prepare()
    written = (worker.folder / "worker.properties").read_text("utf-8")
    started = worker.launch()
    assert "s3cret" not in written + encode(job_of(given, APP)).decode() + " ".join(started.argv)
    assert SECRET.replace("\\", "\\\\").replace('"', '\\"') in started.env.values()
    for kind in ("", "producer.", "consumer.", "admin."):
        assert f"\n{kind}security.protocol=SASL_SSL\n" in written


@pytest.mark.parametrize(
    "make",
    [
        lambda given: Admin(given, {"log_level": 0}),
        lambda given: Sender(given, linger_ms=5),
        BufferedProducer,
    ],
    ids=["admin", "sender", "writer"],
)
def test_a_client_that_nobody_holds_is_gone_at_once(make: Callable[[Settings], object]) -> None:
    gc.disable()
    try:
        held = weakref.ref(make(settings(kafka="127.0.0.1:9")))
        assert held() is None, "a process has place for 1,024 of them"
    finally:
        gc.enable()


@pytest.mark.timeout(60)
def test_a_listener_without_tls_is_suspected_whatever_the_last_thing_heard_of_it() -> None:
    """A broker without TLS takes the handshake for a request of impossible size and hangs up, again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, args=(listener,), daemon=True).start()
        secured = settings(kafka=f"127.0.0.1:{listener.getsockname()[1]}", kafka_security_protocol="SSL")
        with pytest.raises(BadInput) as refused:
            Admin(secured, {"log_level": 0}).wait()
    assert "OLIST_KAFKA_SECURITY_PROTOCOL" in refused.value.hint


def hang_up(listener: socket.socket) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            connection, _address = listener.accept()
            connection.recv(1024)
            connection.close()
