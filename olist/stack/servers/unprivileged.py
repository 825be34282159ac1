"""A root user's servers that refuse to run as root: they run as nobody, and must be able to reach their files.

Two things are in nobody's way. A program under a folder that only root may enter (a checkout in /root, mode 0700) is
copied, once per version, to `SHARED`. A data folder under one (`mktemp -d` makes them so) is a link to a folder in
`SHARED`; the link is the record of where it is, and `olist down --delete` follows it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from olist.errors import StackError

NOBODY = 65534
SHARED = Path("/var/tmp/olist-root")
LINK = ".link"
"""Ending of the record, beside a data folder, of the link that leads to it."""


def reachable_folder(folder: Path, uid: int | None) -> Path:
    """Make the folder, owned by `uid` where one is given, and return where it really lies."""
    if uid is None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not _open_to_others(folder.parent):
            _place_elsewhere(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, uid, uid)
    return folder.resolve()


def leads_elsewhere(folder: Path) -> bool:
    """Is the folder a link that `reachable_folder` made? No other is followed to be removed."""
    return folder.is_symlink() and folder.readlink().parent == SHARED


def _place_elsewhere(folder: Path) -> None:
    with (_shared() / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who sweeps meets no record that another process writes or removes
        _sweep()
        elsewhere = Path(tempfile.mkdtemp(dir=_shared(), prefix="data-"))
        folder.unlink(missing_ok=True)
        folder.symlink_to(elsewhere)
        elsewhere.with_suffix(LINK).write_text(str(folder), encoding="utf-8")


def _sweep() -> None:
    """Remove what belongs to homes that were removed without `olist down --delete`."""
    for record in _shared().glob(f"data-*{LINK}"):
        link, elsewhere = Path(record.read_text(encoding="utf-8")), record.with_suffix("")
        if not (leads_elsewhere(link) and link.readlink() == elsewhere):
            shutil.rmtree(elsewhere, ignore_errors=True)
            record.unlink(missing_ok=True)


def readable_copy(program: Path, uid: int | None) -> Path:
    """The program's folder itself, or a copy that `uid` can read."""
    if uid is None or _open_to_others(program):
        return program
    # Named by path and time: another version installed at the same path gets another copy.
    key = f"{program} {program.stat().st_mtime_ns} {(program / 'bin').stat().st_mtime_ns}"
    copy = _shared() / f"{program.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=_shared(), prefix="copy-") as folder:
            Path(folder).chmod(0o755)
            fresh = Path(folder, "program")
            shutil.copytree(program, fresh, symlinks=True)
            try:
                fresh.rename(copy)
            except OSError:
                if not copy.exists():
                    raise
    return copy


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _shared() -> Path:
    SHARED.mkdir(mode=0o755, exist_ok=True)
    found = SHARED.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        # Anybody may create names in /var/tmp, and a program that root starts must not be theirs to swap.
        raise StackError(f"{SHARED} exists and is not root's alone", hint=f"look who made it, then remove {SHARED}")
    return SHARED
