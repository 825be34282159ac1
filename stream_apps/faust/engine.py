"""Faust apps on this machine: worker processes, detached, known by pid and start time.

Each writes a status file once a second. States live on the app's own topics and the position in its consumer group, so
a stopped version goes on from where its generation's group stands; there is no savepoint to name. A version of other
code that takes a generation over writes all rows anew from the states.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from signal import SIGTERM
from typing import Any

import msgspec
import psutil
from msgspec.structs import replace

from olist.errors import BadInput
from olist.settings import Settings
from olist.stack.home import Home
from olist.stack.processes import last_lines, spawn
from olist.stack.servers.server import Launch
from olist.topics.admin import delete_topics
from olist.topics.broker import Broker
from stream_apps.app import App, FaustApp
from stream_apps.app_topics import FOREGROUND, generation_name
from stream_apps.consumer_groups import delete_group
from stream_apps.engine import Observation, Verdict, Version
from stream_apps.faust.names import Names, names
from stream_apps.faust.repartition import tables_read
from stream_apps.faust.state_compatibility import described, obstacles
from stream_apps.faust.worker_processes import STATUS, alive, end_processes, workers_within
from stream_apps.faust.worker_status import Status
from stream_apps.loader import loaded
from stream_apps.records import VersionState, Worker

DESCRIPTION = "app.json"
WORKER = "worker-"
STALE_S = 15.0
"""A status older than this is of a worker that hangs."""
SHOWN_LINES = 15


class FaustEngine:
    """Of one home."""

    def __init__(self, settings: Settings) -> None:
        home = settings.home.resolve()
        self.settings = settings
        # The supervisor serves the metrics of all workers; a port is one process's.
        self.of_workers = settings.model_copy(update={"home": home, "metrics_port": None})
        self.home = Home(home)

    def render(self, app: App, version: Version) -> None:
        """A description of inputs, outputs and state: the worker runs the file itself."""
        assert isinstance(app, FaustApp)
        (version.folder / DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(described(app))) + b"\n")

    def link(self, old: Version, new: Version) -> None:
        """Nothing to do: states are found by their keys, which any version makes alike."""

    def start(self, version: Version) -> VersionState:
        """Start the workers that are missing, and end those that nobody knows of.

        They go on from where the group stands. Those of the foreground end with this process, however it ends.

        Raises:
            ServerTrouble: Kafka is away, and they would end at once.
        """
        Broker(self.settings).names()
        known = dict(enumerate(version.state.workers[: version.parallelism]))
        running = {slot: worker for slot, worker in known.items() if alive(worker) is not None}
        end_processes(self._all(version) - set(running.values()))
        workers = [running.get(slot) or self._spawn(version, slot) for slot in range(version.parallelism)]
        return replace(version.state, workers=tuple(workers), started=time.time())

    def _all(self, version: Version) -> set[Worker]:
        """Its workers, those included whose starter was killed before it could write them down."""
        known = {worker.pid: worker for worker in version.state.workers if alive(worker) is not None}
        there = workers_within(str(version.folder / WORKER))
        return {*known.values(), *(worker for worker in there if worker.pid not in known)}

    def _spawn(self, version: Version, slot: int) -> Worker:
        generation, status = generation_name(version.generation), self._status_file(version, slot)
        status.unlink(missing_ok=True)
        arguments = ["--file", str(version.code), STATUS, str(status), "--instance", f"{version.name}-{slot}"]
        arguments += ["--generation", generation] if generation else []
        arguments += ["--staged"] if version.state.staged else []
        argv = (sys.executable, "-P", "-m", "stream_apps.faust.worker", version.name, *arguments)
        launch = Launch(argv, cwd=self.home.path, env=self.of_workers.environment())
        dies = SIGTERM if version.generation == FOREGROUND else None
        process = spawn(launch, self._log(version, slot), dies)
        return Worker(process.pid, psutil.Process(process.pid).create_time())

    def observe(self, version: Version) -> Observation:
        """What the workers' processes and status files say: healthy are those that have run for a while and say so."""
        state = version.state
        if not state.workers:
            return Observation(phase="absent")
        common: dict[str, Any] = {"since": state.started}
        for slot, worker in enumerate(state.workers):
            if alive(worker) is None:
                return Observation(phase="failed", error=self._last_words(version, slot), **common)
        statuses = [self._status(version, slot) for slot in range(len(state.workers))]
        now = time.time()
        if any(one is not None and now - one.at_s > STALE_S for one in statuses):
            return Observation(phase="failing", error=f"a worker has said nothing for {STALE_S:.0f} s", **common)
        if all(one is not None and one.phase == "running" for one in statuses):
            return Observation(phase="running", settled=self._is_steady(state, now), **common)
        return Observation(phase="starting", **common)

    def _is_steady(self, state: VersionState, now: float) -> bool:
        return now - state.started >= self.settings.app_steady_s

    def _last_words(self, version: Version, slot: int) -> str:
        status = self._status(version, slot)
        if status is not None and status.error:
            return status.error
        return "\n".join(["it ended; the last lines of its log:", *last_lines(self._log(version, slot), SHOWN_LINES)])

    def statuses(self, version: Version) -> list[Status]:
        """The newest status of each worker that runs."""
        running = [slot for slot, worker in enumerate(version.state.workers) if alive(worker) is not None]
        return [status for slot in running if (status := self._status(version, slot)) is not None]

    def savepoint(self, version: Version) -> VersionState:
        """Refused: there is nothing to do.

        Raises:
            BadInput: always.
        """
        raise BadInput(
            f"{version.name} keeps its state on the topic {self._names(version).state}: it is written down always",
            hint="`olist apps stop` ends it with everything committed",
        )

    def stop(self, version: Version) -> VersionState:
        """Ask the workers to end; each commits first."""
        end_processes(self._all(version))
        return replace(version.state, workers=())

    def drain(self, version: Version) -> VersionState:
        """As `stop`: timers are of event time, and fire when that has come."""
        return self.stop(version)

    def cancel(self, version: Version) -> VersionState:
        """As `stop`: what is written twice changes nothing."""
        return self.stop(version)

    def check_restorable(self, version: Version) -> None:
        """Nothing to do: the workers ask Kafka for their states and positions themselves."""

    def carries(self, old: Version, new: Version) -> Verdict:
        """From the states' schemas. What a changed `fold` means by the same fields nobody can tell."""
        before, after = (msgspec.json.decode((version.folder / DESCRIPTION).read_bytes()) for version in (old, new))
        if found := list(obstacles(before, after)):
            return Verdict("state refused", "; ".join(found))
        return Verdict(
            "restored",
            "states are taken over as they are and all rows are written anew from them; "
            "a changed fold holds for changes from now on, --rebuild applies it to all",
        )

    def group(self, version: Version) -> str:
        """The generation's."""
        return self._names(version).group

    def topics(self, version: Version) -> list[str]:
        """The inputs, and what is forwarded from some of them."""
        inputs = [contract.topic(self.settings.topic_prefix) for contract in tables_read(self._app(version))]
        return [*inputs, self._names(version).by_key]

    def owned(self, version: Version) -> list[str]:
        """Its group and two topics."""
        own = self._names(version)
        return [f"consumer group {own.group}", f"topic {own.by_key}", f"topic {own.state}"]

    def forget(self, version: Version) -> None:
        """Delete them."""
        own = self._names(version)
        delete_group(self.settings, own.group)
        delete_topics(self.settings, [own.by_key, own.state])

    def discard(self, version: Version) -> None:
        """Nothing to do: no state is one version's alone."""

    def logs(self, version: Version) -> list[Path]:
        """One per worker."""
        return [self._log(version, slot) for slot in range(version.parallelism)]

    def _log(self, version: Version, slot: int) -> Path:
        generation = generation_name(version.generation)
        return self.home.log("-".join(filter(None, ("app", version.name, generation, str(slot)))))

    def _status_file(self, version: Version, slot: int) -> Path:
        return version.folder / f"{WORKER}{slot}.status"

    def _status(self, version: Version, slot: int) -> Status | None:
        try:
            return msgspec.json.decode(self._status_file(version, slot).read_bytes(), type=Status)
        except FileNotFoundError:
            return None

    def _names(self, version: Version) -> Names:
        return names(self.settings, self._app(version), generation_name(version.generation))

    def _app(self, version: Version) -> FaustApp[Any]:
        app = loaded(version.code)
        assert isinstance(app, FaustApp)
        return app
