"""Requests to OpenSearch, and its errors in our words.

The client retries nothing on its own: a repeated compare-and-set would find its first try and call it somebody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import opensearchpy
from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import SerializationError, SSLError, TransportError

from olist.clients.opensearch import client_options
from olist.errors import BadInput, ServerTrouble, Stopped
from olist.settings import Settings

SERVER = "opensearch"
TIMEOUT_S = 60
BUSY = frozenset({408, 429, 500, 502, 503, 504})
NOT_WE = frozenset({401, 403})
NEVER = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")
"""Permanent: a certificate that we do not trust, a server without TLS."""
TRUST = "look at OLIST_OPENSEARCH_CA and OLIST_OPENSEARCH"
WHO_ASKS = "look at OLIST_OPENSEARCH_USERNAME and OLIST_OPENSEARCH_PASSWORD, or at the credentials that sign requests"
NDJSON = {"content-type": "application/x-ndjson"}

NO_ROOM = "delete indexes that nobody needs, or raise cluster.max_shards_per_node"

Json = dict[str, Any]


class Client:
    """A connection to one OpenSearch; errors are raised in our words."""

    def __init__(self, settings: Settings) -> None:
        logging.getLogger("opensearch").setLevel(logging.CRITICAL)  # it logs tracebacks of what is raised here anyway
        self._client = opensearchpy.OpenSearch(
            **client_options(settings), max_retries=0, retry_on_timeout=False, timeout=TIMEOUT_S
        )

    def ask(
        self, method: str, path: str, body: Json | bytes | None = None, *, expected: tuple[int, ...] = (), **params: Any
    ) -> Json:
        """One request and its answer, be it one of the `expected` failures.

        Raises:
            ServerTrouble: the server is away, busy or starting.
            Stopped: it understood and refused.
        BadInput: its certificate is none that we trust.
        """
        headers = NDJSON if isinstance(body, bytes) else None
        with translated():
            answer: Json = self._client.transport.perform_request(
                method, path, params=params, body=body, headers=headers, ignore=expected
            )
        return answer

    def ask_unless(
        self, expected: tuple[int, ...], method: str, path: str, body: Json | None = None, **params: Any
    ) -> Json | None:
        """The same; None where the server answers with one of the expected failures."""
        answer = self.ask(method, path, body, expected=expected, **params)
        return None if "error" in answer or answer.get("found") is False else answer

    def create(self, index: str, body: Json) -> None:
        """Make an index, unless another process was faster.

        Raises:
            ServerTrouble: the server is away, busy or starting.
            Stopped: it refuses: its limit of shards, a setting, a mapping.
        """
        answer = self.ask("PUT", f"/{index}", body, expected=(400,))
        if (error := answer.get("error")) and error["type"] != "resource_already_exists_exception":
            raise Stopped(f"{SERVER}: {index} cannot be made: {error['reason']}", hint=_way_out(error["reason"]))

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


@contextmanager
def translated() -> Iterator[None]:
    """Raise the client's errors as ours: transient ones as `ServerTrouble`, permanent ones as `Client.ask` says."""
    try:
        yield
    except SSLError as error:
        if any(words in str(error) for words in NEVER):
            raise BadInput(f"{SERVER}: {error.info}", hint=TRUST) from error
        raise ServerTrouble(SERVER, f"no answer: {error}", hint="`olist status`") from error
    except (NoConnection, SerializationError) as error:
        raise ServerTrouble(SERVER, f"no answer: {error}", hint="`olist status`") from error
    except TransportError as error:
        if error.status_code in BUSY:
            raise ServerTrouble(SERVER, _reason(error), hint="`olist status`") from error
        raise Stopped(f"{SERVER}: {_reason(error)}", hint=_hint(error)) from error


def _hint(error: TransportError) -> str:
    return WHO_ASKS if error.status_code in NOT_WE else ""


def _reason(error: TransportError) -> str:
    """The server's own words."""
    answer = error.info.get("error") if isinstance(error.info, dict) else None
    reason = answer.get("reason") if isinstance(answer, dict) else answer
    return f"{error.status_code} {reason or error.error}"


def _way_out(reason: str) -> str:
    return NO_ROOM if "shards open" in reason else ""
