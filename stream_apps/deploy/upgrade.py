"""One way from an old version to a new one: the actions behind the steps of `upgrade_steps`.

The record names the version that is tried before it is started, or rows are returned to it. Whoever finds that name
without the process that wrote it (the lock is free) takes the version down, puts the old one's rows back and goes on
with that: so a kill at any step ends as `put back`, and so does, later, what ends as `broken`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec.structs import replace

from olist.errors import OlistError
from stream_apps.app_topics import generation_name
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.readiness import until_caught_up, until_healthy
from stream_apps.deploy.reconcile import reconcile
from stream_apps.deploy.topic_swap import kept_rows
from stream_apps.deploy.upgrade_steps import End, Step, Table, is_end, of_stopped, walk
from stream_apps.engine import Version
from stream_apps.loader import load_app
from stream_apps.records import VersionState


class Progress(Protocol):
    """Where progress goes: a line, and how many records are still to be caught up with (None: no such thing now)."""

    def __call__(self, line: str, *, behind: int | None = None) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Outcome:
    """Where an upgrade ended, and what went wrong if anything did."""

    end: End
    problem: str = ""


class Upgrade:
    """Goes from the current version to `new`, once.

    The new version inherits the old one's state if `inherits`, else it goes on from its own: what it built beside the
    old one, or was left with when it was the current one before.
    """

    def __init__(self, app: DeployedApp, *, new: int, inherits: bool, within_s: float, progress: Progress) -> None:
        self.app, self.engine = app, app.engine
        self.record = app.record()
        self.old_number, self.new_number = self.record.current, new
        self.inherits, self.within_s, self.progress = inherits, within_s, progress
        self.problem = ""
        self.actions: dict[Step, Callable[[], None]] = {
            "save old": lambda: self._save(self.old),
            "start new": self._start_new,
            "watch new": lambda: self._watch(self.new),
            "cancel new": lambda: self._cancel(self.new),
            "start old": self._start_old,
            "watch old": lambda: self._watch(self.old),
            "start beside": self._start_beside,
            "watch beside": lambda: self._watch(self.new),
            "catch up": self._catch_up,
            "cancel beside": lambda: self._cancel(self.new),
            "save both": self._save_both,
            "exchange rows": self._exchange_rows,
            "return rows": self._return_rows,
            "put rows back": self._put_rows_back,
        }

    @property
    def old(self) -> Version:
        """The version that runs before, as it stands now."""
        return self.app.deployment.version(self.record, self.old_number)

    @property
    def new(self) -> Version:
        """The version that is to run, as it stands now."""
        return self.app.deployment.version(self.record, self.new_number)

    def run(self, table: Table, first: Step) -> Outcome:
        """Take steps to an end, and write it down."""
        stopped = self.record.wanted == "stopped"
        for at in walk(of_stopped(table) if stopped else table, first, self._act):
            self.progress(f"{self.app.name}: {at}")
            if is_end(at):
                self._write_end(at)
                return Outcome(at, self.problem)
        raise AssertionError("a walk has an end")

    def _act(self, step: Step) -> bool:
        try:
            self.actions[step]()
        except OlistError as error:
            self.problem += f"{'; then ' if self.problem else ''}{step}: {error}"
            return False
        return True

    def _note(self, **changed: Any) -> None:
        self.app.deployment.write(replace(self.app.record(), **changed))

    def _save(self, version: Version) -> None:
        self.app.save(version, self.engine.stop(version))

    def _start_new(self) -> None:
        self._note(trying=self.new_number)
        new = self.new
        state = replace(new.state, staged=False)
        if self.inherits:
            state = replace(state, restored=self.old.state.savepoint)
        self.app.save(new, self.engine.start(new.having(state)))

    def _start_old(self) -> None:
        self._note(trying=None)  # all is undone: to undo it again would end the old version
        self.app.save(self.old, self.engine.start(self.old))

    def _watch(self, version: Version) -> None:
        until_healthy(self.app, version, self.within_s)

    def _cancel(self, version: Version) -> None:
        self.app.save(version, self.engine.cancel(version))

    def _start_beside(self) -> None:
        self._note(trying=self.new_number)
        self.app.save(self.new, self.engine.start(self.new.having(VersionState(staged=True))))

    def _catch_up(self) -> None:
        for behind in until_caught_up(self.app, self.old, self.new):
            self.progress("", behind=behind)
            reconcile(self.app, trying=True)  # the old version is looked after meanwhile

    def _save_both(self) -> None:
        self._save(self.old)
        self._save(self.new)

    def _exchange_rows(self) -> None:
        new = self.new
        outputs, generation = load_app(new.code).outputs, generation_name(new.generation)
        changed = self.app.kafka.exchange(outputs, generation, kept_rows(self.old))
        self.progress(f"{self.app.name}: {changed:,} rows exchanged")

    def _return_rows(self) -> None:
        self._note(trying=self.new_number)  # from here on there are rows to put back
        changed = self.app.kafka.put_back(kept_rows(self.new), keep=kept_rows(self.old))
        self.progress(f"{self.app.name}: {changed:,} rows returned")

    def _put_rows_back(self) -> None:
        self.app.kafka.put_back(kept_rows(self.old))
        kept_rows(self.old).unlink(missing_ok=True)  # the old version writes newer ones

    def _write_end(self, end: End) -> None:
        """In one write: a death between two would leave two versions, or none."""
        ended: dict[str, Any] = {"error": self.problem, "attempts": 0, "not_before": 0.0}
        if end == "broken":
            self._note(**ended)  # what is tried stays named, and its rows kept, for whoever undoes it
        elif end == "done":
            became = {"current": self.new_number, "previous": self.old_number, "wanted": "running", "proven": True}
            self._note(trying=None, since=self.app.clock.now(), **became, **ended)
            kept_rows(self.new).unlink(missing_ok=True)  # they are on the topic again
        else:
            self._note(trying=None, **ended)
            kept_rows(self.old).unlink(missing_ok=True)
