"""The process that keeps apps as they are wanted: observes each second, starts again what has ended.

It decides nothing that lasts: what is wanted stands in the records, and a deployment that a command is changing is left
alone. It ends when it is told to, or when the servers of its home were stopped without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import structlog

from olist.errors import OlistError, ServerTrouble, StackError
from olist.settings import Settings, settings
from olist.stack.home import Home
from olist.stack.local import Stack
from olist.stop_signals import set_on_signal
from olist.telemetry import configure_logging, serve_metrics
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.metrics import Observer
from stream_apps.deploy.reconcile import reconcile
from stream_apps.deploy.stack_hooks import FLINK_SERVERS, end_workers, supervisor_home
from stream_apps.deploy.store import Busy, Deployment, deployments
from stream_apps.records import EngineName

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger()


@dataclass
class FlinkServers:
    """Those of one home; nothing to do where `OLIST_FLINK` names another cluster, or nobody started them here."""

    settings: Settings
    not_before: float = 0.0
    pause_s: float = FIRST_PAUSE_S

    def restart_crashed(self) -> None:
        """Start what has crashed. In vain, it waits before it tries again, longer each time."""
        if self.settings.flink is not None or time.monotonic() < self.not_before:
            return
        stack = Stack(self.settings, FLINK_SERVERS)
        crashed = [name for name, state in stack.states().items() if state.phase == "crashed"]
        for name in crashed:
            log.warning("starting again", server=name, reason=stack.states()[name].reason)
            try:
                stack.start(name)
            except StackError as error:
                self.not_before = time.monotonic() + self.pause_s
                self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)
                log.error("was not started", server=name, reason=str(error))
                return
        self.pause_s = FIRST_PAUSE_S


OBSERVE_EVERY_S = 1.0
SERVERS_GONE_ROUNDS = 5
"""So many rounds in a row without the servers' supervisor, once there was one, mean that they were stopped."""
MOST_AT_ONCE = 8

log = structlog.get_logger()


class Supervisor:
    """The loop. Each deployment is reconciled on a thread, so that a slow start holds up no other."""

    def __init__(self, current: Settings) -> None:
        self.settings = current
        self.stopping = threading.Event()
        self.pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="app")
        self.work: dict[str, Future[object]] = {}
        self.servers = FlinkServers(current)
        self.reported: dict[str, str] = {}
        self.saw_supervisor = False
        self.rounds_without = 0
        self.observer, self.metrics_due = Observer(current), 0.0

    def run(self) -> None:
        """Until told to end, or the servers are gone. Where another supervisor lives, there is nothing to do."""
        try:
            self.lock = supervisor_home(self.settings).claim()  # held until the process is gone
        except StackError:
            log.info("another supervisor lives here")
            return
        set_on_signal(self.stopping)
        serve_metrics(self.settings)
        while not self.stopping.wait(OBSERVE_EVERY_S):
            if self._servers_gone():
                log.warning("the servers of this home were stopped; ending the workers")
                end_workers(self.settings)
                break
            self._round()
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _servers_gone(self) -> bool:
        """Were they stopped? A home whose servers are all elsewhere never had a supervisor."""
        there = Home(self.settings.home.resolve()).supervisor() is not None
        self.saw_supervisor = self.saw_supervisor or there
        self.rounds_without = 0 if there or not self.saw_supervisor else self.rounds_without + 1
        return self.rounds_without >= SERVERS_GONE_ROUNDS

    def _round(self) -> None:
        found = deployments(self.settings)
        records = {name: record for name, deployment in found.items() if (record := deployment.record())}
        if any(record.engine == "flink" and record.wanted == "running" for record in records.values()):
            self._do(":servers", self.servers.restart_crashed)
        for name, record in records.items():
            if record.target == "local":
                self._do(name, partial(self._reconcile, found[name], record.engine))
        if self.settings.metrics_port is not None and time.monotonic() >= self.metrics_due:
            self.metrics_due = time.monotonic() + self.settings.app_metrics_s
            self._do(":metrics", self.observer.observe)

    def _do(self, what: str, job: Callable[[], object]) -> None:
        """On a thread, unless the last of its kind is still under way; trouble is reported once, until it changes."""
        before = self.work.get(what)
        if before is not None and not before.done():
            return
        if before is not None:
            self._report(what, before.exception())
        self.work[what] = self.pool.submit(job)

    def _report(self, what: str, error: BaseException | None) -> None:
        reason = "" if error is None else str(error)
        if reason != self.reported.get(what, "") and error is not None:
            if not isinstance(error, OlistError):
                raise error
            log.warning("waiting" if isinstance(error, ServerTrouble) else "trouble", app=what, reason=reason)
        self.reported[what] = reason

    def _reconcile(self, deployment: Deployment, kind: EngineName) -> None:
        try:
            with deployment.alone():
                reconcile(DeployedApp.of(self.settings, deployment, kind))
        except Busy:
            return


def main() -> None:
    """Run with the settings of the environment."""
    current = settings()
    configure_logging(current)
    Supervisor(current).run()


if __name__ == "__main__":
    main()
