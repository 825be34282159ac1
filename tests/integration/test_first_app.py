"""docs/first-app.md, done as it says: its file, its commands, its rows in both targets, and its change."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import ORDER_PAYMENTS, OrderPayment
from stream_apps.deploy import stack_hooks
from stream_apps.deploy.store import Deployment
from tests.waiting import wait_until
from tests.written import Writer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "first-app.md").read_text("utf-8")
NAME = "payment_mix"
WITHIN_S = 240.0


def one(pattern: str) -> str:
    """The only place of the page that matches."""
    (found,) = re.findall(pattern, PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def command(begin: str) -> list[str]:
    """The page's only command that begins so, its comment and its ampersand left out."""
    line = one(rf"^\.venv/bin/(olist {re.escape(begin)}(?=\s)[^\n]*)")
    return shlex.split(re.split(r"\s{4,}| &$", line)[0])[1:]


@dataclass
class Reader:
    """Someone who follows the page, in a checkout of their own."""

    settings: Settings
    checkout: Path

    @property
    def file(self) -> Path:
        """The app's."""
        return self.checkout / "stream_apps" / "apps" / f"{NAME}.py"

    def environment(self) -> dict[str, str]:
        """The checkout's stream_apps, and all else as it is installed."""
        return {**self.settings.environment(), "PYTHONPATH": str(self.checkout)}

    def python(self, *arguments: str, typed: str = "") -> str:
        """Run Python to its end; what it printed."""
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=self.settings.home,
            env=self.environment(),
            input=typed,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def olist(self, begin: str, typed: str = "") -> str:
        """Run the page's command."""
        return self.python("-m", "olist", *command(begin), typed=typed)

    @contextmanager
    def sinks(self, *targets: str) -> Iterator[None]:
        """Of some targets, until left."""
        argv = [sys.executable, "-P", "-m", "olist"]
        begun = [
            subprocess.Popen([*argv, *command(f"sink run {target}")], cwd=self.settings.home, env=self.environment())
            for target in targets
        ]
        try:
            yield
        finally:
            for process in begun:
                process.send_signal(signal.SIGTERM)
            assert {process.wait(60) for process in begun} == {0}

    def in_search(self) -> list[dict[str, Any]]:
        """What the page's search finds."""
        query = one(r"^curl -s 'localhost:\d+(/[^']*)'")
        answer = requests.get(f"{self.settings.opensearch_url}{query}", timeout=30).json()
        return [hit["_source"] for hit in answer.get("hits", {}).get("hits", [])]


@pytest.fixture
def reader(flink_stack: Stack, tmp_path: Path) -> Iterator[Reader]:
    """With servers that run; nothing is left of the app."""
    settings = flink_stack.settings.model_copy(update={"topic_prefix": "firstapp.public"})
    shutil.copytree(ROOT / "stream_apps", tmp_path / "stream_apps", ignore=shutil.ignore_patterns("__pycache__"))
    made = Reader(settings, tmp_path)
    yield made
    if Deployment.of(settings, NAME).record() is not None:
        made.olist(f"apps delete {NAME}")
    stack_hooks.end(settings)


def pay(writer: Writer, order: str, kind: str, instalments: int, value: str) -> None:
    writer.create(ORDER_PAYMENTS, [OrderPayment(order, 1, kind, instalments, Decimal(value))])


@pytest.mark.timeout(600)
def test_the_page_leads_to_rows_in_both_targets_and_to_a_changed_app(reader: Reader) -> None:
    writer = Writer(reader.settings)
    pay(writer, "o1", "credit_card", 3, "10.50")
    pay(writer, "o2", "credit_card", 4, "20.00")
    pay(writer, "o3", "boleto", 1, "7.25")

    reader.file.write_text(one(r"^```python\n(\"\"\".*?)^```"))
    assert NAME in reader.olist("apps list")
    assert f"{NAME}: version 1 is healthy" in reader.olist(f"apps deploy {NAME}")
    with reader.sinks("opensearch", "iceberg"):
        reader.olist("check")
        cards = {"payment_type": "credit_card", "payments": 2, "paid": "30.50", "instalments": 7}
        wait_until(lambda: len(reader.in_search()) == 2, "both rows to be found")
        found, _ = reader.in_search()
        assert {name: str(found[name]) for name in cards} == {name: str(value) for name, value in cards.items()}
        in_lake = reader.python("-c", one(r"^\.venv/bin/python -c \"\n(.*?)\"\n"))
        assert re.search(r"credit_card\s+\W 2\s+\W 30.50\s+\W 7 ", in_lake), in_lake
    assert "payment_type=credit_card payments=2, paid=30.50" in reader.olist("topics tail payment_mix")

    column, expression = one(r"^```python\n( {4}average.*?)^```"), one(r"^```sql\n(.*?)^```")
    code = reader.file.read_text()
    for after, more in (("    instalments: Long\n", column), ("AS instalments,\n", expression)):
        assert code.count(after) == 1
        code = code.replace(after, after + more)
    reader.file.write_text(code)
    assert "restored, old rows not rewritten" in reader.olist(
        f"apps upgrade {NAME}    ", typed="y\n"
    )  # not with --plan
    pay(writer, "o4", "credit_card", 3, "1.00")
    with reader.sinks("opensearch"):
        wait_until(lambda: "3.33" in str(reader.in_search()), "the average to be found")
    reader.olist(f"apps delete {NAME}")
