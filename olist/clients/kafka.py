"""How every client of Kafka reaches it: the one place that turns settings into a client library's options.

librdkafka (`client_options`), Java's clients in Kafka Connect and Flink (`java_properties`) and aiokafka below Faust
(`stream_apps.faust.credentials`) each have their own words for the same few settings. A Java process finds secrets in
its own environment: its properties only name them, so no file, plan, log or REST API has them.
"""

from __future__ import annotations

import re
import ssl
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ParamSpec

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from olist.errors import BadInput
from olist.settings import Settings

P = ParamSpec("P")

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

TOKEN = "Failed to acquire SASL OAUTHBEARER token"
AWAY = re.compile("connect|resolve|time", re.IGNORECASE)
"""A token endpoint that did not answer, in librdkafka's words, not one that refused."""
NO_CERTIFICATE = re.compile("alert .*certificate")
"""A broker that wants another certificate of its client, or one at all."""
NOT_TLS = "PLAINTEXT broker listener"


def words_of(error: KafkaException) -> str:
    """What Kafka, or its library, said went wrong."""
    return str(error.args[0].str()) if error.args and isinstance(error.args[0], KafkaError) else str(error)


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
        _refuse_unused(settings)
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


def _refuse_unused(settings: Settings) -> None:
    """Settings that have no effect may be somebody's belief that a connection is encrypted."""
    names = ("kafka_sasl_mechanism", "kafka_ssl_ca", "kafka_ssl_certificate")
    if unused := [f"OLIST_{name.upper()}" for name in names if getattr(settings, name) is not None]:
        raise BadInput(
            f"{', '.join(unused)}: not used, for OLIST_KAFKA_SECURITY_PROTOCOL is PLAINTEXT",
            hint="OLIST_KAFKA_SECURITY_PROTOCOL=SASL_SSL, or SSL",
        )


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
    load_files(settings, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def load_files(settings: Settings, context: ssl.SSLContext) -> None:
    """Have a context trust the brokers' authorities, and show the client's certificate.

    Raises:
        BadInput: a file is no PEM, the key is not the certificate's, or its password is wrong.
    """
    if settings.kafka_ssl_ca is not None:
        try:
            context.load_verify_locations(settings.kafka_ssl_ca)
        except ssl.SSLError as error:
            raise BadInput(f"OLIST_KAFKA_SSL_CA={settings.kafka_ssl_ca}: {error.reason or error}") from error
    certificate, key = settings.kafka_ssl_certificate, settings.kafka_ssl_key
    if certificate is not None:
        # An empty password instead of none: OpenSSL would ask the terminal for it.
        password = _secret(settings.kafka_ssl_key_password) or ""
        try:
            context.load_cert_chain(certificate, key, password)
        except ssl.SSLError as error:
            named = "OLIST_KAFKA_SSL_CERTIFICATE, OLIST_KAFKA_SSL_KEY and OLIST_KAFKA_SSL_KEY_PASSWORD"
            raise BadInput(f"{certificate} with {key}: {error.reason or error}", hint=f"look at {named}") from error


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


def weakly(method: Callable[P, None]) -> Callable[P, None]:
    """A callback that does not keep its object. A client holds its callbacks, so an object that holds the client would
    be freed by the garbage collector alone, and until then keep four threads and one of the process's 1,024 places
    for thread-local storage: a program that makes a client per look ran out of them.
    """
    kept = weakref.WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        if (found := kept()) is not None:
            found(*args, **kwargs)

    return call


class Admin(AdminClient):
    """An admin client that says why it gets no answer. `said` is the newest thing that librdkafka said about it."""

    def __init__(self, settings: Settings, options: Mapping[str, str | int]) -> None:
        self.said = ""
        self._suspected = ""  # a listener without TLS; a mere "disconnected" often follows and says less
        self._settings = settings
        self._refusal: BadInput | None = None
        super().__init__({**client_options(settings), **options}, error_cb=weakly(self._heard))

    def wait(self) -> None:
        """Return at the first answer, or when there was neither that nor a refusal: whoever asks next is told so.

        Raises:
            BadInput: Kafka refuses us or we refuse Kafka, naming the settings.
        """
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < deadline:
            try:
                self.list_topics(timeout=LOOK_EVERY_S)
            except KafkaException:
                self.poll(0)  # hears what went wrong
            else:
                return
            if self._refusal is not None:
                raise self._refusal
        if self._suspected:
            raise _refused(self._settings, self._suspected, "kafka_security_protocol")

    def _heard(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.said = error.str()
        if NOT_TLS in error.str():
            self._suspected = error.str()
        self._refusal = self._refusal or refusal(self._settings, error)


def refusal(settings: Settings, error: KafkaError) -> BadInput | None:
    """What the user can mend about an error of a connection; None for what passes."""
    said = error.str()
    if error.code() == KafkaError._AUTHENTICATION and said.startswith(TOKEN):
        named = ("kafka_oauth_token_url", "kafka_oauth_client_id", "kafka_oauth_client_secret", "kafka_oauth_scope")
        return None if AWAY.search(said.removeprefix(TOKEN)) else _refused(settings, said, *named)
    if error.code() == KafkaError._AUTHENTICATION:
        return _refused(settings, said, "kafka_sasl_mechanism", *_needed_by_mechanism(settings.kafka_sasl_mechanism))
    if error.code() == KafkaError._SSL and "Disconnected" not in said:
        return _refused(settings, said, "kafka_ssl_ca", "kafka_security_protocol")
    if NO_CERTIFICATE.search(said):
        return _refused(settings, said, "kafka_ssl_certificate", "kafka_ssl_key")
    return None


def _refused(settings: Settings, said: str, *names: str) -> BadInput:
    named = ", ".join(f"OLIST_{name.upper()}" for name in names)
    return BadInput(f"kafka: {settings.kafka_bootstrap}: {said}", hint=f"look at {named}")
