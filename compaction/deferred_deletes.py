"""Deferred deletes: files of expired snapshots, kept until readers that planned on such a snapshot are done.

A list of them is written before the snapshots expire, under the table's `FOLDER` and named by the moment from which
they may be deleted. Killed anywhere, the list is there or the files are still referred to; before anything is deleted,
each path is looked up again in the table as it is then. A list that a killed process left half written deletes nothing:
the snapshots expire only after it is whole, so theirs never did.
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

FOLDER = "metadata/graveyard"  # its name in every table since the first version: lists there must be found


@dataclass(frozen=True)
class DeferredDelete:
    """A list of files and the moment from which they may be deleted."""

    path: str
    due_ms: int


def defer_delete(table: Table, paths: Iterable[str], due_ms: int) -> DeferredDelete:
    """Write a list of files that may be deleted from `due_ms` on."""
    deferred = DeferredDelete(f"{table.location()}/{FOLDER}/{due_ms}-{uuid4().hex}.json", due_ms)
    with table.io.new_output(deferred.path).create() as out:
        out.write(msgspec.json.encode(sorted(paths)))
    return deferred


def pending_deletes(table: Table, settings: Settings) -> Iterator[DeferredDelete]:
    """Every list of the table, due or not."""
    for file in stored(f"{table.location()}/{FOLDER}", settings):
        due, _, _rest = file.path.rpartition("/")[2].partition("-")
        if due.isdecimal():
            yield DeferredDelete(file.path, int(due))


def due_deletes(table: Table, settings: Settings, now_ms: int) -> list[DeferredDelete]:
    """The lists whose time has come; none where the table says ``gc.enabled=false``."""
    if not may_delete(table.properties):
        return []
    return [one for one in pending_deletes(table, settings) if one.due_ms <= now_ms]


def listed_files(table: Table, deferred: DeferredDelete) -> list[str]:
    """The files that a list names: none where its writer was killed over it, or another run has just deleted it."""
    try:
        with table.io.new_input(deferred.path).open() as stream:
            return msgspec.json.decode(stream.read(), type=list[str])
    except msgspec.DecodeError as error:
        log.warning("a half-written list of expired files deletes nothing", path=deferred.path, reason=str(error))
    except FileNotFoundError:
        log.info("another run has deleted this list of expired files", path=deferred.path)
    return []


def delete_due(table: Table, settings: Settings, manifests: Manifests, now_ms: int) -> int:
    """Delete the files whose time has come and that nothing refers to; return how many."""
    due = due_deletes(table, settings, now_ms)
    if not due:
        return 0
    used = references(table.snapshots(), manifests)
    deleted = sum(discard(table, unused(listed_files(table, deferred), used)) for deferred in due)
    discard(table, [deferred.path for deferred in due])
    return deleted
