"""What a server of this machine says about itself. Each file in `servers/` is one of them.

A server does not start anything: it writes its files, names its command, and answers whether it is ready. Starting,
watching and stopping belong to the supervisor.
"""

from __future__ import annotations

import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from olist.errors import ServerTrouble
from olist.settings import Settings
from olist.stack.install import Installer

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
