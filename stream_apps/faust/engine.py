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
from stream_apps.engine import Observation, Place, Verdict
from stream_apps.faust.names import Names, names
from stream_apps.faust.repartition import tables_read
from stream_apps.faust.state_compatibility import described, obstacles
from stream_apps.faust.worker_processes import STATUS, alive, end_processes, workers_within
from stream_apps.faust.worker_status import Status
from stream_apps.loader import loaded
from stream_apps.records import Standing, Worker

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
        # The keeper serves the metrics of all workers; a port is one process's.
        self.of_workers = settings.model_copy(update={"home": home, "metrics_port": None})
        self.home = Home(home)

    def render(self, app: App, place: Place, *, after: Place | None) -> None:  # noqa: ARG002 - as the protocol has it
        """A description of inputs, outputs and state: the worker runs the file itself."""
        assert isinstance(app, FaustApp)
        (place.folder / DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(described(app))) + b"\n")

    def start(self, place: Place, standing: Standing, *, resume: str) -> Standing:  # noqa: ARG002 - the group resumes
        """Start the workers that are missing, and end those that nobody knows of.

        Those of the foreground end with this process, however it ends.

        Raises:
            ServerTrouble: Kafka is away, and they would end at once.
        """
        Broker(self.settings).names()
        known = dict(enumerate(standing.workers[: place.parallelism]))
        running = {slot: worker for slot, worker in known.items() if alive(worker) is not None}
        end_processes(self._all(place, standing) - set(running.values()))
        workers = [
            running.get(slot) or self._spawn(place, slot, staged=standing.staged) for slot in range(place.parallelism)
        ]
        return replace(standing, workers=tuple(workers), started=time.time())

    def _all(self, place: Place, standing: Standing) -> set[Worker]:
        """Its workers, those included whose starter was killed before it could write them down."""
        known = {worker.pid: worker for worker in standing.workers if alive(worker) is not None}
        there = workers_within(str(place.folder / WORKER))
        return {*known.values(), *(worker for worker in there if worker.pid not in known)}

    def _spawn(self, place: Place, slot: int, *, staged: bool) -> Worker:
        generation, status = generation_name(place.generation), self._status_file(place, slot)
        status.unlink(missing_ok=True)
        arguments = ["--file", str(place.code), STATUS, str(status), "--instance", f"{place.name}-{slot}"]
        arguments += ["--generation", generation] if generation else []
        arguments += ["--staged"] if staged else []
        argv = (sys.executable, "-P", "-m", "stream_apps.faust.worker", place.name, *arguments)
        launch = Launch(argv, cwd=self.home.path, env=self.of_workers.environment())
        dies = SIGTERM if place.generation == FOREGROUND else None
        process = spawn(launch, self._log(place, slot), dies)
        return Worker(process.pid, psutil.Process(process.pid).create_time())

    def observe(self, place: Place, standing: Standing) -> Observation:
        """What the workers' processes and status files say: healthy are those that have run for a while and say so."""
        if not standing.workers:
            return Observation(phase="absent")
        common: dict[str, Any] = {"since": standing.started}
        for slot, worker in enumerate(standing.workers):
            if alive(worker) is None:
                return Observation(phase="failed", error=self._last_words(place, slot), **common)
        told = [self._status(place, slot) for slot in range(len(standing.workers))]
        now = time.time()
        if any(one is not None and now - one.at_s > STALE_S for one in told):
            return Observation(phase="failing", error=f"a worker has said nothing for {STALE_S:.0f} s", **common)
        if all(one is not None and one.phase == "running" for one in told):
            return Observation(phase="running", settled=self._is_steady(standing, now), **common)
        return Observation(phase="starting", **common)

    def _is_steady(self, standing: Standing, now: float) -> bool:
        return now - standing.started >= self.settings.app_steady_s

    def _last_words(self, place: Place, slot: int) -> str:
        told = self._status(place, slot)
        if told is not None and told.error:
            return told.error
        return "\n".join(["it ended; the last lines of its log:", *last_lines(self._log(place, slot), SHOWN_LINES)])

    def told(self, place: Place, standing: Standing) -> list[Status]:
        """What the workers that run have told last of themselves."""
        running = [slot for slot, worker in enumerate(standing.workers) if alive(worker) is not None]
        return [status for slot in running if (status := self._status(place, slot)) is not None]

    def savepoint(self, place: Place, standing: Standing) -> Standing:  # noqa: ARG002 - as the protocol has it
        """Refused: there is nothing to do.

        Raises:
            BadInput: always.
        """
        raise BadInput(
            f"{place.name} keeps its state on the topic {self._names(place).state}: it is written down always",
            hint="`olist apps stop` ends it with everything committed",
        )

    def stop(self, place: Place, standing: Standing, *, drain: bool = False) -> Standing:  # noqa: ARG002 - no windows
        """Ask the workers to end; each commits first."""
        end_processes(self._all(place, standing))
        return replace(standing, workers=())

    def cancel(self, place: Place, standing: Standing) -> Standing:
        """As `stop`: what is written twice changes nothing."""
        return self.stop(place, standing)

    def resume_from(self, place: Place, standing: Standing) -> str:  # noqa: ARG002 - as the protocol has it
        """Nothing to name."""
        return ""

    def restorable(self, resume: str) -> bool:  # noqa: ARG002 - as the protocol has it
        """The group is asked by the workers themselves."""
        return True

    def carries(self, old: Place, new: Place) -> Verdict:
        """From the states' schemas. What a changed `fold` means by the same fields nobody can tell."""
        before, after = (msgspec.json.decode((place.folder / DESCRIPTION).read_bytes()) for place in (old, new))
        if found := list(obstacles(before, after)):
            return Verdict("state refused", "; ".join(found))
        return Verdict(
            "restored",
            "states are taken over as they are and all rows are written anew from them; "
            "a changed fold holds for changes from now on, --rebuild applies it to all",
        )

    def group(self, place: Place) -> str:
        """The generation's."""
        return self._names(place).group

    def topics(self, place: Place) -> list[str]:
        """The inputs, and what is forwarded from some of them."""
        inputs = [contract.topic(self.settings.topic_prefix) for contract in tables_read(self._app(place))]
        return [*inputs, self._names(place).by_key]

    def owned(self, place: Place) -> list[str]:
        """Its group and two topics."""
        own = self._names(place)
        return [f"consumer group {own.group}", f"topic {own.by_key}", f"topic {own.state}"]

    def forget(self, place: Place) -> None:
        """Delete them."""
        own = self._names(place)
        delete_group(self.settings, own.group)
        delete_topics(self.settings, [own.by_key, own.state])

    def discard(self, place: Place, standing: Standing) -> None:
        """Nothing of one version alone is kept."""

    def logs(self, place: Place) -> list[Path]:
        """One per worker."""
        return [self._log(place, slot) for slot in range(place.parallelism)]

    def _log(self, place: Place, slot: int) -> Path:
        generation = generation_name(place.generation)
        return self.home.log("-".join(filter(None, ("app", place.name, generation, str(slot)))))

    def _status_file(self, place: Place, slot: int) -> Path:
        return place.folder / f"{WORKER}{slot}.status"

    def _status(self, place: Place, slot: int) -> Status | None:
        try:
            return msgspec.json.decode(self._status_file(place, slot).read_bytes(), type=Status)
        except FileNotFoundError:
            return None

    def _names(self, place: Place) -> Names:
        return names(self.settings, self._app(place), generation_name(place.generation))

    def _app(self, place: Place) -> FaustApp[Any]:
        app = loaded(place.code)
        assert isinstance(app, FaustApp)
        return app
