"""What `olist apps` does to one app, under its lock. Each returns once it is done and well, or raises the reason."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from olist.errors import BadInput, Stopped
from olist.settings import Settings
from olist.topics.admin import delete_topics
from stream_apps.app_topics import FIRST_GENERATION, ensure_all_topics, generation_name, staged_app
from stream_apps.deploy.cleanup import doomed, named, remove, staged_topics, tidy
from stream_apps.deploy.foreground import end_leftover
from stream_apps.deploy.readiness import Unhealthy, until_healthy
from stream_apps.deploy.reconcile import undo
from stream_apps.deploy.store import DRAFT, Deployment, difference, digest, make, place, placed
from stream_apps.deploy.topic_swap import kept_rows
from stream_apps.deploy.upgrade import Change, Outcome, Tell
from stream_apps.deploy.upgrade_steps import BESIDE, RETURN, TAKE_OVER
from stream_apps.engine import Engine, Verdict
from stream_apps.loader import engine_of, load_app
from stream_apps.records import Record, Standing, Version
from stream_apps.savepoints import remove_older


@dataclass(frozen=True)
class Plan:
    """What an upgrade would do. An empty difference means: nothing. `code` is the copy of the file that was shown."""

    difference: str
    verdict: Verdict
    code: Path


class Operations:
    """Bound to one app's deployment. Call them alone with it (`Deployment.alone`)."""

    def __init__(
        self, settings: Settings, deployment: Deployment, engine: Engine, *, within_s: float, tell: Tell
    ) -> None:
        self.settings, self.deployment, self.engine = settings, deployment, engine
        self.within_s, self.tell = within_s, tell

    @property
    def name(self) -> str:
        """The app's."""
        return self.deployment.name

    def record(self) -> Record:
        """What is wanted, as it is written down; changes nothing.

        Raises:
            BadInput: the app is not deployed.
        """
        record = self.deployment.record()
        if record is None:
            raise BadInput(f"{self.name} is not deployed", hint=f"olist apps deploy {self.name}")
        return record

    def recovered(self) -> Record:
        """What is wanted, once whatever a killed command left behind is undone: for whoever is to change something.

        Raises:
            BadInput: the app is not deployed.
        """
        record = self.record()
        return record if record.trying is None else undo(self.settings, self.deployment, self.engine, record)

    def deploy(self, code: Path, parallelism: int) -> Record:
        """Run the app from a copy of its file. One that runs already from an equal file is left alone.

        Raises:
            BadInput: another version of it is deployed.
            Unhealthy: it was started, did not become healthy and was stopped again.
        """
        self._check(parallelism)
        there = self.deployment.record()
        if there is None or not there.proven:
            return self._first(code, parallelism, there)
        record = self.recovered()
        if record.version.digest != digest(code):
            raise BadInput(
                f"{self.name}: version {record.current} is deployed, and the file differs from it",
                hint=f"olist apps upgrade {self.name} --plan",
            )
        return self.start(record)

    def _check(self, parallelism: int) -> None:
        if parallelism > self.settings.partitions:
            raise BadInput(
                f"topics have {self.settings.partitions} partitions, so a parallelism of {parallelism} would idle",
                hint="OLIST_PARTITIONS says how many a topic is made with",
            )

    def _first(self, code: Path, parallelism: int, there: Record | None) -> Record:
        """Nothing of an app that was never well is worth keeping: its next version begins as the first one did."""
        if there is None:
            self.deployment.clear()  # what a deletion left that was killed
        else:
            self._cancel(there, there.current)
        number = 1 if there is None else there.next_number()
        generation = FIRST_GENERATION if there is None else there.next_generation()
        app = load_app(code)
        ensure_all_topics(self.settings, app)
        version = make(self.engine, placed(self.deployment, number, generation, parallelism), code, time.time())
        versions = {**(there.versions if there else {}), number: version}
        record = Record(
            name=self.name,
            engine=engine_of(app),
            wanted="stopped",
            current=number,
            versions=versions,
            parallelism=parallelism,
            since=time.time(),
        )
        self.deployment.write(record)
        well = self.start(record)
        self._tidy()
        return well

    def start(self, record: Record) -> Record:
        """Run the current version from where it stands, and wait until it is healthy.

        Raises:
            Unhealthy: it is not. The keeper goes on with an app that was wanted already; any other is stopped again.
        """
        where = place(self.deployment, record, record.current)
        standing = self.deployment.standing(record.current)
        runs = record.wanted == "running" and self.engine.observe(where, standing).phase not in ("absent", "failed")
        if not runs:
            end_leftover(self.settings, self.name)  # two must not write its topics
            self.tell(f"{self.name}: starting version {record.current}")
            standing = self.engine.start(where, standing, resume=self.engine.resume_from(where, standing))
            self.deployment.stand(record.current, standing)
        try:
            until_healthy(self.engine, where, standing, self.within_s, self.settings.app_steady_s)
        except Unhealthy as error:
            if record.wanted == "running":
                self.deployment.write(replace(record, attempts=0, not_before=0.0, error=str(error)))
                raise Unhealthy(str(error), hint="the keeper goes on with it: `olist apps status`") from error
            self._cancel(record, record.current)
            self.deployment.write(replace(record, error=str(error)))
            raise
        well = replace(record, wanted="running", proven=True, attempts=0, not_before=0.0, error="")
        self.deployment.write(well)
        return well

    def _cancel(self, record: Record, number: int) -> None:
        where = place(self.deployment, record, number)
        self.deployment.stand(number, self.engine.cancel(where, self.deployment.standing(number)))

    def stop(self, *, drain: bool) -> Record:
        """Stop it so that it can go on later from exactly there. One that is stopped is left alone."""
        record = self.recovered()
        stopped = replace(record, wanted="stopped", attempts=0, not_before=0.0, error="")
        self.deployment.write(stopped)  # first: if this process dies in between, nobody starts it again
        self._end(record, drain=drain)
        return stopped

    def _end(self, record: Record, *, drain: bool = False) -> None:
        where, standing = place(self.deployment, record, record.current), self.deployment.standing(record.current)
        self.tell(f"{self.name}: stopping version {record.current}")
        self._stand(record, self.engine.stop(where, standing, drain=drain))

    def _stand(self, record: Record, standing: Standing) -> None:
        """Write down where the current version stands; then the savepoint before has served its time."""
        self.deployment.stand(record.current, standing)
        remove_older(self.deployment.state, named(self.deployment, record.versions))

    def savepoint(self) -> Standing:
        """Write its state down while it goes on."""
        record = self.recovered()
        where = place(self.deployment, record, record.current)
        standing = self.engine.savepoint(where, self.deployment.standing(where.number))
        self._stand(record, standing)
        return standing

    def restart(self, parallelism: int | None = None) -> Record:
        """Stop it and start it again from there, with another parallelism if one is given."""
        record = self.recovered()
        self._check(parallelism or record.parallelism)
        self._end(record)
        if parallelism is not None:
            record = replace(record, parallelism=parallelism)
            self.deployment.write(record)
        return self.start(record)

    @contextmanager
    def planned(self, code: Path) -> Iterator[Plan]:
        """What an upgrade to a file would do, and to upgrade with: whatever becomes of the file, it is what was shown.

        Changes nothing, and leaves nothing behind.
        """
        record = self.record()
        draft = placed(self.deployment, DRAFT, record.version.generation, record.parallelism)
        old = place(self.deployment, record, record.current)
        make(self.engine, draft, code, time.time(), after=old)
        try:
            yield Plan(difference(old, draft), self.engine.carries(old, draft), draft.code)
        finally:
            shutil.rmtree(draft.folder)

    def upgrade(self, code: Path, *, rebuild: bool) -> Outcome:
        """Go to a file's version by way of the old one's savepoint, or by building its state anew beside the old.

        An app that is stopped is upgraded from where it stopped, and runs afterwards.
        """
        record = self.recovered()
        app = load_app(code)
        generation = record.next_generation() if rebuild else record.version.generation
        staged = staged_topics(self.settings, app, generation)
        ensure_all_topics(self.settings, app)
        if rebuild:
            delete_topics(self.settings, staged)  # of a generation that had this number: its rows are stale
            ensure_all_topics(self.settings, staged_app(app, generation_name(generation)))
        old = place(self.deployment, record, record.current)
        where = placed(self.deployment, record.next_number(), generation, record.parallelism)
        self._add(record, make(self.engine, where, code, time.time(), after=None if rebuild else old))
        kept_rows(old).unlink(missing_ok=True)
        outcome = self._change(where.number).go(
            BESIDE if rebuild else TAKE_OVER, "start beside" if rebuild else "save old"
        )
        if outcome.end == "broken":  # that is undone first
            return outcome
        if rebuild:
            delete_topics(self.settings, staged)
        self._tidy()
        return outcome

    def _add(self, record: Record, version: Version) -> None:
        self.deployment.write(replace(record, versions={**record.versions, version.number: version}))

    def _change(self, new: int, resume: str | None = None) -> Change:
        end_leftover(self.settings, self.name)
        return Change(
            self.settings,
            self.deployment,
            self.engine,
            new=new,
            within_s=self.within_s,
            tell=self.tell,
            resume=resume,
        )

    def rollback(self) -> Outcome:
        """Back to the previous version, from where it stood when it was left: it reads again what came since.

        Raises:
            BadInput: there is no previous version.
            Stopped: the state that it left is gone.
        """
        record = self.recovered()
        if record.previous is None:
            raise BadInput(f"{self.name} has no previous version", hint="`olist apps upgrade` with the file as it was")
        where = place(self.deployment, record, record.previous)
        resume = self.engine.resume_from(where, self.deployment.standing(where.number))
        if not self.engine.restorable(resume):
            raise Stopped(
                f"{self.name}: the state of version {where.number} is gone: {resume}",
                hint="`olist apps upgrade --rebuild` with its file builds it anew",
            )
        kept_rows(place(self.deployment, record, record.current)).unlink(missing_ok=True)
        same = where.generation == record.version.generation
        outcome = self._change(where.number, resume).go(TAKE_OVER if same else RETURN, "save old")
        if outcome.end != "broken":
            self._tidy()
        return outcome

    def _tidy(self) -> None:
        tidy(self.settings, self.deployment, self.engine, self.record())

    def doomed(self) -> list[str]:
        """What `delete` removes."""
        return doomed(self.settings, self.deployment, self.engine, self.record())

    def delete(self) -> None:
        """Stop it and remove its versions, its state, its groups and what it staged. Its output topics stay."""
        record = replace(self.recovered(), wanted="stopped")
        self.deployment.write(record)
        remove(self.settings, self.deployment, self.engine, record)
