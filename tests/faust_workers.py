"""Workers of Faust apps as processes, to be killed and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from olist.settings import Settings
from stream_apps.faust.worker_status import Status
from tests.waiting import wait_until


class FaustWorker:
    """One process; leaving stops it."""

    def __init__(self, settings: Settings, app: str, folder: Path, name: str = "one", file: Path | None = None) -> None:
        self.settings, self.app, self.name, self.file = settings, app, name, file
        self._status = folder / f"{app}-{name}.json"
        self._log = folder / f"{app}-{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def start(self) -> None:
        """Start it; the one before has ended."""
        self._status.unlink(missing_ok=True)
        arguments = ["--status", str(self._status), "--instance", f"{self.app}-{self.name}"]
        arguments += ["--file", str(self.file)] if self.file else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_apps.faust.worker", self.app, *arguments],
                env=self.settings.environment(),
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)

    def send(self, number: signal.Signals) -> None:
        """A signal, as SIGSTOP and SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait_until_failed(self) -> str:
        """Until it has ended by itself with an error; what it said."""
        process = self._process
        assert process is not None
        wait_until(lambda: process.poll() is not None, f"{self.app} to end")
        assert process.returncode == 1, self.told()
        return self.told()

    def stop(self) -> None:
        """Ask it to stop; it ends well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self.told()

    def status(self) -> Status:
        """What it says of itself; nothing yet before it has started."""
        assert self._process is not None
        assert self._process.poll() is None, self.told()
        if not self._status.exists():
            return Status("", "", 0)
        return msgspec.json.decode(self._status.read_bytes(), type=Status)

    def told(self) -> str:
        """The end of its log."""
        return self._log.read_text("utf-8")[-4000:]

    def wait_for(self, events: int) -> None:
        """Until it has taken so many changes since it started."""
        wait_until(lambda: self.status().events >= events, f"{events} changes taken by {self.app}")

    def wait_until_done(self) -> None:
        """Until it has read all there is and its clock has come to the end."""
        wait_until(self._done, f"{self.app} to have nothing left to read")

    def wait_until_idle(self) -> None:
        """Until it runs and has nothing to read, be it because there is nothing new."""
        wait_until(lambda: self.status().phase == "running" and self.status().lag == 0, f"{self.app} to be idle")

    def _done(self) -> bool:
        status = self.status()
        return status.phase == "running" and status.lag == 0 and status.events > 0


@contextmanager
def workers(settings: Settings, app: str, folder: Path, number: int) -> Iterator[list[FaustWorker]]:
    """Some of one app."""
    made = [FaustWorker(settings, app, folder, str(n)) for n in range(number)]
    try:
        for worker in made:
            worker.start()
        yield made
    finally:
        for worker in made:
            worker.__exit__(None, None, None)
