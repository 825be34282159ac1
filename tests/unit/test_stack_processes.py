from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from olist.errors import BadInput, StackError
from olist.settings import Settings
from olist.stack.home import Home
from olist.stack.processes import follow, last_lines, recent, spawn, stop
from olist.stack.servers import unprivileged
from olist.stack.servers.catalogue import servers
from olist.stack.servers.java import java_home
from olist.stack.servers.server import Launch, free_ports, require_free
from olist.stack.servers.unprivileged import NOBODY, reachable_folder
from tests.waiting import wait_until

FOREVER = (sys.executable, "-c", "import signal; print('here', flush=True); signal.pause()")


def wait_until_it_says(line: str, log: Path) -> None:
    wait_until(lambda: last_lines(log, 1) == [line], f"{log.name} to say {line}")


@pytest.mark.parametrize("guard", ["prctl", "pipe"])
def test_a_process_ends_when_its_parent_is_killed(tmp_path: Path, guard: str) -> None:
    if guard == "prctl" and sys.platform != "linux":
        pytest.skip("Linux alone has it")
    script = f"""
import signal
from pathlib import Path
from olist.stack.processes import spawn
from olist.stack.servers.server import Launch
child = spawn(Launch({FOREVER!r}, cwd=Path("/")), Path({str(tmp_path / "log")!r}), guard={guard!r})
print(child.pid, flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert not psutil.wait_procs([child], timeout=10)[1]


def test_the_pipes_guard_leaves_with_its_process(tmp_path: Path) -> None:
    process = spawn(Launch(FOREVER, cwd=Path("/")), tmp_path / "log", guard="pipe")
    wait_until_it_says("here", tmp_path / "log")
    guards = psutil.Process(process.pid).children()
    assert len(guards) == 1
    stop([(process, signal.SIGTERM)], within_s=5)
    assert not psutil.wait_procs(guards, timeout=10)[1]


def test_what_ignores_the_polite_signal_is_killed_at_the_deadline(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); signal.pause()"
    process = spawn(Launch((sys.executable, "-c", stubborn), cwd=Path("/")), tmp_path / "log")
    wait_until_it_says("here", tmp_path / "log")
    stop([(process, signal.SIGTERM)], within_s=0.3)
    assert process.returncode == -signal.SIGKILL


def test_a_server_sees_nothing_of_the_users_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1k")
    show = (sys.executable, "-c", "import os; print(sorted(os.environ))")
    spawn(Launch(show, cwd=Path("/")), tmp_path / "log").wait(10)
    assert last_lines(tmp_path / "log", 1) == ["['LC_ALL', 'PATH', 'TZ']"]


def test_the_last_lines_of_a_long_log_are_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert last_lines(log, 2) == ["line 99998", "line 99999"]
    assert last_lines(tmp_path / "none", 2) == []


def test_a_followed_log_gives_whole_lines_and_begins_anew_with_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    assert list(recent({"x": log}, 5)) == [("x", "old")]
    monkeypatch.setattr("olist.stack.processes.time.sleep", lambda _s: log.write_text("new one\nnew two\nhal"))
    lines = follow({"x": log})
    log.unlink()
    assert [next(lines), next(lines)] == [("x", "new one"), ("x", "new two")]


def test_a_port_in_use_is_refused_with_its_owner_and_its_variable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        postgres = servers(Settings(home=tmp_path, postgres_port=port), ["postgres"]).values()
        with pytest.raises(StackError, match=rf"postgres needs port {port}, taken by .*pid {os.getpid()}") as caught:
            require_free(postgres)
    assert "OLIST_POSTGRES_PORT" in caught.value.hint


def test_free_ports_step_over_those_in_use() -> None:
    first = free_ports(2, after=31000)[0]
    with socket.create_server(("127.0.0.1", first + 1)):
        assert first + 1 not in free_ports(2, after=first)


def test_one_home_has_one_supervisor(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    assert home.supervisor() is None
    with home.claim():
        assert home.supervisor() == os.getpid()
        with pytest.raises(StackError, match="another supervisor"):
            home.claim()
    assert home.supervisor() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give its data to another user")
def test_data_below_a_private_folder_lies_elsewhere_until_its_home_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as shared, tempfile.TemporaryDirectory() as private:
        Path(shared).chmod(0o755)
        monkeypatch.setattr(unprivileged, "SHARED", Path(shared))
        first, second = Path(private, "first", "data"), Path(private, "second", "data")
        elsewhere = reachable_folder(first, NOBODY)
        assert (elsewhere.parent, elsewhere.stat().st_uid) == (Path(shared), NOBODY)
        assert reachable_folder(first, NOBODY) == elsewhere
        first.unlink()
        reachable_folder(second, NOBODY)
        assert not elsewhere.exists()


def test_a_server_that_is_named_by_a_setting_is_external(tmp_path: Path) -> None:
    chosen = Settings(home=tmp_path, kafka="elsewhere:9092", postgres=None, s3="http://elsewhere", opensearch=None)
    external = {name for name, server in servers(chosen).items() if server.external}
    assert external == {"kafka", "s3"}


def test_an_unknown_server_is_refused_with_the_known_names(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such server: redis") as caught:
        servers(Settings(home=tmp_path), ["kafka", "redis"])
    assert "kafka, postgres, s3, opensearch" in caught.value.hint


@pytest.mark.parametrize(
    ("release", "problem"), [('JAVA_VERSION="17.0.15"', "is Java 17; 21 is the least"), ("", "holds no Java")]
)
def test_a_java_that_is_too_old_or_none_is_refused(tmp_path: Path, release: str, problem: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    (tmp_path / "release").write_text(release)
    with pytest.raises(StackError, match=problem):
        java_home(Settings(java_home=tmp_path))
