"""What `olist apps` does to one app, under its lock. Each returns once it is done and healthy, or raises the reason."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from olist.errors import BadInput
from stream_apps.app_topics import FIRST_GENERATION, contracts_of, generation_name, staged_app
from stream_apps.deploy.cleanup import named_states, planned_removals, remove, staged_topics, tidy
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.foreground import end_leftover
from stream_apps.deploy.readiness import Unhealthy, until_healthy
from stream_apps.deploy.reconcile import undo
from stream_apps.deploy.store import DRAFT, difference, digest, make
from stream_apps.deploy.topic_swap import kept_rows
from stream_apps.deploy.upgrade import Outcome, Progress, Upgrade
from stream_apps.deploy.upgrade_steps import BESIDE, RETURN, TAKE_OVER
from stream_apps.engine import Verdict
from stream_apps.loader import load_app
from stream_apps.records import Record, VersionRecord, VersionState
from stream_apps.savepoints import remove_older


@dataclass(frozen=True)
class UpgradePlan:
    """What an upgrade would do. An empty difference means: nothing. `code` is the copy of the file that was shown."""

    difference: str
    verdict: Verdict
    code: Path


class Operations:
    """Bound to one app. Call them alone with its deployment (`Deployment.alone`)."""

    def __init__(self, app: DeployedApp, *, within_s: float, progress: Progress) -> None:
        self.app, self.deployment, self.engine, self.name = app, app.deployment, app.engine, app.name
        self.within_s, self.progress = within_s, progress

    def recovered(self) -> Record:
        """What is wanted, once whatever a killed command left behind is undone: for whoever is to change something.

        Raises:
            BadInput: the app is not deployed.
        """
        record = self.app.record()
        return record if record.trying is None else undo(self.app, record)

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
        if parallelism > self.app.settings.partitions:
            raise BadInput(
                f"topics have {self.app.settings.partitions} partitions, so a parallelism of {parallelism} would idle",
                hint="OLIST_PARTITIONS says how many a topic is made with",
            )

    def _first(self, code: Path, parallelism: int, there: Record | None) -> Record:
        """Nothing of an app that was never healthy is worth keeping: its next version begins as the first one did."""
        if there is None:
            self.deployment.clear()  # what a deletion left that was killed
        else:
            self._cancel(there)
        number = 1 if there is None else there.next_number()
        generation = FIRST_GENERATION if there is None else there.next_generation()
        self.app.kafka.ensure_topics(contracts_of(load_app(code)))
        version = self.deployment.new_version(number, generation, parallelism)
        made = make(self.engine, version, code, self.app.clock.now())
        versions = {**(there.versions if there else {}), number: made}
        record = Record(
            name=self.name,
            engine=self.app.kind,
            wanted="stopped",
            current=number,
            versions=versions,
            parallelism=parallelism,
            since=self.app.clock.now(),
        )
        self.deployment.write(record)
        started = self.start(record)
        self._tidy()
        return started

    def start(self, record: Record) -> Record:
        """Run the current version from where it stands, and wait until it is healthy.

        Raises:
            Unhealthy: it is not. The supervisor goes on with an app that was wanted; any other is stopped again.
        """
        version = self.app.current(record)
        runs = record.wanted == "running" and self.engine.observe(version).phase not in ("absent", "failed")
        if not runs:
            end_leftover(self.app)  # two must not write its topics
            self.progress(f"{self.name}: starting version {record.current}")
            version = self.app.save(version, self.engine.start(version))
        try:
            until_healthy(self.app, version, self.within_s)
        except Unhealthy as error:
            if record.wanted == "running":
                self.deployment.write(replace(record, attempts=0, not_before=0.0, error=str(error)))
                raise Unhealthy(str(error), hint="the supervisor goes on with it: `olist apps status`") from error
            self._cancel(record)
            self.deployment.write(replace(record, error=str(error)))
            raise
        healthy = replace(record, wanted="running", proven=True, attempts=0, not_before=0.0, error="")
        self.deployment.write(healthy)
        return healthy

    def _cancel(self, record: Record) -> None:
        version = self.app.current(record)
        self.app.save(version, self.engine.cancel(version))

    def stop(self, *, drain: bool) -> Record:
        """Stop it so that it can go on later from exactly there. One that is stopped is left alone."""
        record = self.recovered()
        stopped = replace(record, wanted="stopped", attempts=0, not_before=0.0, error="")
        self.deployment.write(stopped)  # first: if this process dies in between, nobody starts it again
        self._end(record, drain=drain)
        return stopped

    def _end(self, record: Record, *, drain: bool = False) -> None:
        version = self.app.current(record)
        self.progress(f"{self.name}: stopping version {record.current}")
        self._save(record, self.engine.drain(version) if drain else self.engine.stop(version))

    def _save(self, record: Record, state: VersionState) -> None:
        """Write down the current version's state; then the savepoint before has served its time."""
        self.deployment.save_state(record.current, state)
        remove_older(self.deployment.states, named_states(self.deployment, record.versions))

    def savepoint(self) -> VersionState:
        """Write its state down while it goes on."""
        record = self.recovered()
        state = self.engine.savepoint(self.app.current(record))
        self._save(record, state)
        return state

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
    def planned(self, code: Path) -> Iterator[UpgradePlan]:
        """What an upgrade to a file would do, and to upgrade with: whatever becomes of the file, it is what was shown.

        Changes nothing, and leaves nothing behind.
        """
        record = self.app.record()
        draft = self.deployment.new_version(DRAFT, record.version.generation, record.parallelism)
        old = self.app.current(record)
        make(self.engine, draft, code, self.app.clock.now(), after=old)
        try:
            yield UpgradePlan(difference(old, draft), self.engine.carries(old, draft), draft.code)
        finally:
            shutil.rmtree(draft.folder)

    def upgrade(self, code: Path, *, rebuild: bool) -> Outcome:
        """Go to a file's version by way of the old one's savepoint, or by building its state anew beside the old.

        An app that is stopped is upgraded from where it stopped, and runs afterwards.
        """
        record = self.recovered()
        app = load_app(code)
        generation = record.next_generation() if rebuild else record.version.generation
        staged = staged_topics(self.app.settings, app, generation)
        self.app.kafka.ensure_topics(contracts_of(app))
        if rebuild:
            self.app.kafka.delete_topics(staged)  # of a generation that had this number: its rows are stale
            self.app.kafka.ensure_topics(contracts_of(staged_app(app, generation_name(generation))))
        old = self.app.current(record)
        new = self.deployment.new_version(record.next_number(), generation, record.parallelism)
        self._add(record, make(self.engine, new, code, self.app.clock.now(), after=None if rebuild else old))
        kept_rows(old).unlink(missing_ok=True)
        upgrade = self._upgrade_to(new.number, inherits=not rebuild)
        outcome = upgrade.run(BESIDE, "start beside") if rebuild else upgrade.run(TAKE_OVER, "save old")
        if outcome.end == "broken":  # that is undone first
            return outcome
        if rebuild:
            self.app.kafka.delete_topics(staged)
        self._tidy()
        return outcome

    def _add(self, record: Record, version: VersionRecord) -> None:
        self.deployment.write(replace(record, versions={**record.versions, version.number: version}))

    def _upgrade_to(self, new: int, *, inherits: bool) -> Upgrade:
        end_leftover(self.app)
        return Upgrade(self.app, new=new, inherits=inherits, within_s=self.within_s, progress=self.progress)

    def rollback(self) -> Outcome:
        """Back to the previous version, from where it stood when it was left: it reads again what came since.

        Raises:
            BadInput: there is no previous version.
            Stopped: the state that it left is gone.
        """
        record = self.recovered()
        if record.previous is None:
            raise BadInput(f"{self.name} has no previous version", hint="`olist apps upgrade` with the file as it was")
        previous = self.deployment.version(record, record.previous)
        self.engine.check_restorable(previous)
        kept_rows(self.app.current(record)).unlink(missing_ok=True)
        table = TAKE_OVER if previous.generation == record.version.generation else RETURN
        outcome = self._upgrade_to(previous.number, inherits=False).run(table, "save old")
        if outcome.end != "broken":
            self._tidy()
        return outcome

    def _tidy(self) -> None:
        tidy(self.app, self.app.record())

    def planned_removals(self) -> list[str]:
        """What `delete` removes, in words."""
        return planned_removals(self.app, self.app.record())

    def delete(self) -> None:
        """Stop it and remove its versions, its state, its groups and what it staged. Its output topics stay."""
        record = replace(self.recovered(), wanted="stopped")
        self.deployment.write(record)
        remove(self.app, record)
