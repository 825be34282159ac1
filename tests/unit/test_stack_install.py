from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from olist.errors import StackError
from olist.stack.servers.artefacts import ARCHIVES, JARS, Artefact, format_lock, locked, parse_coordinate, parse_lock
from olist.stack.servers.install import ATTEMPTS, Installer, disk_space

BODY = b"jar bytes" * 1000
JAR = parse_coordinate("org.example:thing:1.0:jar", hashlib.sha256(BODY).hexdigest(), len(BODY))


@contextmanager
def repository(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[dict[str, str]]:
    """A Maven repository on loopback whose every file is what `answer` sends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"near": f"http://127.0.0.1:{server.server_port}"}
        server.shutdown()


def send(handler: BaseHTTPRequestHandler, body: bytes, promised: int) -> None:
    handler.send_response(404 if handler.path.endswith(".sha1") else 200)
    handler.send_header("Content-Length", str(promised))
    handler.end_headers()
    handler.wfile.write(body)


def installed(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_a_download_that_is_cut_is_tried_again_and_leaves_only_the_whole_file(tmp_path: Path) -> None:
    calls: list[str] = []

    def cut_twice(handler: BaseHTTPRequestHandler) -> None:
        calls.append(handler.path)
        send(handler, BODY if len(calls) > 2 else BODY[:100], len(BODY))

    with repository(cut_twice) as repositories:
        installer = Installer(tmp_path, repositories=repositories)
        installer.install([JAR])
    assert installer.path(JAR).read_bytes() == BODY
    assert installed(tmp_path) == [installer.path(JAR)]


def test_a_download_that_stays_cut_is_named_after_a_bounded_number_of_tries(tmp_path: Path) -> None:
    calls: list[str] = []

    def always_cut(handler: BaseHTTPRequestHandler) -> None:
        calls.append(handler.path)
        send(handler, BODY[:100], len(BODY))

    with (
        repository(always_cut) as repositories,
        pytest.raises(StackError, match=r"thing:1\.0:jar.*failed"),
    ):
        Installer(tmp_path, repositories=repositories).install([JAR])
    assert len(calls) == ATTEMPTS
    assert installed(tmp_path) == []


def test_other_bytes_than_were_locked_are_refused_and_not_kept(tmp_path: Path) -> None:
    with (
        repository(lambda handler: send(handler, b"evil" * 10, 40)) as repositories,
        pytest.raises(StackError, match=r"thing:1\.0:jar: the download hashes to .*, the lock says"),
    ):
        Installer(tmp_path, repositories=repositories).install([JAR])
    assert installed(tmp_path) == []


def test_offline_names_what_the_cache_lacks(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"offline.*lacks 1 files, first org\.example:thing:1\.0:jar"):
        Installer(tmp_path, offline=True).install([JAR])


def test_offline_needs_nothing_once_the_cache_is_filled(tmp_path: Path) -> None:
    with repository(lambda handler: send(handler, BODY, len(BODY))) as repositories:
        Installer(tmp_path, repositories=repositories).install([JAR])
    offline = Installer(tmp_path, offline=True)
    offline.install([JAR])
    assert offline.path(JAR).read_bytes() == BODY


def test_a_disk_with_too_little_room_is_refused_before_the_download(tmp_path: Path) -> None:
    huge = Artefact("g", "n", "1", "", "jar", "0" * 64, 10**18)
    with pytest.raises(StackError, match="the disk is too full") as caught:
        Installer(tmp_path).install([huge])
    assert "OLIST_CACHE" in caught.value.hint


def test_a_disk_that_fills_up_while_writing_names_the_cache_and_the_room_it_needs(tmp_path: Path) -> None:
    with (
        pytest.raises(StackError, match=f"full: 5 MB are needed in the cache {tmp_path}"),
        disk_space(tmp_path, 5_000_000),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_the_lock_reads_back_what_it_wrote() -> None:
    sections = {"a": (JAR,), "b": (JAR, parse_coordinate("g:n:1:plugin:tar.gz", "0" * 64, 7))}
    assert parse_lock(format_lock(sections)) == sections


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("g:n:1:jar " + "0" * 64 + " 1", "line 1: an artefact before the first"),
        ("[a]\ng:n:1:jar", "line 2: not `coordinate sha256 bytes`"),
        ("[a]\ng:n:1:jar abc 1", "line 2: not `coordinate sha256 bytes`"),
        ("[a]\ng:n " + "0" * 64 + " 1", "'g:n' is not group:name:version"),
    ],
)
def test_a_lock_that_does_not_parse_is_named_by_line(text: str, problem: str) -> None:
    with pytest.raises(StackError, match=problem):
        parse_lock(text)


def test_the_committed_lock_holds_every_root_that_it_is_made_from() -> None:
    for section, roots in {**JARS, **ARCHIVES}.items():
        assert {parse_coordinate(root).coordinate for root in roots} <= {a.coordinate for a in locked(section)}


def test_sections_share_artefacts_without_repeating_them() -> None:
    both = locked("kafka", "connect")
    assert len({artefact.path for artefact in both}) == len(both)


def test_a_section_that_the_lock_lacks_is_named() -> None:
    with pytest.raises(StackError, match=r"no section \[nosuch\]"):
        locked("nosuch")


def test_a_classified_artefact_lies_where_maven_puts_it() -> None:
    artefact = parse_coordinate("io.debezium:debezium-connector-postgres:3.7.0.Final:plugin:tar.gz")
    folder = Path("io/debezium/debezium-connector-postgres/3.7.0.Final")
    assert artefact.path == folder / "debezium-connector-postgres-3.7.0.Final-plugin.tar.gz"
