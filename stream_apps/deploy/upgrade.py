"""One walk from an old version to a new one: the actions behind the steps of `upgrade`.

The record names the version that is tried before it is started, or rows are returned to it. Whoever finds that name
without the process that wrote it (the lock is free) takes the version down, puts the old one's rows back and goes on
with that: so a kill at any step ends as `put back`, and so does, later, what ends as `broken`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec.structs import replace

from olist.errors import OlistError
from olist.settings import Settings
from stream_apps.app_topics import generation_name
from stream_apps.deploy.readiness import until_caught_up, until_healthy
from stream_apps.deploy.reconcile import tend
from stream_apps.deploy.store import Deployment, place
from stream_apps.deploy.topic_swap import exchange, kept_rows, put_back
from stream_apps.deploy.upgrade_steps import End, Step, Table, is_end, of_stopped, walk
from stream_apps.engine import Engine, Place
from stream_apps.loader import load_app
from stream_apps.records import Standing


class Tell(Protocol):
    """Where progress goes: a line, and how many records are still to be caught up with (None: no such thing now)."""

    def __call__(self, line: str, *, behind: int | None = None) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Outcome:
    """Where a walk ended, and what went wrong if anything did."""

    end: End
    problem: str = ""


class Change:
    """Walks once. `resume` is what the new version starts from where that is not what the old one leaves behind."""

    def __init__(
        self,
        settings: Settings,
        deployment: Deployment,
        engine: Engine,
        *,
        new: int,
        within_s: float,
        tell: Tell,
        resume: str | None = None,
    ) -> None:
        record = deployment.record()
        assert record is not None
        self.settings, self.deployment, self.engine = settings, deployment, engine
        self.old, self.new = place(deployment, record, record.current), place(deployment, record, new)
        self.resume, self.within_s, self.tell = resume, within_s, tell
        self.problem = ""
        self.stopped = record.wanted == "stopped"
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

    def go(self, table: Table, first: Step) -> Outcome:
        """Walk to an end, and write it down."""
        for at in walk(of_stopped(table) if self.stopped else table, first, self._act):
            self.tell(f"{self.deployment.name}: {at}")
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

    def _stand(self, where: Place, standing: Standing) -> None:
        self.deployment.stand(where.number, standing)

    def _standing(self, where: Place) -> Standing:
        return self.deployment.standing(where.number)

    def _note(self, **changed: Any) -> None:
        record = self.deployment.record()
        assert record is not None
        self.deployment.write(replace(record, **changed))

    def _save(self, where: Place) -> None:
        self._stand(where, self.engine.stop(where, self._standing(where)))

    def _start_new(self) -> None:
        self._note(trying=self.new.number)
        standing = replace(self._standing(self.new), staged=False)
        resume = self._inherited() if self.resume is None else self.resume
        self._stand(self.new, self.engine.start(self.new, standing, resume=resume))

    def _inherited(self) -> str:
        """What the new version goes on from: its own state where it built one beside the old, else the old one's."""
        owner = self.old if self.new.generation == self.old.generation else self.new
        return self._standing(owner).savepoint

    def _start_old(self) -> None:
        self._note(trying=None)  # all is undone: to undo it again would end the old version
        standing = self._standing(self.old)
        resume = self.engine.resume_from(self.old, standing)
        self._stand(self.old, self.engine.start(self.old, standing, resume=resume))

    def _watch(self, where: Place) -> None:
        until_healthy(self.engine, where, self._standing(where), self.within_s, self.settings.app_steady_s)

    def _cancel(self, where: Place) -> None:
        self._stand(where, self.engine.cancel(where, self._standing(where)))

    def _start_beside(self) -> None:
        self._note(trying=self.new.number)
        self._stand(self.new, self.engine.start(self.new, Standing(staged=True), resume=""))

    def _catch_up(self) -> None:
        for behind in until_caught_up(self.settings, self.engine, self.old, self.new, self._standing(self.new)):
            self.tell("", behind=behind)
            tend(self.settings, self.deployment, self.engine, trying=True)  # the old version is looked after meanwhile

    def _save_both(self) -> None:
        self._save(self.old)
        self._save(self.new)

    def _exchange_rows(self) -> None:
        outputs = load_app(self.new.code).outputs
        changed = exchange(self.settings, outputs, generation_name(self.new.generation), kept_rows(self.old))
        self.tell(f"{self.deployment.name}: {changed:,} rows exchanged")

    def _return_rows(self) -> None:
        self._note(trying=self.new.number)  # from here on there are rows to put back
        changed = put_back(self.settings, kept_rows(self.new), keep=kept_rows(self.old))
        self.tell(f"{self.deployment.name}: {changed:,} rows returned")

    def _put_rows_back(self) -> None:
        put_back(self.settings, kept_rows(self.old))
        kept_rows(self.old).unlink(missing_ok=True)  # the old version writes newer ones

    def _write_end(self, end: End) -> None:
        """In one write: a death between two would leave two versions, or none."""
        ended: dict[str, Any] = {"error": self.problem, "attempts": 0, "not_before": 0.0}
        if end == "broken":
            self._note(**ended)  # what is tried stays named, and its rows kept, for whoever undoes it
        elif end == "done":
            became = {"current": self.new.number, "previous": self.old.number, "wanted": "running", "proven": True}
            self._note(trying=None, since=time.time(), **became, **ended)
            kept_rows(self.new).unlink(missing_ok=True)  # they are on the topic again
        else:
            self._note(trying=None, **ended)
            kept_rows(self.old).unlink(missing_ok=True)
