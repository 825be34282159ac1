"""Fill the user's cache from the lock: eight downloads side by side, each checked and then renamed into place.

A file under its final name is whole and was hashed when it came, so a second run only looks whether it is there. jgo
knows the repository; it writes in place, so each file is fetched into a folder of its own first.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from olist.errors import StackError
from olist.stack.servers.artefacts import Artefact, jgo_artefact

if TYPE_CHECKING:
    from olist.stack.servers.server import ServerState

SIDE_BY_SIDE = 8
ATTEMPTS = 4


class Progress:
    """What a caller may show while the stack installs and starts; this base class shows nothing."""

    @contextmanager
    def downloads(self, files: int, size: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - for those who show it
        """A download of `files` files and `size` bytes; call what it yields with each number of bytes that came."""
        yield lambda _: None

    def servers(self, states: Mapping[str, ServerState]) -> None:
        """The servers' states, whenever one may have changed."""


@dataclass(frozen=True)
class Installer:
    """Brings artefacts into `cache`. `repositories` (name -> URL) replaces the public repository, for mirrors."""

    cache: Path
    offline: bool = False
    repositories: Mapping[str, str] | None = None

    def path(self, artefact: Artefact) -> Path:
        """Where the artefact lies once it is installed."""
        return self.cache / "maven" / artefact.path

    def missing(self, artefacts: Iterable[Artefact]) -> list[Artefact]:
        """Those that the cache lacks."""
        return [artefact for artefact in artefacts if not self.path(artefact).exists()]

    def install(self, artefacts: Iterable[Artefact], progress: Progress | None = None) -> None:
        """Fetch what is missing.

        Raises:
            StackError: offline and something is missing; a full disk; a download that stays cut or hashes wrong.
        """
        missing = self.missing(artefacts)
        if not missing:
            return
        size = sum(artefact.size for artefact in missing)
        if self.offline:
            raise StackError(
                f"offline, and the cache {self.cache} lacks {len(missing)} files, first {missing[0].coordinate}",
                hint="run once without --offline / OLIST_OFFLINE, or point OLIST_CACHE at a filled cache",
            )
        with disk_space(self.cache, size), (progress or Progress()).downloads(len(missing), size) as came:
            self._fetch_all(missing, came)

    def _fetch_all(self, missing: list[Artefact], came: Callable[[int], None]) -> None:
        pool = ThreadPoolExecutor(max_workers=SIDE_BY_SIDE)
        try:
            for done in [pool.submit(self._fetch, artefact, came) for artefact in missing]:
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)  # after the first failure, or Ctrl-C, begin no further ones

    def _fetch(self, artefact: Artefact, came: Callable[[int], None]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            with tempfile.TemporaryDirectory(dir=self.cache, prefix="download-") as folder:
                try:
                    file = self._download(artefact, Path(folder), came)
                except (requests.RequestException, RuntimeError) as error:
                    # RuntimeError: jgo was told anything but 200, which a mirror may say in passing.
                    if attempt == ATTEMPTS:
                        raise _cut(artefact, error) from error
                    continue
                _check(artefact, file)
                target = self.path(artefact)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
                return

    def _download(self, artefact: Artefact, folder: Path, came: Callable[[int], None]) -> Path:
        from jgo.maven import MavenContext, PythonResolver

        @contextmanager
        def counted(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
            yield came

        repositories = None if self.repositories is None else dict(self.repositories)
        resolver = PythonResolver(progress_callback=counted)
        context = MavenContext(
            resolver=resolver, repo_cache=folder, local_repos=[], remote_repos=repositories, timeout=30
        )
        return jgo_artefact(context, artefact).resolve()


@contextmanager
def disk_space(cache: Path, size: int) -> Iterator[None]:
    """Turn a full disk under `cache`, seen before or while writing `size` bytes, into its way out."""
    needed = f"{size / 1e6:.0f} MB are needed in the cache {cache}"
    hint = "free some space, or set OLIST_CACHE to a folder on another disk"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(cache).free) < size:
            raise StackError(f"the disk is too full: {needed}, {free / 1e6:.0f} MB are free", hint=hint)
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StackError(f"the disk is full: {needed}", hint=hint) from error


def _check(artefact: Artefact, file: Path) -> None:
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != artefact.sha256:
        raise StackError(
            f"{artefact.coordinate}: the download hashes to {found}, the lock says {artefact.sha256}",
            hint="what came is not what was locked: try again, and look at any mirror or proxy on the way",
        )


def _cut(artefact: Artefact, error: Exception) -> StackError:
    return StackError(
        f"{artefact.coordinate}: the download failed {ATTEMPTS} times, last with: {error}",
        hint="look at the network, then run the same command again: what has come is kept",
    )
