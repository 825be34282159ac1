"""How every client of Kafka reaches it: the one place that turns settings into a client library's options.

librdkafka (`client_options`), Java's clients in Kafka Connect and Flink (`java_properties`) and aiokafka below Faust
(`stream_apps.faust.credentials`) each have their own words for the same few settings. A Java process finds secrets in
its own environment: its properties only name them, so no file, plan, log or REST API has them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from olist.errors import BadInput
from olist.settings import Settings

PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
ANSWER_WITHIN_S = 5.0
LOOK_EVERY_S = 0.5

FLINK_SHADED = "org.apache.flink.kafka.shaded."
"""What Flink's SQL connector puts before the names of its own copy of Kafka's client, system properties' too."""
KAFKA = "org.apache.kafka."
SECURITY = f"{KAFKA}common.security"
PROVIDERS = f"{KAFKA}common.config.provider"
USER, PASSWORD = "OLIST_KAFKA_SASL_USERNAME", "OLIST_KAFKA_SASL_PASSWORD"
CLIENT_ID, CLIENT_SECRET = "OLIST_KAFKA_OAUTH_CLIENT_ID", "OLIST_KAFKA_OAUTH_CLIENT_SECRET"
KEY_PASSWORD = "OLIST_KAFKA_SSL_KEY_PASSWORD"
JAVA_SECRETS = (USER, PASSWORD, CLIENT_ID, CLIENT_SECRET, KEY_PASSWORD)
"""Variables that `java_properties` name."""
LOGIN_MODULES = {
    "PLAIN": f"{SECURITY}.plain.PlainLoginModule",
    "SCRAM-SHA-256": f"{SECURITY}.scram.ScramLoginModule",
    "SCRAM-SHA-512": f"{SECURITY}.scram.ScramLoginModule",
    "OAUTHBEARER": f"{SECURITY}.oauthbearer.OAuthBearerLoginModule",
}

# A token endpoint that refused the client, in librdkafka's words; one that did not answer is asked again.
TOKEN_REFUSED = re.compile(r"\(?\b40[013]\b")


def is_secured(settings: Settings) -> bool:
    """True if Kafka asks for more than a connection."""
    return settings.kafka_security_protocol != "PLAINTEXT"


def check_settings(settings: Settings) -> None:
    """Refuse settings of which one needs another that is missing.

    Raises:
        BadInput: naming both.
    """
    protocol = settings.kafka_security_protocol
    if not is_secured(settings):
        return
    if settings.kafka is None:
        raise BadInput(
            f"OLIST_KAFKA_SECURITY_PROTOCOL={protocol}, but the Kafka of this machine speaks PLAINTEXT on loopback",
            hint="name the Kafka with OLIST_KAFKA, or unset OLIST_KAFKA_SECURITY_PROTOCOL",
        )
    _demand(settings, f"OLIST_KAFKA_SECURITY_PROTOCOL={protocol}", _needed_by_protocol(protocol))
    if protocol.startswith("SASL_"):
        mechanism = settings.kafka_sasl_mechanism
        _demand(settings, f"OLIST_KAFKA_SASL_MECHANISM={mechanism}", _needed_by_mechanism(mechanism))
    if (settings.kafka_ssl_certificate is None) != (settings.kafka_ssl_key is None):
        raise BadInput(
            "one of OLIST_KAFKA_SSL_CERTIFICATE and OLIST_KAFKA_SSL_KEY is missing", hint="set both or neither"
        )
    _check_files(settings)


def _needed_by_protocol(protocol: str) -> tuple[str, ...]:
    return ("kafka_sasl_mechanism",) if protocol.startswith("SASL_") else ()


def _needed_by_mechanism(mechanism: str | None) -> tuple[str, ...]:
    if mechanism in PASSWORD_MECHANISMS:
        return "kafka_sasl_username", "kafka_sasl_password"
    return "kafka_oauth_token_url", "kafka_oauth_client_id", "kafka_oauth_client_secret"


def _demand(settings: Settings, why: str, names: Iterable[str]) -> None:
    missing = [f"OLIST_{name.upper()}" for name in names if getattr(settings, name) is None]
    if missing:
        raise BadInput(f"{why} needs {' and '.join(missing)}", hint="docs/security.md has an example of each")


def _check_files(settings: Settings) -> None:
    for name in ("kafka_ssl_ca", "kafka_ssl_certificate", "kafka_ssl_key"):
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise BadInput(f"OLIST_{name.upper()}={path}: there is no such file", hint="a PEM file is wanted")


def client_options(settings: Settings) -> dict[str, str]:
    """librdkafka's options for where Kafka is and who is asking.

    Raises:
        BadInput: see `check_settings`.
    """
    check_settings(settings)
    options: dict[str, str | None] = {"bootstrap.servers": settings.kafka_bootstrap}
    if is_secured(settings):
        options |= {"security.protocol": settings.kafka_security_protocol, **_tls(settings), **_sasl(settings)}
    return {name: value for name, value in options.items() if value is not None}


def _tls(settings: Settings) -> dict[str, str | None]:
    return {
        "ssl.ca.location": _text(settings.kafka_ssl_ca),
        "ssl.certificate.location": _text(settings.kafka_ssl_certificate),
        "ssl.key.location": _text(settings.kafka_ssl_key),
        "ssl.key.password": _secret(settings.kafka_ssl_key_password),
    }


def _sasl(settings: Settings) -> dict[str, str | None]:
    mechanism = settings.kafka_sasl_mechanism
    if not settings.kafka_security_protocol.startswith("SASL_"):
        return {}
    if mechanism in PASSWORD_MECHANISMS:
        return {
            "sasl.mechanism": mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": _secret(settings.kafka_sasl_password),
        }
    return {
        "sasl.mechanism": mechanism,
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.kafka_oauth_token_url,
        "sasl.oauthbearer.client.id": settings.kafka_oauth_client_id,
        "sasl.oauthbearer.client.secret": _secret(settings.kafka_oauth_client_secret),
        "sasl.oauthbearer.scope": settings.kafka_oauth_scope,
    }


def java_properties(settings: Settings, *, shaded: str = "") -> dict[str, str]:
    """The same as properties of Java's clients, secrets as ``${env:NAME}`` for `java_providers` to fill in.

    `shaded` is what stands before ``org.apache.kafka`` in a jar that brings its own copy of the client.

    Raises:
        BadInput: see `check_settings`.
    """
    return {"bootstrap.servers": settings.kafka_bootstrap, **java_security(settings, shaded=shaded)}


def java_security(settings: Settings, *, shaded: str = "") -> dict[str, str]:
    """Of `java_properties` those that say who is asking; none for a Kafka that asks nobody."""
    check_settings(settings)
    if not is_secured(settings):
        return {}
    protocol = {"security.protocol": settings.kafka_security_protocol}
    return protocol | _java_tls(settings) | _java_sasl(settings, shaded)


def _java_tls(settings: Settings) -> dict[str, str]:
    """PEM as it is. The client's key and certificate stay files of their own, which a provider reads whole."""
    found: dict[str, str] = {}
    if settings.kafka_ssl_ca is not None:
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(settings.kafka_ssl_ca.resolve())}
    if settings.kafka_ssl_certificate is not None and settings.kafka_ssl_key is not None:
        certificate, key = settings.kafka_ssl_certificate.resolve(), settings.kafka_ssl_key.resolve()
        found |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": f"${{directory:{certificate.parent}:{certificate.name}}}",
            "ssl.keystore.key": f"${{directory:{key.parent}:{key.name}}}",
        }
    if settings.kafka_ssl_key_password is not None:
        found["ssl.key.password"] = f"${{env:{KEY_PASSWORD}}}"
    return found


def _java_sasl(settings: Settings, shaded: str) -> dict[str, str]:
    mechanism = settings.kafka_sasl_mechanism
    if mechanism is None or not settings.kafka_security_protocol.startswith("SASL_"):
        return {}
    if mechanism in PASSWORD_MECHANISMS:
        given = f'username="${{env:{USER}}}" password="${{env:{PASSWORD}}}"'
        return {"sasl.mechanism": mechanism, "sasl.jaas.config": _jaas(mechanism, given, shaded)}
    given = f'clientId="${{env:{CLIENT_ID}}}" clientSecret="${{env:{CLIENT_SECRET}}}"'
    if settings.kafka_oauth_scope is not None:
        given += f' scope="{_in_jaas(settings.kafka_oauth_scope)}"'
    return {
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": _jaas(mechanism, given, shaded),
        "sasl.login.callback.handler.class": f"{shaded}{SECURITY}.oauthbearer.OAuthBearerLoginCallbackHandler",
        "sasl.oauthbearer.token.endpoint.url": settings.kafka_oauth_token_url or "",
    }


def _jaas(mechanism: str, given: str, shaded: str) -> str:
    return f"{shaded}{LOGIN_MODULES[mechanism]} required {given};"


def java_providers(settings: Settings, names: Iterable[str], *, shaded: str = "") -> dict[str, str]:
    """Properties that let other properties name variables of the environment (these alone), and the client's key."""
    kinds = {"env": ("EnvVarConfigProvider", "allowlist.pattern", "|".join(names))}
    if is_secured(settings) and settings.kafka_ssl_certificate is not None and settings.kafka_ssl_key is not None:
        folders = {str(path.resolve().parent) for path in (settings.kafka_ssl_certificate, settings.kafka_ssl_key)}
        kinds["directory"] = ("DirectoryConfigProvider", "allowed.paths", ",".join(sorted(folders)))
    found = {"config.providers": ",".join(kinds)}
    for kind, (provider, limit, allowed) in kinds.items():
        found[f"config.providers.{kind}.class"] = f"{shaded}{PROVIDERS}.{provider}"
        found[f"config.providers.{kind}.param.{limit}"] = allowed
    return found


def java_secrets(settings: Settings) -> dict[str, str]:
    """The environment that `java_properties` names: of a process that is started here, not of every one.

    Within a JAAS line a quote or a backslash is escaped, so it is here.
    """
    found = {
        USER: settings.kafka_sasl_username,
        PASSWORD: _secret(settings.kafka_sasl_password),
        CLIENT_ID: settings.kafka_oauth_client_id,
        CLIENT_SECRET: _secret(settings.kafka_oauth_client_secret),
    }
    escaped = {name: _in_jaas(value) for name, value in found.items() if value is not None}
    key_password = _secret(settings.kafka_ssl_key_password)
    return escaped | ({KEY_PASSWORD: key_password} if key_password is not None else {})


def java_options(settings: Settings, *, shaded: str = "") -> tuple[str, ...]:
    """Options of a `java` program whose clients fetch tokens: it goes to no address that is not allowed there."""
    if settings.kafka_sasl_mechanism != "OAUTHBEARER" or not settings.kafka_oauth_token_url:
        return ()
    return (f"-D{shaded}{KAFKA}sasl.oauthbearer.allowed.urls={settings.kafka_oauth_token_url}",)


def as_properties(options: dict[str, str]) -> str:
    """A line of a Java properties file each, in which a backslash escapes."""
    return "".join(f"{name}={value}\n" for name, value in options.items()).replace("\\", "\\\\")


def _in_jaas(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


class Refusals:
    """What librdkafka reports of a connection that will never come about, whoever waits for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: BadInput | None = None

    def heard(self, error: KafkaError) -> None:
        """Take an error: librdkafka's ``error_cb``."""
        if self._found is None:
            self._found = refusal(self._settings, error)

    def wait(self, admin: AdminClient) -> None:
        """Return at the first answer, or when there was neither that nor a refusal: then others say what is wrong.

        Raises:
            BadInput: Kafka refused us or we refused Kafka, naming the settings.
        """
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < deadline:
            try:
                admin.list_topics(timeout=LOOK_EVERY_S)
            except KafkaException:
                admin.poll(0)  # hears what went wrong
            else:
                return
            if self._found is not None:
                raise self._found


def refusal(settings: Settings, error: KafkaError) -> BadInput | None:
    """What the user can mend about an error of a connection; None for what passes."""
    said, where = error.str(), settings.kafka_bootstrap
    if error.code() == KafkaError._AUTHENTICATION:
        if settings.kafka_sasl_mechanism != "OAUTHBEARER":
            named = "OLIST_KAFKA_SASL_MECHANISM, OLIST_KAFKA_SASL_USERNAME and OLIST_KAFKA_SASL_PASSWORD"
            return BadInput(f"kafka: {where} refused the user: {said}", hint=f"look at {named}")
        if "token" not in said or TOKEN_REFUSED.search(said):
            named = "OLIST_KAFKA_OAUTH_CLIENT_ID, OLIST_KAFKA_OAUTH_CLIENT_SECRET and OLIST_KAFKA_OAUTH_SCOPE"
            return BadInput(f"kafka: no token for {where}: {said}", hint=f"look at {named}")
    if error.code() == KafkaError._SSL and "Disconnected" not in said:
        return BadInput(f"kafka: {where}: {said}", hint="look at OLIST_KAFKA_SSL_CA and OLIST_KAFKA_SECURITY_PROTOCOL")
    return None
