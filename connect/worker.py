"""Kafka Connect's REST API, as far as it is needed, over requests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import msgspec
import requests

from connect.postgres import Config
from olist.errors import BadInput, ServerTrouble
from olist.hidden import shown

TIMEOUT_S = 30.0
PATIENCE_S = 60.0  # with a worker that starts, or moves connectors between workers
AGAIN_AFTER_S = 0.3
NOT_NOW = (409, 503)  # it rebalances; it starts
REBALANCING = 500  # with words that say so, while the leader changes

Method = Literal["GET", "PUT", "POST", "DELETE"]


class Part(msgspec.Struct, frozen=True):
    """A connector or one of its tasks as the worker sees it."""

    state: str
    worker_id: str = ""
    trace: str = ""
    id: int = 0


class Status(msgspec.Struct, frozen=True):
    """A connector and its tasks."""

    name: str
    connector: Part
    tasks: tuple[Part, ...] = ()

    @property
    def trace(self) -> str:
        """What the first failed part said."""
        return next((part.trace for part in (self.connector, *self.tasks) if part.state == "FAILED"), "")

    @property
    def running(self) -> bool:
        """The connector and at least one task, all of them."""
        return bool(self.tasks) and {part.state for part in (self.connector, *self.tasks)} == {"RUNNING"}


class Problem(msgspec.Struct, frozen=True):
    """What the plugin itself finds wrong with one setting."""

    setting: str
    message: str


class Worker:
    """One Connect cluster. Requests that come while it rebalances are made again, up to `PATIENCE_S`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def connectors(self) -> list[str]:
        """Names, sorted."""
        return sorted(self._ask("GET", "/connectors"))

    def plugins(self) -> set[str]:
        """Class names of the connectors that are installed."""
        return {plugin["class"] for plugin in self._ask("GET", "/connector-plugins")}

    def config(self, name: str) -> Config | None:
        """As it was put, providers' names unresolved; None when there is no such connector."""
        found: Config | None = self._ask("GET", f"/connectors/{quote(name)}/config")
        return found

    def status(self, name: str) -> Status | None:
        """None while there is no such connector, or none that has started yet."""
        found = self._ask("GET", f"/connectors/{quote(name)}/status")
        return None if found is None else msgspec.convert(found, Status, strict=False)

    def validate(self, config: Config) -> list[Problem]:
        """What is wrong with a configuration, asked of the plugin; Debezium tries the database as well."""
        plugin = config["connector.class"].rpartition(".")[2]
        answer = self._ask("PUT", f"/connector-plugins/{plugin}/config/validate", config)
        # MongoDB's plugin declares settings that it does not judge: those have no value.
        values = [entry["value"] for entry in answer["configs"] if entry["value"] is not None]
        return [Problem(value["name"], error) for value in values for error in value["errors"]]

    def put(self, config: Config) -> None:
        """Create the connector or change it."""
        self._ask("PUT", f"/connectors/{quote(config['name'])}/config", config)

    def create_stopped(self, config: Config) -> None:
        """Create a connector that does nothing yet."""
        self._ask("POST", "/connectors", {"name": config["name"], "config": config, "initial_state": "STOPPED"})

    def ask(self, name: str, what: Literal["pause", "resume", "stop"]) -> None:
        """Change the state that a connector shall be in."""
        self._ask("PUT", f"/connectors/{quote(name)}/{what}")

    def restart(self, name: str) -> None:
        """Restart the connector and its tasks, failed or not."""
        self._ask("POST", f"/connectors/{quote(name)}/restart?includeTasks=true&onlyFailed=false")

    def delete(self, name: str) -> None:
        """Remove the connector; its offsets stay."""
        self._ask("DELETE", f"/connectors/{quote(name)}")

    def offsets(self, name: str) -> list[dict[str, Any]]:
        """Where it stands in its source, one entry per partition of it."""
        found = self._ask("GET", f"/connectors/{quote(name)}/offsets")
        return [entry["offset"] for entry in found["offsets"]] if found else []

    def forget_offsets(self, name: str) -> None:
        """Make a stopped connector begin anew."""
        self._ask("DELETE", f"/connectors/{quote(name)}/offsets")

    def _ask(self, method: Method, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer, or None for what is not there.

        Raises:
            ServerTrouble: no answer in time, or an error of the worker's.
            BadInput: the worker refuses the request.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._session.request(method, self.url + path, json=body, timeout=TIMEOUT_S)
            except requests.RequestException as error:
                said = f"{shown(self.url)} does not answer: {error}"
                raise ServerTrouble("connect", said, hint=HOW_TO_START) from error
            if not _later(answer) or time.monotonic() > deadline:
                return _content(answer)
            time.sleep(AGAIN_AFTER_S)


HOW_TO_START = "`olist up --only kafka,postgres,connect` starts it here"


def _later(answer: requests.Response) -> bool:
    return answer.status_code in NOT_NOW or (answer.status_code == REBALANCING and "rebalanc" in answer.text)


def _content(answer: requests.Response) -> Any:
    if answer.status_code == requests.codes.not_found:
        return None
    if answer.ok:
        return answer.json() if answer.content else {}
    try:
        said = answer.json()["message"]
    except (ValueError, KeyError):
        said = answer.text[:500]
    if answer.status_code < requests.codes.server_error and answer.status_code not in NOT_NOW:
        raise BadInput(f"connect refuses: {said}")
    raise ServerTrouble("connect", f"{answer.status_code}: {said}")
