"""Is a port free, and if not, who has it?"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

import psutil

from olist.errors import StackError
from olist.stack.server import HOST, Server


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
