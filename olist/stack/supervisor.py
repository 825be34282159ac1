"""The process that owns the servers: starts them side by side, watches them, says what it sees, stops them.

It restarts nothing by itself: a server that died is written down as crashed, and starts again when someone asks. All
decisions are taken on the main thread, from a queue; slow work (making data folders, asking a server whether it is
ready) runs on threads and comes back through that queue. When this process dies, however, its servers die with it.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from olist.errors import ServerTrouble, StackError
from olist.settings import Settings
from olist.stack.home import Home, RunState, write_state
from olist.stack.processes import spawn, stop
from olist.stack.servers.catalogue import servers
from olist.stack.servers.server import Phase, Server, ServerState
from olist.stop_signals import set_on_signal

LOOK_EVERY_S = 0.2
ASK_EVERY_S = 0.1
STOP_WITHIN_S = 25.0


class Supervisor:
    """The loop. `run` returns when a signal has asked the process to end and the servers have ended."""

    def __init__(self, settings: Settings) -> None:
        self.home = Home(settings.home.resolve())
        self.servers = servers(settings)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.states: dict[str, ServerState] = {}
        self.events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.stopping = threading.Event()
        self.pool = ThreadPoolExecutor(max_workers=2 * len(self.servers), thread_name_prefix="work")

    def run(self) -> None:
        """Claim the home, serve requests until a signal asks for the end, stop everything."""
        self.lock = self.home.claim()  # held until the process is gone, threads and all
        self._write()
        set_on_signal(self.stopping)
        while not self.stopping.is_set():
            self._take_requests()
            self._take_events()
            self._look_at_processes()
        self._stop_all()

    def _take_requests(self) -> None:
        for request in sorted(self.home.requests.iterdir()):
            server = self.servers.get(request.name)
            if server is not None and server.name not in self.processes and self._phase(server) != "starting":
                self._note(server, "starting")
                self._work(server, server.prepare, then=self._spawn)
            request.unlink(missing_ok=True)

    def _take_events(self) -> None:
        try:
            self.events.get(timeout=LOOK_EVERY_S)()
        except queue.Empty:
            return

    def _look_at_processes(self) -> None:
        for name, process in list(self.processes.items()):
            if (code := process.poll()) is not None:
                del self.processes[name]
                self._crashed(self.servers[name], _how_it_ended(code))

    def _work(self, server: Server, job: Callable[[], Any], then: Callable[[Server, Any], None]) -> None:
        def finished(future: Future[Any]) -> None:
            self.events.put(partial(self._take_result, server, future, then))

        self.pool.submit(job).add_done_callback(finished)

    def _take_result(self, server: Server, future: Future[Any], then: Callable[[Server, Any], None]) -> None:
        if (error := future.exception()) is None:
            then(server, future.result())
        elif self._phase(server) == "starting":
            self._crashed(server, str(error))

    def _spawn(self, server: Server, _prepared: None) -> None:
        process = spawn(server.launch(), self.home.log(server.name))
        self.processes[server.name] = process
        self._note(server, "starting", pid=process.pid)
        self._work(server, partial(self._until_ready, server, process), then=partial(self._ready, process))

    def _until_ready(self, server: Server, process: subprocess.Popen[bytes]) -> str | None:
        """Its version; None when it ended before, which `_look_at_processes` sees too."""
        deadline = time.monotonic() + server.ready_within_s
        while process.poll() is None and not self.stopping.wait(ASK_EVERY_S):
            try:
                version = server.probe()
                server.settle()
            except ServerTrouble as error:
                if time.monotonic() > deadline:
                    raise StackError(f"not ready within {server.ready_within_s:.0f} s: {error}") from error
            else:
                return version
        return None

    def _ready(self, process: subprocess.Popen[bytes], server: Server, version: str | None) -> None:
        if version is not None and self.processes.get(server.name) is process:
            self._note(server, "ready", pid=process.pid, version=version)

    def _crashed(self, server: Server, reason: str) -> None:
        if (process := self.processes.pop(server.name, None)) is not None:
            process.kill()  # it runs, but was given up
            process.wait()
        server.clean()
        self._note(server, "crashed", reason=reason)

    def _phase(self, server: Server) -> Phase:
        state = self.states.get(server.name)
        return "stopped" if state is None else state.phase

    def _note(
        self, server: Server, phase: Phase, *, pid: int | None = None, version: str = "", reason: str = ""
    ) -> None:
        self.states[server.name] = ServerState(
            name=server.name,
            phase=phase,
            endpoint=server.endpoint,
            pid=pid,
            version=version,
            since=time.time(),
            reason=reason,
        )
        self._write()

    def _write(self) -> None:
        write_state(self.home.state, RunState(supervisor=os.getpid(), servers=self.states))

    def _stop_all(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        stop(((process, self.servers[name].stop_signal) for name, process in self.processes.items()), STOP_WITHIN_S)
        for name in self.processes:
            self.servers[name].clean()
        self.home.state.unlink()


def _how_it_ended(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"


def main() -> None:
    """Run with the settings that come as JSON on standard input: secrets are not for a command line."""
    Supervisor(Settings(**msgspec.json.decode(sys.stdin.buffer.read()))).run()


if __name__ == "__main__":
    main()
