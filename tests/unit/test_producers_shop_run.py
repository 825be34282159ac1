"""The run into the shop on a database that breaks when told to: what is written, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import polars as pl
import psycopg
import pytest

import producers.shop.replay as replay
from olist.errors import ServerTrouble, Stopped
from olist.settings import Settings
from olist.source import Dataset, load
from producers.progress import Progress
from producers.rate import Pace
from producers.sequence import SEQ, sequence
from producers.shop.replay import STALL_S, Plan, Run, name_of
from producers.shop.transactions import Transaction, transactions
from producers.shop.writer import Done
from tests.unit.producers_dataset import files, small_shop, write_folder


class Database:
    """Holds the numbers of the changes that were committed; `before_write` may break the connection, or more."""

    def __init__(self, done: Done | None) -> None:
        self.done = done
        self.numbers: list[int] = []
        self.before_write: Callable[[], None] = lambda: None
        self.after_write: Callable[[], None] = lambda: None

    def write(self, fingerprint: str, due: Iterable[Transaction]) -> None:
        self.before_write()
        for transaction in due:
            assert self.done == Done(fingerprint, transaction.before)
            self.done = Done(fingerprint, transaction.after)
            self.numbers += range(transaction.before + 1, transaction.after + 1)
        self.after_write()


class Writer:
    """The shop's writer, on that database."""

    def __init__(self, database: Database) -> None:
        self.write = database.write
        self.done = lambda: database.done


class Clock:
    """Moves on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load(write_folder(tmp_path, files(small_shop())))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("producers.shop.replay.time.sleep", made.sleep)
    return made


@pytest.fixture
def run_on(dataset: Dataset, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[Database, int, Pace], Run]:
    """A run of what comes after a number, on a database."""

    def made(database: Database, done: int, pace: Pace) -> Run:
        @contextmanager
        def connect(_settings: Settings) -> Iterator[Database]:
            yield database

        monkeypatch.setattr(replay, "connect", connect)
        monkeypatch.setattr(replay, "Writer", Writer)
        changes = sequence(dataset.frames).filter(pl.col(SEQ) > done)
        return Run(Settings(), Plan(dataset, changes, done), pace, Progress(total=changes.height), clock)

    return made


RunOn = Callable[[Database, int, Pace], Run]


def middle(dataset: Dataset) -> tuple[int, int]:
    """The ends of two transactions that follow on each other."""
    made = transactions(dataset.frames, sequence(dataset.frames), 0)
    return made[1].after, made[2].after


def test_a_shop_that_went_back_behind_the_plan_gets_nothing_rather_than_a_gap(dataset: Dataset, run_on: RunOn) -> None:
    earlier, later = middle(dataset)
    for held in (Done(name_of(dataset), earlier), Done("", 0), Done("another.1", later), None):
        database = Database(held)
        with pytest.raises(Stopped, match="the shop went back"):
            run_on(database, later, Pace()).go()
        assert database.numbers == []


def test_commits_of_this_run_that_a_crash_took_back_are_written_again(dataset: Dataset, run_on: RunOn) -> None:
    earlier, later = middle(dataset)
    database = Database(Done(name_of(dataset), earlier))
    run = run_on(database, earlier, Pace(rate=1.0))

    def crash() -> None:
        if database.done == Done(name_of(dataset), later):
            database.done = Done(name_of(dataset), earlier)
            database.before_write = lambda: None
            raise psycopg.OperationalError("gone")

    database.before_write = crash
    run.go()
    whole = sequence(dataset.frames).height
    assert database.numbers == [*range(earlier + 1, later + 1), *range(earlier + 1, whole + 1)]
    assert run.sent == whole - earlier


def test_a_restart_after_a_long_wait_for_what_is_due_is_ridden_out(dataset: Dataset, run_on: RunOn) -> None:
    database = Database(Done(name_of(dataset), 0))
    some, _more = middle(dataset)
    broken: list[str] = []

    def restart(name: str) -> None:
        if len(database.numbers) >= some and name not in broken:
            broken.append(name)
            raise psycopg.OperationalError("gone")

    database.after_write = partial(restart, "answer")  # it is committed, so that nothing is due when PostgreSQL is back
    database.before_write = partial(restart, "next write")
    run = run_on(database, 0, Pace(rate=1 / (2 * STALL_S)))
    run.go()
    assert broken == ["answer", "next write"]
    assert len(database.numbers) == sequence(dataset.frames).height


def test_a_database_that_answers_but_takes_nothing_is_given_up(
    dataset: Dataset, clock: Clock, run_on: RunOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "AGAIN_AFTER_S", 10.0)
    database = Database(Done(name_of(dataset), 0))

    def full() -> None:
        raise psycopg.errors.DiskFull("no space left on device")

    database.before_write = full
    with pytest.raises(ServerTrouble, match="no space left"):
        run_on(database, 0, Pace()).go()
    assert STALL_S < clock.now <= STALL_S + 10


def test_a_stop_is_heeded_while_the_database_is_away(dataset: Dataset, run_on: RunOn) -> None:
    database = Database(Done(name_of(dataset), 0))
    run = run_on(database, 0, Pace())

    def stopped() -> None:
        run.progress.stopped_by = 15
        raise psycopg.OperationalError("gone")

    database.before_write = stopped
    run.go()
    assert run.sent == 0
    assert run.progress.trouble == "gone"


def test_transactions_that_would_leave_a_gap_are_refused(dataset: Dataset) -> None:
    earlier, later = middle(dataset)
    changes = sequence(dataset.frames).filter(pl.col(SEQ) > later)
    with pytest.raises(ValueError, match=f"change {later + 1} does not follow on change {earlier}"):
        transactions(dataset.frames, changes, earlier)
