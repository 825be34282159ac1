"""Small apps of the tests' own, deployed by `olist apps` as a user would, over a load that goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import msgspec
import polars as pl
import requests

from olist.settings import Settings
from olist.tables import ORDERS, Order
from stream_apps.loader import load_app
from tests.shops import latest
from tests.waiting import wait_until
from tests.written import Writer

ROOT = Path(__file__).parents[1]
STATUSES = ("created", "approved", "shipped", "delivered", "canceled", "unavailable")
COMMAND_WITHIN_S = 400.0


def olist(settings: Settings, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `olist` in a process of its own and expect an exit code."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "olist", *arguments],
        cwd=settings.home,
        env={**settings.environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=COMMAND_WITHIN_S,
        check=False,
    )
    assert done.returncode == code, f"olist {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def begin(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    """Start `olist` in a process of its own, to be waited for or ended by the test."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "olist", *arguments],
        cwd=settings.home,
        env={**settings.environment(), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def following(settings: Settings, name: str, sources: set[str]) -> Iterator[Iterator[str]]:
    """Follow an app's log, which all these write; gives the lines that were not there before."""
    told = olist(settings, "apps", "logs", name, "-n", "200").stdout.splitlines(keepends=True)
    assert {line.partition(" ")[0] for line in told} >= sources
    reading = begin(settings, "apps", "logs", name, "-f", "-n", "1")
    assert reading.stdout is not None
    assert reading.stdout.readline()
    try:
        yield (line for line in reading.stdout if line not in told)
    finally:
        reading.terminate()
        reading.communicate(timeout=60)


def status(settings: Settings, name: str) -> dict[str, Any]:
    """`olist apps status NAME -o json`, whatever it says."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "olist", "apps", "status", name, "-o", "json"],
        cwd=settings.home,
        env={**settings.environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=COMMAND_WITHIN_S,
        check=False,
    )
    assert done.stdout, done.stderr
    (found,) = msgspec.json.decode(done.stdout)
    assert isinstance(found, dict)
    return found


def served(settings: Settings, sample: str) -> float:
    """One of the supervisor's metrics; -1 when it serves none of that name."""
    text = requests.get(f"http://127.0.0.1:{settings.metrics_port}/metrics", timeout=10).text
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(sample)]
    return float(found[0]) if found else -1.0


def wait_until_served(settings: Settings, app: str, *, lag: range) -> None:
    """Until the supervisor tells that an app has so many records to read, and whether they wait."""

    def told(metric: str) -> float:
        return served(settings, f'olist_deployed_app_{metric}{{app="{app}"}}')

    wait_until(lambda: told("lag_records") in lag, f"the supervisor to tell that {app} has {lag} records to read")
    waited = told("waiting_seconds")
    assert 0 < waited < COMMAND_WITHIN_S if lag.start else waited == 0, waited


class Load:
    """Orders that are created and change their status, until paused. `orders` are the newest rows."""

    def __init__(self, settings: Settings, seed: int = 1) -> None:
        self.orders: dict[str, Order] = {}
        self.writer = Writer(settings)
        self.random = Random(seed)
        self.flowing, self.ending = threading.Event(), threading.Event()
        self.between = threading.Lock()
        self.thread = threading.Thread(target=self._go, name="load")
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self.write(200)
        self.flowing.set()
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self.thread.join()
        if self.failure is not None:
            raise self.failure

    def pause(self) -> None:
        """Return when nothing is written any more; `write` does it still."""
        self.flowing.clear()
        with self.between:
            return

    def go_on(self) -> None:
        """Write again."""
        self.flowing.set()

    def write(self, count: int) -> None:
        """So many changes: two of three are of orders that are there."""
        for _ in range(count):
            if self.orders and self.random.random() < 0.67:
                before = self.random.choice(list(self.orders.values()))
                after = msgspec.structs.replace(before, order_status=self.random.choice(STATUSES))
                self.writer.update(ORDERS, before, after)
            else:
                after = _order(f"o{len(self.orders)}", f"c{self.random.randrange(50)}", self.random.choice(STATUSES))
                self.writer.create(ORDERS, [after])
            self.orders[after.order_id] = after

    def _go(self) -> None:
        try:
            while not self.ending.wait(0.05):
                with self.between:  # first, or a pause could come between the look and the write
                    if self.flowing.is_set():
                        self.write(5)
        except BaseException as error:  # noqa: BLE001 - told to the test when it leaves
            self.failure = error


def _order(order_id: str, customer_id: str, order_status: str) -> Order:
    return Order(
        order_id=order_id,
        customer_id=customer_id,
        order_status=order_status,
        order_purchase_timestamp=1_500_000_000_000_000,
        order_approved_at=None,
        order_delivered_carrier_date=None,
        order_delivered_customer_date=None,
        order_estimated_delivery_date=1_500_000_000_000_000,
    )


def by_status(orders: Mapping[str, Order]) -> dict[str, list[Order]]:
    """Orders by their status."""
    found: dict[str, list[Order]] = defaultdict(list)
    for order in orders.values():
        found[order.order_status].append(order)
    return dict(found)


Rows = dict[Any, dict[str, Any]]


def rows(settings: Settings, code: Path) -> Rows:
    """The newest rows of an app's only output, by its only key column, deleted ones left out."""
    (contract,) = load_app(code).outputs
    frame: pl.DataFrame = latest(settings, contract)
    return {row[contract.key[0]]: row for row in frame.iter_rows(named=True)}


def expect_rows(settings: Settings, code: Path, load: Load, oracle: Callable[[Mapping[str, Order]], Rows]) -> None:
    """Pause the load, wait until the output is what the oracle says of all orders, and let the load go on."""
    load.pause()
    wanted = oracle(load.orders)
    found: list[Rows] = []

    def equal() -> bool:
        found[:] = [rows(settings, code)]
        return found[0] == wanted

    try:
        wait_until(equal, f"the rows of {code.stem}", within_s=90)
    except AssertionError as error:
        raise AssertionError(f"{error}\nfound  {found[0]}\nwanted {wanted}") from None
    load.go_on()
