"""Kafka Connect's REST API over requests, as far as it is needed, and waits for a connector's state."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
HOW_TO_START = "`olist up --only kafka,postgres,connect` starts it here"

WITHIN_S = 90.0
PAST_S = 15.0  # a restart that fails with the same trace again is reported after this
LOOK_EVERY_S = 0.2

Method = Literal["GET", "PUT", "POST", "DELETE"]


class StatusPart(msgspec.Struct, frozen=True):
    """A connector or one of its tasks as the worker sees it."""

    state: str
    worker_id: str = ""
    trace: str = ""
    id: int = 0


class ConnectorStatus(msgspec.Struct, frozen=True):
    """A connector and its tasks."""

    name: str
    connector: StatusPart
    tasks: tuple[StatusPart, ...] = ()

    @property
    def trace(self) -> str:
        """What the first failed part said."""
        return next((part.trace for part in (self.connector, *self.tasks) if part.state == "FAILED"), "")

    @property
    def running(self) -> bool:
        """The connector and at least one task, all of them."""
        return bool(self.tasks) and {part.state for part in (self.connector, *self.tasks)} == {"RUNNING"}


class ConfigProblem(msgspec.Struct, frozen=True):
    """What the plugin itself finds wrong with one setting."""

    setting: str
    message: str


class ConnectClient:
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

    def status(self, name: str) -> ConnectorStatus | None:
        """None while there is no such connector, or none that has started yet."""
        found = self._ask("GET", f"/connectors/{quote(name)}/status")
        return None if found is None else msgspec.convert(found, ConnectorStatus, strict=False)

    def validate(self, config: Config) -> list[ConfigProblem]:
        """What is wrong with a configuration, asked of the plugin; Debezium tries the database as well."""
        plugin = config["connector.class"].rpartition(".")[2]
        answer = self._ask("PUT", f"/connector-plugins/{plugin}/config/validate", config)
        # MongoDB's plugin declares settings that it does not judge: those have no value.
        values = [entry["value"] for entry in answer["configs"] if entry["value"] is not None]
        return [ConfigProblem(value["name"], error) for value in values for error in value["errors"]]

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

    def reset_offsets(self, name: str) -> None:
        """Delete a stopped connector's offsets, so that it starts from the beginning of its source."""
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


def until(client: ConnectClient, name: str, fits: Callable[[ConnectorStatus | None], bool], what: str) -> None:
    """Poll until the status fits.

    Raises:
        ServerTrouble: it takes too long; with the trace of a part that failed, if one did.
    """
    deadline = time.monotonic() + WITHIN_S
    while not fits(status := client.status(name)):
        if time.monotonic() > deadline:
            if status is not None and status.trace:
                raise failed(status)
            raise ServerTrouble("connect", f"{name} is not {what} after {WITHIN_S:g} s: {state_line(status)}")
        time.sleep(LOOK_EVERY_S)


def until_running(client: ConnectClient, name: str, *, past: str = "") -> None:
    """Until the connector and its tasks run.

    `past` is the trace from before a restart, which the worker accepts before it begins it: it counts for as long as
    nothing else was seen only after `PAST_S`.

    Raises:
        ServerTrouble: a part failed, with its trace, at once; or it takes too long.
    """
    ignored, settled = past, time.monotonic() + PAST_S

    def runs(status: ConnectorStatus | None) -> bool:
        nonlocal ignored
        trace = "" if status is None else status.trace
        if trace != ignored or time.monotonic() > settled:
            ignored = ""
        if status is not None and trace and not ignored:
            raise failed(status)
        return status is not None and status.running

    until(client, name, runs, "running")


def until_idle(client: ConnectClient, name: str) -> None:
    """Until no task is left. A trace that an earlier task left does not matter."""
    until(client, name, lambda status: status is not None and not status.tasks, "stopped")


def until_paused(client: ConnectClient, name: str) -> None:
    """Until all parts are paused."""
    paused = {"PAUSED"}
    until(client, name, lambda s: s is not None and {p.state for p in (s.connector, *s.tasks)} == paused, "paused")


def until_gone(client: ConnectClient, name: str) -> None:
    """Until nobody knows it any more."""
    until(client, name, lambda status: status is None, "gone")


def failed(status: ConnectorStatus) -> ServerTrouble:
    """A failed connector's own words: the innermost cause, then all of it."""
    return ServerTrouble(
        "connect",
        f"{status.name} failed: {cause(status.trace)}\n{status.trace.rstrip()}",
        hint="fix the cause, then `olist connect restart`",
    )


def cause(trace: str) -> str:
    """What a Java trace says last of why, without the exceptions that wrap it."""
    first, *others = [line for line in trace.splitlines() if not line.startswith((" ", "\t"))] or [""]
    return ([line for line in others if line.startswith("Caused by: ")] or [first])[-1].removeprefix("Caused by: ")


def state_line(status: ConnectorStatus | None) -> str:
    """Its states in one line."""
    if status is None:
        return "not there"
    tasks = ", ".join(f"task {task.id} {task.state}" for task in status.tasks) or "no task"
    return f"connector {status.connector.state}, {tasks}"
