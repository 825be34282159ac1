"""A Kafka Connect worker with the Iceberg project's own sink, from the lock: what our sink is measured beside.

Table files go to a local disk by Hadoop's file system, and the catalog is a schema of the benchmark's PostgreSQL.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from olist.errors import ServerTrouble, StackError
from olist.settings import Settings
from olist.stack.processes import last_lines, spawn, stop
from olist.stack.servers.artefacts import locked
from olist.stack.servers.connect import Connect
from olist.stack.servers.install import Installer

SECTION = "iceberg-connect"
READY_WITHIN_S = 120.0
LOOK_EVERY_S = 0.5
LOOKS_EVERY_MS = 2_000


class IcebergConnect(Connect):
    """The platform's own Connect server with another plugin."""

    name = SECTION

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.sections = ("connect", SECTION)

    @property
    def plugins(self) -> list[Path]:
        """A folder of links to the plugin's jars."""
        return [self.folder / "plugins"]

    @property
    def log(self) -> Path:
        """The worker's output."""
        return self.folder / "worker.log"

    def prepare(self) -> None:
        """Also let an idle task look for the coordinator's commits more often than once a minute."""
        super().prepare()
        with (self.folder / "worker.properties").open("a", encoding="utf-8") as properties:
            properties.write(f"offset.flush.interval.ms={LOOKS_EVERY_MS}\n")

    def unpack(self) -> None:
        """Fetch the jars and link them where the worker looks for plugins."""
        installer = Installer(self.settings.cache.resolve(), offline=self.settings.offline)
        installer.install(locked(*self.sections))
        folder = self.plugins[0] / "iceberg"
        folder.mkdir(parents=True, exist_ok=True)
        for artefact in locked(SECTION):
            path = installer.path(artefact)
            (folder / path.name).symlink_to(path)


class Worker:
    """A running worker: its REST API, and the CPU time of its process."""

    def __init__(self, server: IcebergConnect, process: subprocess.Popen[bytes]) -> None:
        self.server, self._process = server, process

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the process so far, all its threads."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def create(self, name: str, config: dict[str, str]) -> None:
        """Create a connector."""
        self._ask("PUT", f"/connectors/{name}/config", config)

    def delete(self, name: str) -> None:
        """Delete a connector."""
        self._ask("DELETE", f"/connectors/{name}")

    def require_healthy(self, name: str) -> None:
        """Raise when a connector or its task has failed.

        Raises:
            StackError: it has, with the first line of its trace.
        """
        told = self._ask("GET", "/connectors?expand=status").get(name, {}).get("status")
        if told is None:  # created a moment ago
            return
        failed = [part for part in (told["connector"], *told["tasks"]) if part["state"] == "FAILED"]
        if failed:
            raise StackError(f"{name} failed: {failed[0].get('trace', '').strip()[:2000]}")

    def _ask(self, how: str, path: str, body: dict[str, str] | None = None) -> Any:
        answer = requests.request(how, f"{self.server.endpoint}{path}", json=body, timeout=30)
        if not answer.ok:
            raise StackError(f"{how} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None


@contextmanager
def running(settings: Settings) -> Iterator[Worker]:
    """A worker that ends with the block, or with this process."""
    server = IcebergConnect(settings)
    server.unpack()
    server.prepare()
    process = spawn(server.launch(), server.log)
    try:
        _until_ready(server, process)
        yield Worker(server, process)
    finally:
        stop([(process, server.stop_signal)], within_s=15)


def _until_ready(server: IcebergConnect, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            server.probe()
        except ServerTrouble as trouble:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(last_lines(server.log, 15))
                raise StackError(f"the worker did not become ready: {trouble}\n{tail}") from trouble
        else:
            return
        time.sleep(LOOK_EVERY_S)
