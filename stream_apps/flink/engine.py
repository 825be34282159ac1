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

from olist.errors import BadInput, Stopped
from olist.settings import Settings
from olist.stack.home import Home
from olist.stack.servers.flink_config import Folders
from olist.topics.broker import Broker
from stream_apps.app import App, FlinkApp
from stream_apps.app_topics import generation_name, staged_app
from stream_apps.consumer_groups import delete_group
from stream_apps.engine import Observation, Verdict, Version
from stream_apps.flink.compiled_plan import carries, continued
from stream_apps.flink.ddl import Names, names
from stream_apps.flink.job import compile_plan, encode, job_of, text_of
from stream_apps.flink.rest import Flink
from stream_apps.flink.submit import observe_job, submit
from stream_apps.loader import loaded
from stream_apps.records import VersionState
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

    def render(self, app: App, version: Version) -> None:
        """The job file, its plan, and its statements as people read them."""
        assert isinstance(app, FlinkApp)
        generation = generation_name(version.generation)
        job, staged = job_of(self.settings, app, generation), staged_app(app, generation)
        assert isinstance(staged, FlinkApp)
        (version.folder / JOB).write_bytes(encode(job))
        (version.folder / TEXT).write_text(text_of(job), "utf-8")
        (version.folder / STAGED_JOB).write_bytes(encode(job_of(self.settings, staged, generation)))
        compile_plan(self.settings, version.folder / JOB, version.folder / PLAN)

    def link(self, old: Version, new: Version) -> None:
        """Call the new plan's operators as the old plan does, so that they find their state."""
        before, after = (version.folder / PLAN for version in (old, new))
        after.write_bytes(continued(before.read_bytes(), after.read_bytes()))

    def start(self, version: Version) -> VersionState:
        """Submit the version's plan, unless its job runs; any other job of this generation is an orphan and ends.

        Raises:
            ServerTrouble: Kafka is away, and the job would fail; or the cluster is.
        """
        state = version.state
        if state.job and observe_job(self.flink, state.job).phase not in ("absent", "failed"):
            return state
        Broker(self.settings).names()
        resume = self.resume_from(version)
        self._end_orphans(version)
        self._trim(state.jobs[:-1], resume)
        declared = version.folder / (STAGED_JOB if state.staged else JOB)  # the plan names tables, these declare them
        job = submit(
            self.settings, self.flink, declared, version.folder / PLAN, resume=resume, parallelism=version.parallelism
        )
        return replace(state, jobs=(*state.jobs, job), restored=resume, started=time.time())

    def _end_orphans(self, version: Version) -> None:
        """Jobs whose submitter died before it could write their ids down."""
        name = self._names(version).group
        for job, state in self.flink.jobs().items():
            if state not in ("FINISHED", "CANCELED", "FAILED"):
                found = self.flink.job(job)
                if found is not None and found.name == name:
                    self.flink.cancel(job, WITHIN_S)

    def observe(self, version: Version) -> Observation:
        """What the cluster says of the newest job."""
        job = version.state.job
        if not job:
            return Observation(phase="absent")
        observed = observe_job(self.flink, job)
        return replace(observed, phase="absent") if self._ended_well(observed.phase, job) else observed

    def _ended_well(self, phase: str, job: str) -> bool:
        """True if it was stopped or cancelled, rather than failed."""
        return phase == "failed" and self.flink.jobs().get(job) in ("FINISHED", "CANCELED")

    def savepoint(self, version: Version) -> VersionState:
        """Into the deployment's own folder.

        Raises:
            BadInput: it does not run.
        """
        state = version.state
        if not state.job or observe_job(self.flink, state.job).phase != "running":
            raise BadInput(f"{version.name} does not run", hint="`olist apps status`")
        return replace(state, savepoint=self.flink.savepoint(state.job, WITHIN_S, self._savepoints(version)))

    def stop(self, version: Version) -> VersionState:
        """With a savepoint. A job that keeps failing cannot write one: it goes on later from its newest checkpoint."""
        return self._stop(version, drain=False)

    def drain(self, version: Version) -> VersionState:
        """As `stop`, once every timer and window has fired."""
        return self._stop(version, drain=True)

    def _stop(self, version: Version, *, drain: bool) -> VersionState:
        phase = self.observe(version).phase
        if phase in ("absent", "failed"):
            return replace(version.state, savepoint=self.resume_from(version))
        if phase == "failing":
            return self.cancel(version)
        path = self.flink.stop(version.state.job, WITHIN_S, drain=drain, folder=self._savepoints(version))
        return replace(version.state, savepoint=path)

    def cancel(self, version: Version) -> VersionState:
        """As it is; its checkpoints stay."""
        if version.state.job:
            self.flink.cancel(version.state.job, WITHIN_S)
        self._end_orphans(version)
        return replace(version.state, savepoint=self.resume_from(version))

    def resume_from(self, version: Version) -> str:
        """The newest whole state: of the job's checkpoints and savepoints, the last savepoint, and what it began from.

        The last savepoint may be older than what the job began from, and than what it wrote since.
        """
        found = [(at, path) for path in self._candidates(version) if (at := completed_at(path))]
        return max(found)[1] if found else version.state.savepoint or version.state.restored

    def _candidates(self, version: Version) -> Iterator[str]:
        state = version.state
        yield from state.states
        if state.job:
            yield from (path.as_uri() for path in self._folders().checkpoints.glob(f"{state.job}/chk-*"))
            yield from savepoints_of(state.job, version.states)

    def check_restorable(self, version: Version) -> None:
        """A savepoint of this machine must be there, and whole; one elsewhere is the cluster's to find.

        Raises:
            Stopped: it is gone.
        """
        resume = self.resume_from(version)
        if local(resume) is not None and not completed_at(resume):
            raise Stopped(
                f"{version.name}: the state of version {version.number} is gone: {resume}",
                hint="`olist apps upgrade --rebuild` with its file builds it anew",
            )

    def carries(self, old: Version, new: Version) -> Verdict:
        """From the two plans."""
        return carries((old.folder / PLAN).read_bytes(), (new.folder / PLAN).read_bytes())

    def group(self, version: Version) -> str:
        """The generation's; a job commits its offsets there with each checkpoint."""
        return self._names(version).group

    def topics(self, version: Version) -> list[str]:
        """The inputs."""
        return [contract.topic(self.settings.topic_prefix) for contract in self._app(version).reads]

    def owned(self, version: Version) -> list[str]:
        """Its group."""
        return [f"consumer group {self._names(version).group}"]

    def forget(self, version: Version) -> None:
        """Delete it."""
        delete_group(self.settings, self._names(version).group)

    def discard(self, version: Version) -> None:
        """Remove the version's savepoint and its jobs' checkpoints, as far as they are on this machine."""
        self._trim(version.state.jobs, "")
        if (path := local(version.state.savepoint)) is not None:
            shutil.rmtree(path, ignore_errors=True)

    def _trim(self, jobs: Iterable[str], resume: str) -> None:
        """Remove the checkpoints of jobs, but never what is resumed from."""
        for job in jobs:
            if job not in resume:
                shutil.rmtree(self._folders().checkpoints / job, ignore_errors=True)

    def logs(self, _version: Version) -> list[Path]:
        """The cluster's: jobs share its processes."""
        return [self.home.log("jobmanager"), self.home.log("taskmanager")]

    def _folders(self) -> Folders:
        folder = self.home.path / "flink"
        return Folders(state=folder, scratch=folder)

    def _savepoints(self, version: Version) -> str:
        """In the deployment's folder; a cluster elsewhere has a folder of its own."""
        return "" if self.settings.flink else savepoints(version.states).as_uri()

    def _names(self, version: Version) -> Names:
        return names(self.settings, self._app(version), generation_name(version.generation))

    def _app(self, version: Version) -> FlinkApp:
        app = loaded(version.code)
        assert isinstance(app, FlinkApp)
        return app
