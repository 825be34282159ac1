"""How a command ends, and how it looks in a file, a pipe and on terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from olist.cli import main as cli
from olist.errors import BadInput
from olist.settings import Settings, settings
from tests.commands import on_terminal


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a child: a home of its own whose path is longer than most terminals are wide, where nothing runs."""
    home = tmp_path / ("a-folder-with-a-long-name" * 3)
    return {**Settings(home=home).environment(), "TERM": "xterm-256color"}


def olist(environment: dict[str, str], *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "olist", *arguments]
    return subprocess.run(command, env={**environment, **more}, capture_output=True, check=False)


Ended = Callable[..., int]


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ended]:
    """Runs `olist`, whose only command does what it is given; the exit code."""
    monkeypatch.setenv("OLIST_HOME", str(tmp_path))
    settings.cache_clear()

    def run(does: Callable[[], object], *options: str) -> int:
        command = click.Command("it", callback=does)
        monkeypatch.setattr(cli.InstalledCommands, "get_command", lambda *_: command)
        monkeypatch.setattr(sys, "argv", ["olist", *options, "it"])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code

    yield run
    settings.cache_clear()


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_an_error_of_ours_is_its_message_and_the_way_out(ended: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(failing(BadInput("no \x1b[31mfile", hint="make one"))) == 1
    assert capsys.readouterr().err == "BadInput: no \\x1b[31mfile\n  way out: make one\n"


def test_a_fault_is_one_line_and_its_trace_is_in_a_file(
    ended: Ended, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    assert ended(lambda: 1 // 0) == 1
    (trace,) = (tmp_path / "logs").glob("trace-*.txt")
    fault, where = capsys.readouterr().err.splitlines()
    assert fault == "a fault of olist itself: ZeroDivisionError: integer division or modulo by zero"
    assert str(trace) in where
    assert "Traceback (most recent call last)" in trace.read_text()
    assert trace.stat().st_mode & 0o077 == 0


def test_traces_of_faults_do_not_pile_up(ended: Ended, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(30):
        (logs / f"trace-20200101-0000{number:02}-old.txt").touch()
    ended(lambda: 1 // 0)
    assert len(list(logs.glob("trace-*"))) == 20
    assert not (logs / "trace-20200101-000000-old.txt").exists()


def test_without_logs_the_trace_is_among_the_temporary_files(
    ended: Ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended(lambda: 1 // 0)
    assert len(list(tmp_path.glob("trace-*.txt"))) == 1


@pytest.mark.parametrize("error", [BadInput("no"), ZeroDivisionError("no")])
def test_a_trace_is_printed_where_it_is_asked_for(
    error: Exception, ended: Ended, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(failing(error))
    assert "Traceback" not in capsys.readouterr().err
    ended(failing(error), "--traceback")
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("OLIST_LOG_LEVEL", "debug")
    settings.cache_clear()
    ended(failing(error))
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130_and_nothing_more(ended: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.strip() == ""


def test_a_question_answered_by_no_is_1(ended: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(failing(click.Abort())) == 1
    assert capsys.readouterr().err == "Aborted!\n"


def test_a_code_of_the_commands_own_stays(ended: Ended) -> None:
    assert ended(lambda: sys.exit(3)) == 3
    assert ended(failing(click.UsageError("wrong"))) == 2
    assert ended(lambda: None) == 0


def test_a_closed_socket_is_no_closed_pipe(ended: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(failing(BrokenPipeError(32, "Broken pipe"))) == 1
    assert "a fault of olist itself: BrokenPipeError" in capsys.readouterr().err


def test_a_pipe_without_a_reader_is_141_in_silence(environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "olist", "settings"]
    process = subprocess.Popen(command, env=environment, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, said = process.communicate()
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize("arguments", [["settings"], ["doctor"], ["status"], ["apps", "list"]], ids=" ".join)
def test_an_encoding_that_lacks_a_letter_is_no_error(arguments: list[str], environment: dict[str, str]) -> None:
    ended = olist(environment, *arguments, PYTHONIOENCODING="ascii", OLIST_S3_BUCKET="東京")
    assert ended.stderr == b""
    assert ended.stdout.isascii()


@pytest.mark.parametrize("command", ["settings", "doctor", "status"])
def test_paths_and_addresses_are_whole_on_a_narrow_terminal(command: str, environment: dict[str, str]) -> None:
    whole = "postgresql://olist@127.0.0.1:15432/olist" if command == "status" else environment["OLIST_HOME"]
    assert whole in on_terminal(environment, 60, command)[1]


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_neither_tables_nor_errors_have_colour_where_none_is_wanted(
    plain: dict[str, str], environment: dict[str, str]
) -> None:
    for arguments in (["settings"], ["compact", "--tables", "none"]):
        assert "\x1b" not in on_terminal({**environment, **plain}, 80, *arguments)[1]


def test_errors_are_red_on_a_terminal(environment: dict[str, str]) -> None:
    assert "\x1b[31m" in on_terminal(environment, 80, "compact", "--tables", "none")[1]


HEAVY = {
    *("boto3", "confluent_kafka", "faust", "jgo", "numpy", "opensearchpy", "polars", "prometheus_client", "psycopg"),
    *("pyarrow", "pydantic", "pyiceberg", "requests", "rich", "sqlalchemy", "structlog"),
}
COUNTED = """
import sys
from olist.cli.main import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported(environment: dict[str, str], *arguments: str) -> set[str]:
    """The packages that a command has loaded in the end."""
    command = [sys.executable, "-c", COUNTED, *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout
    return set(ended.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in ("apps", "topics", "up", "status", "stack", "replay", "generate")),
    ],
    ids=" ".join,
)
def test_a_help_text_loads_no_heavy_library(arguments: list[str], environment: dict[str, str]) -> None:
    if not arguments:
        environment = environment | {"_OLIST_COMPLETE": "bash_complete", "COMP_WORDS": "olist ", "COMP_CWORD": "1"}
    assert not HEAVY & imported(environment, *arguments)


@pytest.mark.parametrize(("words", "found"), [("olist top", "topics"), ("olist topics t", "tail")])
def test_a_shell_completes_commands_and_those_below_them(words: str, found: str, environment: dict[str, str]) -> None:
    asked = {"_OLIST_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    ended = subprocess.run(
        [sys.executable, "-c", COUNTED], env=environment | asked, capture_output=True, text=True, check=True
    )
    assert ended.stdout == f"plain,{found}\n"
