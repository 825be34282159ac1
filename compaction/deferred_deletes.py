"""Files of expired snapshots, kept for a while: a reader that planned on such a snapshot still finds them.

A list of them is written before the snapshots expire, under the table's ``metadata/graveyard/`` and named by the
moment from which they may be deleted. Killed anywhere, the list is there or the files are still referred to; before
anything is deleted, each path is looked up again in the table as it is then. A list that a killed process left half
written buries nothing: the snapshots expire only after it is whole, so theirs never did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import uuid4

import msgspec
import structlog
from pyiceberg.table import Table

from compaction.expire import references, unused
from compaction.options import may_delete
from compaction.storage import discard, stored
from olist.lake.manifests import Manifests
from olist.settings import Settings

log = structlog.get_logger()

FOLDER = "metadata/graveyard"


@dataclass(frozen=True)
class Grave:
    """A list of files and the moment from which they may be deleted."""

    path: str
    due_ms: int


def bury(table: Table, paths: Iterable[str], due_ms: int) -> Grave:
    """Write a list of files that may be deleted from `due_ms` on."""
    grave = Grave(f"{table.location()}/{FOLDER}/{due_ms}-{uuid4().hex}.json", due_ms)
    with table.io.new_output(grave.path).create() as out:
        out.write(msgspec.json.encode(sorted(paths)))
    return grave


def graves(table: Table, settings: Settings) -> Iterator[Grave]:
    """The lists that are there."""
    for file in stored(f"{table.location()}/{FOLDER}", settings):
        due, _, _rest = file.path.rpartition("/")[2].partition("-")
        if due.isdecimal():
            yield Grave(file.path, int(due))


def due_graves(table: Table, settings: Settings, now_ms: int) -> list[Grave]:
    """The lists whose time has come; none where the table says ``gc.enabled=false``."""
    return [g for g in graves(table, settings) if g.due_ms <= now_ms] if may_delete(table.properties) else []


def buried(table: Table, grave: Grave) -> list[str]:
    """The files that a list names: none where its writer was killed over it, or another run has just cleared it."""
    try:
        with table.io.new_input(grave.path).open() as stream:
            return msgspec.json.decode(stream.read(), type=list[str])
    except msgspec.DecodeError as error:
        log.warning("a half-written list of expired files buries nothing", path=grave.path, reason=str(error))
    except FileNotFoundError:
        log.info("another run has cleared this list of expired files", path=grave.path)
    return []


def clear(table: Table, settings: Settings, manifests: Manifests, now_ms: int) -> int:
    """Delete the files whose time has come and that nothing refers to; return how many."""
    due = due_graves(table, settings, now_ms)
    if not due:
        return 0
    used = references(table.snapshots(), manifests)
    deleted = sum(discard(table, unused(buried(table, grave), used)) for grave in due)
    discard(table, [grave.path for grave in due])
    return deleted
