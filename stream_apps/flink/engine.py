"""Flink apps: one job of the session cluster for each version that runs, through the cluster's REST API.

A job's state is in its checkpoints and savepoints. The cluster forgets its jobs when its JobManager dies; then the
newest whole checkpoint or savepoint is found on disk, where also one lies whose asker was killed before it could write
it down. A job that has FINISHED, as a stopped one does, has no checkpoints any more: its savepoint is all there is.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from olist.errors import BadInput
from olist.settings import Settings
from olist.stack.home import Home
from olist.stack.servers.flink_config import Folders
from olist.topics.broker import Broker
from stream_apps.app import App, FlinkApp
from stream_apps.app_topics import generation_name, staged_app
from stream_apps.consumer_groups import delete_group
from stream_apps.engine import Observation, Place, Verdict
from stream_apps.flink.compiled_plan import carries, continued
from stream_apps.flink.ddl import Names, names
from stream_apps.flink.job import compile_plan, encode, job_of, text_of
from stream_apps.flink.rest import Flink
from stream_apps.flink.submit import observe_job, submit
from stream_apps.loader import loaded
from stream_apps.records import Standing
from stream_apps.savepoints import completed_at, local, savepoints, savepoints_of

JOB, STAGED_JOB, PLAN, TEXT = "job.json", "staged.json", "plan.json", "statements.sql"
WITHIN_S = 120.0
"""For a savepoint, or the end of a job."""


class FlinkEngine:
    """Of one home. The cluster may be elsewhere, if it sees this home's files at the same paths."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = Home(settings.home.resolve())
        self.flink = Flink(settings.flink_url)

    def render(self, app: App, place: Place, *, after: Place | None) -> None:
        """The job file, its plan, and its statements as people read them.

        A plan that is to take over a state calls its operators as the former plan does.
        """
        assert isinstance(app, FlinkApp)
        generation = generation_name(place.generation)
        job, staged = job_of(self.settings, app, generation), staged_app(app, generation)
        assert isinstance(staged, FlinkApp)
        (place.folder / JOB).write_bytes(encode(job))
        (place.folder / TEXT).write_text(text_of(job), "utf-8")
        (place.folder / STAGED_JOB).write_bytes(encode(job_of(self.settings, staged, generation)))
        plan = place.folder / PLAN
        compile_plan(self.settings, place.folder / JOB, plan)
        if after is not None:
            plan.write_bytes(continued((after.folder / PLAN).read_bytes(), plan.read_bytes()))

    def start(self, place: Place, standing: Standing, *, resume: str) -> Standing:
        """Submit the version's plan, unless its job runs; any other job of this generation is an orphan and ends.

        Raises:
            ServerTrouble: Kafka is away, and the job would fail; or the cluster is.
        """
        if standing.job and observe_job(self.flink, standing.job).phase not in ("absent", "failed"):
            return standing
        Broker(self.settings).names()
        self._end_orphans(place)
        self._trim(standing.jobs[:-1], resume)
        declared = place.folder / (STAGED_JOB if standing.staged else JOB)  # the plan names tables, these declare them
        job = submit(
            self.settings, self.flink, declared, place.folder / PLAN, resume=resume, parallelism=place.parallelism
        )
        return replace(standing, jobs=(*standing.jobs, job), restored=resume, started=time.time())

    def _end_orphans(self, place: Place) -> None:
        """Jobs whose submitter died before it could write their ids down."""
        name = self._names(place).group
        for job, state in self.flink.jobs().items():
            if state not in ("FINISHED", "CANCELED", "FAILED"):
                found = self.flink.job(job)
                if found is not None and found.name == name:
                    self.flink.cancel(job, WITHIN_S)

    def observe(self, place: Place, standing: Standing) -> Observation:  # noqa: ARG002 - as the protocol has it
        """What the cluster says of the newest job."""
        if not standing.job:
            return Observation(phase="absent")
        observed = observe_job(self.flink, standing.job)
        return replace(observed, phase="absent") if self._ended_well(observed.phase, standing) else observed

    def _ended_well(self, phase: str, standing: Standing) -> bool:
        """Was it stopped or cancelled, rather than failed?"""
        return phase == "failed" and self.flink.jobs().get(standing.job) in ("FINISHED", "CANCELED")

    def savepoint(self, place: Place, standing: Standing) -> Standing:
        """Into the deployment's own folder.

        Raises:
            BadInput: it does not run.
        """
        if not standing.job or observe_job(self.flink, standing.job).phase != "running":
            raise BadInput(f"{place.name} does not run", hint="`olist apps status`")
        return replace(standing, savepoint=self.flink.savepoint(standing.job, WITHIN_S, self._savepoints(place)))

    def stop(self, place: Place, standing: Standing, *, drain: bool = False) -> Standing:
        """With a savepoint. A job that keeps failing cannot write one: it goes on later from its newest checkpoint."""
        phase = self.observe(place, standing).phase
        if phase in ("absent", "failed"):
            return replace(standing, savepoint=self.resume_from(place, standing))
        if phase == "failing":
            return self.cancel(place, standing)
        path = self.flink.stop(standing.job, WITHIN_S, drain=drain, folder=self._savepoints(place))
        return replace(standing, savepoint=path)

    def cancel(self, place: Place, standing: Standing) -> Standing:
        """As it is; its checkpoints stay."""
        if standing.job:
            self.flink.cancel(standing.job, WITHIN_S)
        self._end_orphans(place)
        return replace(standing, savepoint=self.resume_from(place, standing))

    def resume_from(self, place: Place, standing: Standing) -> str:
        """The newest whole state: of the job's checkpoints and savepoints, the last savepoint, and what it began from.

        The last savepoint may be older than what the job began from, and than what it wrote since.
        """
        found = [(at, path) for path in self._candidates(place, standing) if (at := completed_at(path))]
        return max(found)[1] if found else standing.savepoint or standing.restored

    def _candidates(self, place: Place, standing: Standing) -> Iterator[str]:
        yield from standing.states
        if standing.job:
            yield from (path.as_uri() for path in self._folders().checkpoints.glob(f"{standing.job}/chk-*"))
            yield from savepoints_of(standing.job, place.state)

    def restorable(self, resume: str) -> bool:
        """Is it whole, and there?"""
        return local(resume) is None or completed_at(resume) > 0

    def carries(self, old: Place, new: Place) -> Verdict:
        """From the two plans."""
        return carries((old.folder / PLAN).read_bytes(), (new.folder / PLAN).read_bytes())

    def group(self, place: Place) -> str:
        """The generation's; a job commits its offsets there with each checkpoint."""
        return self._names(place).group

    def topics(self, place: Place) -> list[str]:
        """The inputs."""
        return [contract.topic(self.settings.topic_prefix) for contract in self._app(place).reads]

    def owned(self, place: Place) -> list[str]:
        """Its group."""
        return [f"consumer group {self._names(place).group}"]

    def forget(self, place: Place) -> None:
        """Delete it."""
        delete_group(self.settings, self._names(place).group)

    def discard(self, place: Place, standing: Standing) -> None:  # noqa: ARG002 - as the protocol has it
        """Remove the version's savepoint and its jobs' checkpoints, as far as they are on this machine."""
        self._trim(standing.jobs, "")
        if (path := local(standing.savepoint)) is not None:
            shutil.rmtree(path, ignore_errors=True)

    def _trim(self, jobs: Iterable[str], resume: str) -> None:
        """Remove the checkpoints of jobs, but never what is resumed from."""
        for job in jobs:
            if job not in resume:
                shutil.rmtree(self._folders().checkpoints / job, ignore_errors=True)

    def logs(self, place: Place) -> list[Path]:  # noqa: ARG002 - as the protocol has it
        """The cluster's: jobs share its processes."""
        return [self.home.log("jobmanager"), self.home.log("taskmanager")]

    def _folders(self) -> Folders:
        folder = self.home.path / "flink"
        return Folders(state=folder, scratch=folder)

    def _savepoints(self, place: Place) -> str:
        """In the deployment's folder; a cluster elsewhere has a place of its own."""
        return "" if self.settings.flink else savepoints(place.state).as_uri()

    def _names(self, place: Place) -> Names:
        return names(self.settings, self._app(place), generation_name(place.generation))

    def _app(self, place: Place) -> FlinkApp:
        app = loaded(place.code)
        assert isinstance(app, FlinkApp)
        return app
