"""Look at this machine before, or instead of, starting anything: what is there, and the way out for what is not."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import psutil

from olist.errors import OlistError
from olist.hidden import shown
from olist.settings import Settings
from olist.stack.local import Stack
from olist.stack.servers.artefacts import locked
from olist.stack.servers.flink_config import flink_environment
from olist.stack.servers.install import Installer
from olist.stack.servers.java import java_home, java_version
from olist.stack.servers.postgres import Postgres
from olist.stack.servers.server import Server, owner

Level = Literal["OK", "WARN", "FAIL"]

MEMORY_NEEDED = 4_000_000_000
"""Resident bytes of the usual servers and Flink with their default heaps under load, rounded up; docs/stack.md has the
figures."""
HOME_NEEDED = 2_000_000_000
FILES_NEEDED = 4096
"""Kafka holds three files open per segment and partition, OpenSearch some hundred per index."""


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at."""

    check: str
    level: Level
    found: str
    way_out: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, in the order in which a start would stumble over them."""
    stack = Stack(settings)
    local = [server for server in stack.servers.values() if not server.external]
    yield _system()
    yield _said("java", lambda: _java(settings), "unset OLIST_JAVA_HOME, or name a Java of 21 or later")
    yield _said("postgres", Postgres(settings).program_version, "unset OLIST_POSTGRES_BIN, or name 15 or later")
    yield _flink(settings)
    yield _memory(running=stack.home.supervisor() is not None)
    yield _disk("disk for data", stack.home.path, HOME_NEEDED, "free some space, or set OLIST_HOME")
    yield _cache(settings, local)
    yield _open_files()
    yield from _servers(stack)
    for server in local:
        if stack.states()[server.name].pid is None:
            yield from _ports(server)


def _system() -> Finding:
    found = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    user = "root (PostgreSQL runs as nobody)" if os.geteuid() == 0 else f"user {os.geteuid()}"
    known = sys.platform in ("linux", "darwin")
    return Finding("system", "OK" if known else "FAIL", f"{found}, {user}", "" if known else "use Linux or macOS")


def _said(check: str, ask: Callable[[], str], way_out: str) -> Finding:
    try:
        return Finding(check, "OK", ask())
    except OlistError as error:
        return Finding(check, "FAIL", str(error), error.hint or way_out)


def _java(settings: Settings) -> str:
    home = java_home(settings)
    return f"Java {java_version(home)} in {home}"


def _flink(settings: Settings) -> Finding:
    """A warning at most: the direct road needs no Flink."""
    try:
        found = flink_environment(settings)
    except OlistError as error:
        return Finding("flink", "WARN", str(error), error.hint)
    return Finding("flink", "OK", f"PyFlink {found.version} in {found.package.parents[3]}")


def _memory(*, running: bool) -> Finding:
    free = psutil.virtual_memory().available
    found = f"{free / 1e9:.1f} GB available" + (" (the servers run)" if running else "")
    if running or free >= MEMORY_NEEDED:
        return Finding("memory", "OK", found)
    way_out = "lower OLIST_OPENSEARCH_HEAP_MB and OLIST_KAFKA_HEAP_MB, or start fewer with --only"
    return Finding("memory", "WARN", f"{found}, {MEMORY_NEEDED / 1e9:.1f} GB wanted", way_out)


def _disk(check: str, folder: Path, needed: int, way_out: str) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding(check, "FAIL", f"{existing} is not writable", way_out)
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:.1f} GB free for {folder}"
    if free < needed:
        return Finding(check, "FAIL", f"{found}, {needed / 1e9:.1f} GB needed", way_out)
    return Finding(check, "OK", found)


def _cache(settings: Settings, local: list[Server]) -> Finding:
    artefacts = locked(*(section for server in local for section in server.sections))
    cache = settings.cache.resolve()
    missing = Installer(cache).missing(artefacts)
    size = sum(artefact.size for artefact in missing)
    if not missing:
        return Finding("cache", "OK", f"complete in {cache} ({len(artefacts)} files)")
    if settings.offline:
        return Finding("cache", "FAIL", f"offline, {len(missing)} files are missing in {cache}", "unset OLIST_OFFLINE")
    disk = _disk("cache", cache, 2 * size, "free some space, or set OLIST_CACHE")
    to_come = f"`olist up` will download {len(missing)} files, {size / 1e6:.0f} MB; {disk.found}"
    return Finding("cache", disk.level, to_come, disk.way_out)


def _open_files() -> Finding:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{soft} open files per process"
    if soft < FILES_NEEDED:
        return Finding("file limit", "WARN", f"{found}, {FILES_NEEDED} wanted", f"ulimit -n {FILES_NEEDED}")
    return Finding("file limit", "OK", found)


def _servers(stack: Stack) -> Iterator[Finding]:
    for state in stack.states().values():
        if state.phase == "external":
            yield _said(state.name, lambda name=state.name: _external(stack, name), "is it up?")  # type: ignore[misc]
        elif state.phase == "crashed":
            yield Finding(state.name, "FAIL", f"crashed: {state.reason}", f"olist logs {state.name}; olist up")
        elif state.pid is not None:
            yield Finding(state.name, "OK", f"{state.phase}, {state.version} at {state.endpoint}")


def _external(stack: Stack, name: str) -> str:
    server = stack.servers[name]
    return f"external at {shown(server.endpoint)} {server.probe()}".strip()


def _ports(server: Server) -> Iterator[Finding]:
    for port in server.ports():
        taken = owner(port.number)
        check = f"port {port.number}"
        if taken is None:
            yield Finding(check, "OK", f"free for {server.name}")
        else:
            way_out = f"end it, or set {port.variable.split()[0]} to a free port"
            yield Finding(check, "FAIL", f"{server.name} needs it; taken by {taken}", way_out)
