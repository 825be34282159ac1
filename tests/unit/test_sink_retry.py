from __future__ import annotations

from threading import Event

import pytest

from olist.errors import Fenced, ServerTrouble
from sinks.runtime.retry import Retry


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Instant(Event):
    """An event whose waits take no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def retry(limit_s: float = 1_000, stopping: Event | None = None) -> Retry:
    return Retry(limit_s, stopping or Instant(), Clock())


def failing(times: int) -> tuple[list[str], object]:
    calls: list[str] = []

    def attempt() -> str:
        calls.append("attempt")
        if calls.count("attempt") <= times:
            raise ServerTrouble("s3", "503")
        return "done"

    return calls, attempt


def test_a_server_that_is_away_is_asked_again_until_it_answers() -> None:
    calls, attempt = failing(3)
    assert retry().call("x", attempt) == "done"  # type: ignore[arg-type]
    assert calls == ["attempt"] * 4


def test_trouble_that_outlasts_the_limit_is_raised() -> None:
    calls, attempt = failing(1_000)
    with pytest.raises(ServerTrouble, match="s3: 503"):
        retry(limit_s=5).call("x", attempt)  # type: ignore[arg-type]
    assert 1 < len(calls) < 10


def test_a_process_that_is_asked_to_stop_does_not_wait() -> None:
    stopping = Instant()
    stopping.set()
    calls, attempt = failing(1_000)
    with pytest.raises(ServerTrouble):
        retry(stopping=stopping).call("x", attempt)  # type: ignore[arg-type]
    assert calls == ["attempt"]


def test_what_is_no_server_trouble_is_never_retried() -> None:
    calls: list[int] = []

    def fenced() -> None:
        calls.append(1)
        raise Fenced("zombie")

    with pytest.raises(Fenced):
        retry().call("x", fenced)
    assert calls == [1]
