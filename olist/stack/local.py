"""The stack of one machine, for programs: the command line, the demo and the tests all start servers here.

    with Stack(settings, tied=True) as stack:
        stack.up()
        stack.kill("kafka")     # SIGKILL, for tests of faults
        stack.start("kafka")    # with the same data

A `tied` stack ends with the process that made it, however that ends; otherwise the servers stay until `down`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from pydantic import SecretStr

from olist.errors import BadInput, ServerTrouble, StackError
from olist.hidden import shown
from olist.settings import Settings
from olist.stack.home import Home, read_state
from olist.stack.hooks import stack_hooks
from olist.stack.processes import last_lines, spawn
from olist.stack.servers.artefacts import locked
from olist.stack.servers.catalogue import USUAL, servers
from olist.stack.servers.install import Installer, Progress
from olist.stack.servers.server import Launch, Server, ServerState, require_free
from olist.stack.servers.unprivileged import leads_elsewhere
from olist.stack.supervisor import STOP_WITHIN_S

LOOK_EVERY_S = 0.1
SHOWN_LINES = 15


class Stack:
    """The servers of one home folder."""

    def __init__(self, settings: Settings, only: Iterable[str] | None = None, *, tied: bool = False) -> None:
        self.settings = settings
        self.home = Home(settings.home.resolve())
        self.servers = servers(settings, self._usual() if only is None else only)
        self.tied = tied
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def _usual(self) -> list[str]:
        """Those that start without being named, those that hooks need, and those the running supervisor knows."""
        known = read_state(self.home.state) if self.home.supervisor() is not None else None
        needed = [name for hook in stack_hooks() for name in hook.needs(self.settings)]
        return list(dict.fromkeys([*USUAL, *needed, *(known.servers if known else {})]))

    def states(self) -> dict[str, ServerState]:
        """Every server as it is now; those of other machines are shown without asking them."""
        known = read_state(self.home.state)
        alive = self.home.supervisor() is not None
        seen = known.servers if known is not None else {}
        return {name: _state(server, seen.get(name), alive=alive) for name, server in self.servers.items()}

    def up(self, progress: Progress | None = None) -> dict[str, ServerState]:
        """Install, start what is not running, and return when every server is ready.

        Where that fails, what it has started is stopped again, unless another supervisor was there before.

        Raises:
            StackError: something could not be installed, a port is taken, or a server did not become ready; the message
                ends with its log's last lines.
            ServerTrouble: a server of another machine does not answer.
        """
        before = self._supervisor
        try:
            return self._up(progress or Progress())
        except BaseException:  # Ctrl-C too
            if self._supervisor is not before:
                self.down()
            raise

    def _up(self, progress: Progress) -> dict[str, ServerState]:
        local = [server for server in self.servers.values() if not server.external]
        self.install(progress)
        external = self.ask_external()
        self._refuse_other_settings()
        self._ask_for([server for server in local if self.states()[server.name].phase in ("stopped", "crashed")])
        states = self._until_ready(progress) | external
        for hook in stack_hooks():
            hook.begin(self.settings)
        return states

    def ask_external(self) -> dict[str, ServerState]:
        """Ask the servers of other machines whether they serve.

        Raises:
            ServerTrouble: one does not.
            BadInput: one refuses us.
        """
        return {name: _probed(server) for name, server in self.servers.items() if server.external}

    def external_states(self) -> dict[str, ServerState]:
        """The servers of other machines, each asked whether it serves; one that does not is ``unreachable``."""
        return {name: _probed_or_not(server) for name, server in self.servers.items() if server.external}

    def _refuse_other_settings(self) -> None:
        for name, state in self.states().items():
            if state.pid is not None and state.endpoint != self.servers[name].endpoint:
                raise StackError(
                    f"{name} runs at {state.endpoint}, the settings say {self.servers[name].endpoint}",
                    hint="olist down, then olist up",
                )

    def install(self, progress: Progress | None = None) -> None:
        """Fill the cache with what the servers of this machine need."""
        local = [server for server in self.servers.values() if not server.external]
        sections = [section for server in local for section in server.sections]
        Installer(self.settings.cache.resolve(), offline=self.settings.offline).install(locked(*sections), progress)
        for server in local:
            server.unpack()

    def start(self, name: str) -> None:
        """Start one server again, and return when it is ready.

        Raises:
            StackError: it did not become ready.
        """
        self._ask_for([self.servers[name]])
        self._until_ready(Progress(), names=[name])

    def kill(self, name: str) -> None:
        """SIGKILL one server and return when its end was noticed."""
        pid = self.states()[name].pid
        if pid is None:
            raise StackError(f"{name} is not running")
        os.kill(pid, signal.SIGKILL)
        if not _wait(lambda: self.states()[name].phase == "crashed", within_s=10):
            raise StackError(f"waited 10 s in vain for the end of {name}")

    def down(self) -> None:
        """Stop every server, gracefully within a deadline, and return when nothing runs any more."""
        for hook in stack_hooks():
            hook.end(self.settings)
        if not self._end_supervisor(signal.SIGTERM, within_s=STOP_WITHIN_S + 10):
            self._end_supervisor(signal.SIGKILL, within_s=10)  # the servers die with it
        if self._supervisor is not None:
            self._supervisor.wait()
            self._supervisor = None
        shutil.rmtree(self.home.requests, ignore_errors=True)

    def _end_supervisor(self, how: signal.Signals, within_s: float) -> bool:
        pid = self.home.supervisor()
        if pid is None:
            return True
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        return _wait(lambda: self.home.supervisor() is None, within_s)

    def data(self) -> list[Path]:
        """What `delete` would remove: every server's folder, logs, run state, and data that lies elsewhere for root."""
        folders = dict.fromkeys(server.folder for server in servers(self.settings).values())
        found = [*folders, self.home.path / "logs", self.home.path / "run"]
        found += [folder for hook in stack_hooks() for folder in hook.data(self.settings)]
        there = [path for path in found if path.exists()]
        return there + [link.readlink() for path in there if leads_elsewhere(link := path / "data")]

    def delete(self) -> None:
        """Remove data, logs and run state. Stop the servers first.

        Raises:
            StackError: they still run.
            BadInput: the home is not the stack's own folder.
        """
        if self.home.supervisor() is not None:
            raise StackError("the stack still runs", hint="olist down")
        if self.data():
            self.home.require_own()
        for path in reversed(self.data()):
            path.unlink() if path.is_symlink() else shutil.rmtree(path)  # a user's own link is not followed

    def obituary(self, state: ServerState) -> str:
        """How a server ended, with the last lines of its log."""
        death = f"{state.name} {state.phase}: {state.reason}"
        tail = last_lines(self.home.log(state.name), SHOWN_LINES)
        return "\n    ".join([f"{death.rstrip()}; the last lines of its log:", *tail]) if tail else death

    def _ask_for(self, wanted: list[Server]) -> None:
        if not wanted:
            return
        self.home.make()
        require_free(wanted)
        for server in wanted:
            (self.home.requests / server.name).touch()
        if self.home.supervisor() is None:
            self._start_supervisor()

    def _start_supervisor(self) -> None:
        log = self.home.log("supervisor")
        launch = Launch((sys.executable, "-P", "-m", "olist.stack.supervisor"), cwd=self.home.path)
        self._supervisor = spawn(launch, log, signal.SIGTERM if self.tied else None, stdin=subprocess.PIPE)
        assert self._supervisor.stdin is not None
        with self._supervisor.stdin as pipe:
            pipe.write(_as_json(self.settings))
        if not _wait(self._supervisor_began, within_s=30):
            raise StackError("waited 30 s in vain for the start of the supervisor")

    def _supervisor_began(self) -> bool:
        if self.home.supervisor() is not None:
            return True
        if self._supervisor is not None and self._supervisor.poll() is not None:
            tail = "\n".join(last_lines(self.home.log("supervisor"), SHOWN_LINES))
            raise StackError(f"the supervisor ended at once:\n{tail}")
        return False

    def _until_ready(self, progress: Progress, names: Iterable[str] | None = None) -> dict[str, ServerState]:
        wanted = set(self.servers if names is None else names)

        def done() -> bool:
            progress.servers(self.states())
            pending = {path.name for path in self.home.requests.glob("*")} & wanted
            states = [self.states()[name] for name in wanted]
            if self.home.supervisor() is None and any(state.phase != "external" for state in states):
                raise StackError(f"the supervisor is gone: {self.home.log('supervisor')}")
            return not pending and all(state.phase not in ("starting", "waiting") for state in states)

        if not _wait(done, within_s=600):
            raise StackError("waited 600 s in vain for the servers")
        states = self.states()
        crashed = [states[name] for name in wanted if states[name].phase not in ("ready", "external")]
        if crashed:
            raise StackError("\n".join(self.obituary(state) for state in crashed), hint="olist logs; olist doctor")
        return states


def _state(server: Server, seen: ServerState | None, *, alive: bool) -> ServerState:
    if server.external:
        return ServerState(name=server.name, phase="external", endpoint=shown(server.endpoint))
    if seen is None:
        return ServerState(name=server.name, phase="stopped", endpoint=server.endpoint)
    if not alive:
        return msgspec.structs.replace(seen, phase="stopped", pid=None)
    return seen


def _probed(server: Server) -> ServerState:
    return ServerState(name=server.name, phase="external", endpoint=shown(server.endpoint), version=server.probe())


def _probed_or_not(server: Server) -> ServerState:
    try:
        return _probed(server)
    except (BadInput, ServerTrouble) as error:
        reason = shown(f"{error}; {error.hint}" if error.hint else error)
        return ServerState(name=server.name, phase="unreachable", endpoint=shown(server.endpoint), reason=reason)


def _as_json(settings: Settings) -> bytes:
    """Every setting, secrets in clear: for a pipe, never for a file."""
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        values[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
    return msgspec.json.encode(
        values | {"home": settings.home.resolve(), "cache": settings.cache.resolve()}, enc_hook=str
    )


def _wait(condition: Callable[[], bool], within_s: float) -> bool:
    """Did the condition come true in time?"""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
