"""Requests to OpenSearch, and its errors in our words.

The client retries nothing on its own: a repeated compare-and-set would find its first try and call it somebody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import SerializationError, TransportError

from olist.errors import ServerTrouble, Stopped

SERVER = "opensearch"
TIMEOUT_S = 60
BUSY = frozenset({408, 429, 500, 502, 503, 504})
NDJSON = {"content-type": "application/x-ndjson"}

NO_ROOM = "delete indexes that nobody needs, or raise cluster.max_shards_per_node"

Json = dict[str, Any]


class Client:
    """A connection to one OpenSearch; errors are raised in our words."""

    def __init__(self, url: str) -> None:
        logging.getLogger("opensearch").setLevel(logging.CRITICAL)  # it logs tracebacks of what is raised here anyway
        self._client = OpenSearch(url, max_retries=0, retry_on_timeout=False, timeout=TIMEOUT_S)

    def ask(
        self, method: str, path: str, body: Json | bytes | None = None, *, expected: tuple[int, ...] = (), **params: Any
    ) -> Json:
        """One request and its answer, be it one of the `expected` failures.

        Raises:
            ServerTrouble: the server is away, busy or starting.
            Stopped: it understood and refused.
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
    """Tell trouble that passes from trouble that stays, as `Client.ask` says."""
    try:
        yield
    except (NoConnection, SerializationError) as error:
        raise ServerTrouble(SERVER, f"no answer: {error}", hint="`olist status`") from error
    except TransportError as error:
        if error.status_code in BUSY:
            raise ServerTrouble(SERVER, _reason(error), hint="`olist status`") from error
        raise Stopped(f"{SERVER}: {_reason(error)}") from error


def _reason(error: TransportError) -> str:
    """The server's own words."""
    told = error.info.get("error") if isinstance(error.info, dict) else None
    reason = told.get("reason") if isinstance(told, dict) else told
    return f"{error.status_code} {reason or error.error}"


def _way_out(reason: str) -> str:
    return NO_ROOM if "shards open" in reason else ""
