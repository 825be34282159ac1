"""A job file: all that the driver needs to run an app, rendered from app and settings; and its compiled plan."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from olist.errors import BadInput, StackError
from olist.settings import Settings
from olist.stack.servers.artefacts import locked
from olist.stack.servers.flink_config import flink_environment
from olist.stack.servers.install import Installer
from olist.stack.servers.java import java_home
from stream_apps.app import FlinkApp
from stream_apps.flink.ddl import insert, names, statements, topic_table
from stream_apps.flink.plan_cache import cached, without_places
from stream_apps.flink.state_ttl import Remembered, forgetting

DRIVER = Path(__file__).with_name("pyflink_driver.py")
COMPILE_WITHIN_S = 180.0
LAST_LINES = 15

OPTIONS: Mapping[str, str] = {
    "table.local-time-zone": "UTC",
    # Changes of one key within this time are folded before they touch state, and before they leave.
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "300 ms",
    "table.exec.mini-batch.size": "5000",
    # Keys are many and even; a second operator in front of each aggregate costs more than it folds.
    "table.optimizer.agg-phase-strategy": "ONE_PHASE",
    # One operator for all joins by one key. The joins by twos are wrong where a sink takes upserts: a row on the inner
    # side of an outer join that was changed and then deleted takes the outer row with it (FLINK-40681, open in 2.2).
    "table.optimizer.multi-join.enabled": "true",
    # How far a job can be scaled without losing its state.
    "pipeline.max-parallelism": "128",
}


class Job(msgspec.Struct, frozen=True):
    """What a job file holds: see `pyflink_driver.py`."""

    name: str
    options: dict[str, str]
    statements: list[str]
    insert: str
    remembered: dict[str, Remembered]  # by the names of Flink's tables


def job_of(settings: Settings, app: FlinkApp, generation: str = "") -> Job:
    """An app as a job; pure. `generation` sets a rebuild apart: its group, its transactions, its name."""
    named = names(settings, app, generation)
    remembered = {
        topic_table(contract): Remembered(app.state_ttl[contract.table] // timedelta(milliseconds=1), contract.key)
        for contract in app.reads
        if contract.table in app.state_ttl
    }
    return Job(named.id, dict(OPTIONS), statements(settings, app, generation), insert(settings, app), remembered)


def encode(job: Job) -> bytes:
    """The file's content, indented, so that two versions can be compared by eye."""
    return msgspec.json.format(msgspec.json.encode(job), indent=2) + b"\n"


def text_of(job: Job) -> str:
    """Its statements, as people read them."""
    return ";\n\n".join([*job.statements, job.insert]) + ";\n"


def compile_plan(settings: Settings, job: Path, plan: Path) -> None:
    """Write the plan of a job file, in a process of PyFlink's own environment; takes 5-15 s, and no cluster.

    One that was compiled before comes from the user's cache. The states of what the job remembers for a time have that
    time in the plan.

    Raises:
        BadInput: Flink refuses the statements; its last words say why.
        StackError: there is no PyFlink, no Java, or no end to it.
    """
    whole = msgspec.json.decode(job.read_bytes(), type=Job)
    bare = replace(whole, name="plan", statements=[without_places(one) for one in whole.statements], remembered={})
    environment, connectors = flink_environment(settings), locked("flink")
    made_from = (bare, environment.version, [(jar.coordinate, jar.sha256) for jar in connectors], DRIVER.read_text())
    made = cached(settings.cache / "flink-plans", made_from, lambda: _compiled(settings, bare, told=job))
    plan.write_bytes(forgetting(made, whole.remembered))


def _compiled(settings: Settings, job: Job, told: Path) -> bytes:
    """As PyFlink makes it. Flink's own variables are left out: they could name another configuration."""
    jars = ";".join(Installer(settings.cache).path(jar).as_uri() for jar in locked("flink"))
    variables = {name: value for name, value in settings.environment().items() if not name.startswith("FLINK_")}
    with tempfile.TemporaryDirectory(prefix="olist-plan-") as folder:
        file, plan = Path(folder, "job.json"), Path(folder, "plan.json")
        file.write_bytes(encode(job))
        try:
            done = subprocess.run(
                [str(flink_environment(settings).python), str(DRIVER), "compile", str(file), str(plan), jars],
                env={**variables, "JAVA_HOME": str(java_home(settings))},
                capture_output=True,
                text=True,
                timeout=COMPILE_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"{told}: no plan within {COMPILE_WITHIN_S:g} s") from error
        if done.returncode:
            raise BadInput(f"{told}: Flink refuses it\n{last_words(done.stderr)}", hint="mend the app's SELECT")
        return plan.read_bytes()


def last_words(output: str) -> str:
    """The causes that a Java stack trace names, else its last lines."""
    lines = output.splitlines()
    causes = [line for line in lines if line.startswith(("Caused by", ": org.apache"))]
    return "\n".join(causes or lines[-LAST_LINES:])
