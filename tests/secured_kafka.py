"""A real Kafka that lets nobody in without TLS and a proof: one listener for SASL, one for client certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined] # public names, re-exported without `as`
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from olist.errors import ServerTrouble
from olist.settings import Settings
from olist.stack.processes import spawn, stop
from olist.stack.servers.artefacts import locked
from olist.stack.servers.kafka import Kafka
from tests.certificates import Authority, Pair
from tests.conftest import settings_on_free_ports
from tests.tokens import TokenEndpoint
from tests.waiting import wait_until

USER = "olist"
PASSWORD = 's3cret"with\\quote'
KEY_PASSWORD = "key-s3cret"
CLIENT_ID, CLIENT_SECRET, SCOPE = "olist-platform", "client-s3cret", "kafka"
SECRETS = (PASSWORD, KEY_PASSWORD, CLIENT_SECRET)

SASL = "org.apache.kafka.common.security"
LISTENERS = """
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},SECURED://localhost:{sasl},MUTUAL://localhost:{mutual}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller},SECURED://localhost:{sasl},MUTUAL://localhost:{mutual}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL,MUTUAL:SSL
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.secured.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secured.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.secured.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.secured.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule required;
listener.name.secured.oauthbearer.sasl.server.callback.handler.class={modules}.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.secured.oauthbearer.sasl.oauthbearer.jwks.endpoint.url={keys}
"""


@dataclass(frozen=True)
class SecuredKafka:
    """Where it is, and who may come in how."""

    home: Settings
    authority: Authority
    client: Pair
    tokens: TokenEndpoint

    @property
    def sasl(self) -> str:
        return f"localhost:{self.home.s3_port}"

    @property
    def mutual(self) -> str:
        return f"localhost:{self.home.s3_port + 1}"

    def settings(self, mechanism: str, **more: Any) -> Settings:
        """Settings of a client that comes in by one of the mechanisms, or by its certificate (``mTLS``)."""
        given: dict[str, Any] = {"home": self.home.home, "kafka": self.sasl, "kafka_ssl_ca": self.authority.ca}
        given |= {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": mechanism}
        if mechanism == "mTLS":
            given |= {"kafka": self.mutual, "kafka_security_protocol": "SSL", "kafka_sasl_mechanism": None}
            given |= {"kafka_ssl_certificate": self.client.certificate, "kafka_ssl_key": self.client.key}
            given |= {"kafka_ssl_key_password": KEY_PASSWORD}
        elif mechanism == "OAUTHBEARER":
            given |= {"kafka_oauth_token_url": self.tokens.url, "kafka_oauth_scope": SCOPE}
            given |= {"kafka_oauth_client_id": CLIENT_ID, "kafka_oauth_client_secret": CLIENT_SECRET}
        else:
            given |= {"kafka_sasl_username": USER, "kafka_sasl_password": PASSWORD}
        return Settings(**given | more)


class _Server(Kafka):
    """The stack's Kafka with two listeners more."""

    def __init__(self, settings: Settings, more: str) -> None:
        super().__init__(settings)
        self._more = more

    def prepare(self) -> None:
        super().prepare()
        with (self.folder / "server.properties").open("a", encoding="utf-8") as file:
            file.write(self._more)


@contextmanager
def running(folder: Path) -> Iterator[SecuredKafka]:
    """Start it, and make the user known to it."""
    authority = Authority(folder / "authority")
    tokens = TokenEndpoint(CLIENT_ID, CLIENT_SECRET, SCOPE)
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={tokens.keys_url}"
    home = settings_on_free_ports(folder / "home").model_copy(update={"java_options": allowed})
    made = SecuredKafka(home, authority, authority.issue("client", KEY_PASSWORD), tokens)
    server = _Server(home, _listeners(made))
    server.installer.install(locked(*server.sections))
    server.prepare()
    process = spawn(server.launch(), folder / "kafka.log")
    try:
        wait_until(lambda: _answers(server), "the secured Kafka")
        _make_known(home)
        yield made
    finally:
        stop([(process, server.stop_signal)], 30)
        tokens.close()


def _listeners(made: SecuredKafka) -> str:
    text = LISTENERS.format(
        broker=made.home.kafka_port,
        controller=made.home.kafka_controller_port,
        sasl=made.home.s3_port,
        mutual=made.home.s3_port + 1,
        server=made.authority.issue("server").both,
        ca=made.authority.ca,
        modules=SASL,
        user=USER,
        password=PASSWORD.replace("\\", "\\\\").replace('"', '\\"'),
        keys=made.tokens.keys_url,
    )
    return text.replace("\\", "\\\\")


def _answers(server: Kafka) -> bool:
    try:
        server.probe()
    except ServerTrouble:
        return False
    return True


def _make_known(home: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": home.kafka_bootstrap})
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        change = UserScramCredentialUpsertion(USER, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
        for future in admin.alter_user_scram_credentials([change]).values():
            future.result()
