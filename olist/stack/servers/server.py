"""What a server of this machine says about itself, and the ports that it needs. Each file beside this is one of them.

A server does not start anything: it writes its files, names its command, and answers whether it is ready. Starting,
watching and stopping belong to the supervisor.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
import psutil

from olist.errors import ServerTrouble, StackError
from olist.settings import Settings
from olist.stack.servers.install import Installer

HOST = "127.0.0.1"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@dataclass(frozen=True)
class Port:
    """A TCP port that a server will listen on, and the variable that moves it."""

    number: int
    variable: str


@dataclass(frozen=True)
class Launch:
    """How to start a process. `env` is all of its environment: what the user's shell holds cannot change a server."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    uid: int | None = None


Phase = Literal["waiting", "starting", "ready", "crashed", "stopped", "external", "unreachable"]


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """One server as its supervisor last saw it, or as one of another machine answered.

    `since` is Unix seconds; `reason` says why it crashed, or why it is unreachable.
    """

    name: str
    phase: Phase
    endpoint: str
    pid: int | None = None
    version: str = ""
    since: float = 0.0
    reason: str = ""


def log_path(home: Path, name: str) -> Path:
    """The output of a server, or of the supervisor, of a home."""
    return home / "logs" / f"{name}.log"


class Server(ABC):
    """One server: its files, its command, its readiness."""

    name: ClassVar[str]
    sections: tuple[str, ...] = ()
    """Sections of the lock that it needs from the cache."""
    on_request: ClassVar[bool] = False
    """Does it start only when it is named?"""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    ready_within_s: ClassVar[float] = 300.0
    """Long, since a laptop under load may need ten times the usual ten seconds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.home.resolve() / self.name  # its configuration and data: `down --delete` removes it
        self.installer = Installer(settings.cache.resolve(), offline=settings.offline)

    @property
    @abstractmethod
    def external(self) -> bool:
        """Is there a setting that names such a server elsewhere, to be used as it is?"""

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """Where clients find it."""

    @abstractmethod
    def ports(self) -> list[Port]:
        """Every port that it listens on when it runs here."""

    def unpack(self) -> None:  # noqa: B027 - most have nothing to do
        """After its artefacts are in the cache: what else must be made of them, once per cache."""

    @abstractmethod
    def prepare(self) -> None:
        """Write its configuration and, the first time, create its data. Called before every start."""

    @abstractmethod
    def launch(self) -> Launch:
        """Its command."""

    @abstractmethod
    def probe(self) -> str:
        """Ask it whether it serves, and return its version.

        Raises:
            ServerTrouble: not yet, with what it said.
        """

    def settle(self) -> None:  # noqa: B027 - most have nothing to do
        """After the first answer: create what clients expect to find.

        Raises:
            ServerTrouble: not yet.
        """

    def clean(self) -> None:  # noqa: B027 - most have nothing to do
        """After it has ended: remove what it leaves outside of its folder."""


def knock(name: str, port: int) -> None:
    """Fail at once while nothing listens: cheaper, and clearer, than a client library that waits.

    Raises:
        ServerTrouble: nothing listens on the port.
    """
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError as error:
        raise ServerTrouble(name, f"nothing listens on {HOST}:{port} yet") from error


def owner(number: int) -> str | None:
    """None when the port is free; else who listens, as far as this user may see."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: skip connections in TIME_WAIT
        try:
            probe.bind((HOST, number))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            return "this user may not listen there" if error.errno == errno.EACCES else _listener(number)
    return None


def _listener(number: int) -> str:
    try:
        found = [c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == number and c.pid]
        return f"{psutil.Process(found[0]).name()}, pid {found[0]}" if found else "a process of another user"
    except psutil.Error:
        return "a process that this user may not see"


def require_free(servers: Iterable[Server]) -> None:
    """Refuse before anything starts.

    Raises:
        StackError: ports that are taken, each with its owner and the variable that moves it.
    """
    taken = [
        (server, port, found)
        for server in servers
        for port in server.ports()
        if (found := owner(port.number)) is not None
    ]
    if taken:
        lines = [f"{server.name} needs port {port.number}, taken by {found}" for server, port, found in taken]
        variables = ", ".join(dict.fromkeys(port.variable.split()[0] for _, port, _ in taken))
        raise StackError("; ".join(lines), hint=f"end the owner, or set {variables} to a free port")


def free_ports(count: int, *, after: int, also_above: int = 0) -> list[int]:
    """So many ports side by side that are free now, from `after` on; `also_above` asks for those so far above as well.

    They lie below the range that systems hand out to clients by themselves, which could take one before a server does.

    Raises:
        StackError: there are none.
    """
    first = after
    while first + count + also_above < 32000:
        wanted = [*range(first, first + count), *range(first + also_above, first + count + also_above)]
        taken = [number for number in wanted if owner(number) is not None]
        if not taken:
            return wanted[:count]
        first += 1
    raise StackError(f"no {count} free ports side by side between {after} and 32000")
