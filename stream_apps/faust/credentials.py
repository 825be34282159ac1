"""How aiokafka, below Faust, reaches Kafka: the same settings as `olist.clients.kafka`, in its own words."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

import requests
from aiokafka.abc import AbstractTokenProvider

from olist.clients.kafka import check_settings, load_files
from olist.errors import ServerTrouble
from olist.settings import Settings

TOKEN_WITHIN_S = 10
STILL_VALID = 0.8  # of a token's life: then the next one is asked for
LIFE_S = 300  # of a token whose endpoint does not say


def aiokafka_options(settings: Settings) -> dict[str, Any]:
    """aiokafka's options for where Kafka is and who is asking.

    Raises:
        BadInput: a setting that another one needs is missing.
    """
    return {"bootstrap_servers": settings.kafka_bootstrap, **aiokafka_security(settings)}


def aiokafka_security(settings: Settings) -> dict[str, Any]:
    """Of `aiokafka_options` those that say who is asking."""
    check_settings(settings)
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = context = ssl.create_default_context(cafile=settings.kafka_ssl_ca)
        load_files(settings, context)
    if protocol.startswith("SASL_"):
        options |= _sasl(settings)
    return options


def _sasl(settings: Settings) -> dict[str, Any]:
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Tokens(settings)}
    assert settings.kafka_sasl_password is not None  # checked
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
    }


class Tokens(AbstractTokenProvider):  # type: ignore[misc] # aiokafka ships no types
    """Tokens by client credentials, each used for most of its life."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """A token that is valid.

        Raises:
            ServerTrouble: the endpoint gave none.
        """
        if time.monotonic() >= self._until:
            await asyncio.get_running_loop().run_in_executor(None, self._fetch)
        return self._token

    def _fetch(self) -> None:
        settings, now = self._settings, time.monotonic()
        url, secret = settings.kafka_oauth_token_url, settings.kafka_oauth_client_secret
        assert url is not None  # checked, as the two below
        assert secret is not None
        asked = {"grant_type": "client_credentials"}
        if settings.kafka_oauth_scope is not None:
            asked["scope"] = settings.kafka_oauth_scope
        who = settings.kafka_oauth_client_id or "", secret.get_secret_value()
        try:
            answer = requests.post(url, data=asked, auth=who, timeout=TOKEN_WITHIN_S)
            answer.raise_for_status()
            given = answer.json()
            self._token = str(given["access_token"])
        except (requests.RequestException, KeyError) as error:
            raise ServerTrouble(
                "kafka", f"no token from OLIST_KAFKA_OAUTH_TOKEN_URL: {type(error).__name__} {error}"
            ) from error
        self._until = now + STILL_VALID * float(given.get("expires_in", LIFE_S))
