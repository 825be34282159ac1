"""`olist demo`: the main job, end to end, on this machine.

Servers up, apps deployed, sinks running, the orders replayed onto topics, and a check that the targets hold exactly
what the topics say. Every step is a command that a user can run by hand; the demo only runs them in order and watches.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import click

from olist.contracts import Target
from olist.errors import OlistError
from olist.settings import Settings, settings
from olist.stack.local import Stack
from olist.stack.processes import last_lines, spawn, stop
from olist.stack.servers.catalogue import USUAL
from olist.stack.servers.server import Launch
from olist.stack.view import LiveProgress
from olist.terminal import console

SINK_STOPS_WITHIN_S = 30.0
LOOK_EVERY_S = 0.2
REAL_DATA = Path("../shared/olist/brazilian-ecommerce.zip")
GENERATED_ORDERS = 20_000
APPS_READ_WITHIN_S = 900


@click.command("demo")
@click.option("--data", type=click.Path(path_type=Path), help="The Kaggle zip or its unpacked folder.")
@click.option(
    "--via",
    type=click.Choice(["kafka", "postgres"]),
    default="kafka",
    help="Straight onto the topics, or through the shop's database and Debezium.",
)
@click.option("--core", is_flag=True, help="Without Flink and the apps that run on it: for a small machine.")
@click.option("--fresh", is_flag=True, help="Empty this folder's servers first; without it a second run resumes.")
@click.option("--keep", is_flag=True, help="Leave the servers running, to look around.")
def command(data: Path | None, via: str, core: bool, fresh: bool, keep: bool) -> None:
    """Replay the Olist orders through topics and apps into three targets, and prove that they hold what the topics say.

    \b
    olist demo                       the real data set when it is there, else a generated one
    olist demo --data olist.zip      a data set of yours
    olist demo --fresh --keep        from empty servers, which stay up
    olist demo --via postgres        the shop's database and change data capture instead of the direct road
    olist demo --core                without Flink, for a small machine
    """
    current, started = settings(), time.monotonic()
    captured = via == "postgres"
    stack = Stack(current, _servers(captured=captured, core=core), tied=not keep)
    if fresh:
        _olist(current, "down", "--delete", "--yes")
    try:
        with LiveProgress(console(stderr=True)) as progress:
            stack.up(progress)
        said("servers are up", started)
        source = data or _default_data(current)
        if captured:
            _olist(current, "shop", "migrate")
            _olist(current, "connect", "apply", "--yes")
            said("the shop's database is captured", started)
        _olist(current, "apps", "deploy", "--all", *(["--engine", "faust"] if core else []))
        said("the apps are deployed", started)
        with _sinks(current) as sinks:
            _run(current, sinks, "replay", "--data", str(source), "--to", via)
            if captured:
                said("every change is in the shop's database", started)
                _run(current, sinks, "connect", "wait")
            said("every change is on its topic", started)
            _run(current, sinks, "apps", "wait", "--within", str(APPS_READ_WITHIN_S))
            said("the apps have read them all", started)
            _run(current, sinks, "check", "--wait", "300s", "--data", str(source))
        said("the targets hold exactly what the topics say", started)
        _olist(current, "marts", "apply")
        said("the warehouse's marts are there", started)
    finally:
        if not keep:
            _olist(current, "down")
    _say_what_next(keep)


def _servers(*, captured: bool, core: bool) -> list[str]:
    """What the road and the apps need beside the usual servers."""
    capture = ["connect"] if captured else []
    flink = [] if core else ["jobmanager", "taskmanager"]
    return [*USUAL, *capture, *flink]


def said(what: str, started: float) -> None:
    """One line of progress with the time since the start."""
    console(stderr=True).print(f"[green]✓[/green] {what} [dim]({time.monotonic() - started:.0f} s)[/dim]")


def _default_data(current: Settings) -> Path:
    """The real data set beside the checkout, else a generated one, made once per home."""
    if REAL_DATA.exists():
        return REAL_DATA
    made = current.home / "generated"
    if not made.exists():
        console(stderr=True).print(
            "no data set given: generating one with the real one's shapes (see `olist generate --help`)"
        )
        _olist(current, "generate", "--orders", str(GENERATED_ORDERS), "--seed", "1", "--out", str(made))
    return made


@contextmanager
def _sinks(current: Settings) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """One process per target; asked to stop at the end, and dead with this process in any case."""
    processes = {target: spawn(_launch(current, "sink", "run", target), _log(current, target)) for target in _targets()}
    try:
        yield processes
    finally:
        stop([(process, signal.SIGTERM) for process in processes.values()], SINK_STOPS_WITHIN_S)


def _run(current: Settings, sinks: dict[str, subprocess.Popen[bytes]], *arguments: str) -> None:
    """Run a command in the foreground; a sink that ends meanwhile ends the demo with its last words."""
    with subprocess.Popen(_argv(*arguments), env=current.environment()) as process:
        while process.poll() is None:
            if dead := [target for target, sink in sinks.items() if sink.poll() is not None]:
                process.terminate()
                raise OlistError(_last_words(current, dead), hint=f"the whole log: {_log(current, dead[0])}")
            time.sleep(LOOK_EVERY_S)
    if process.returncode:
        raise OlistError(f"`olist {' '.join(arguments)}` ended with code {process.returncode}")


def _olist(current: Settings, *arguments: str) -> None:
    if code := subprocess.run(_argv(*arguments), env=current.environment(), check=False).returncode:
        raise OlistError(f"`olist {' '.join(arguments)}` ended with code {code}")


def _last_words(current: Settings, dead: Sequence[str]) -> str:
    return "\n".join(f"the {t} sink ended:\n  " + "\n  ".join(last_lines(_log(current, t), 12)) for t in dead)


def _launch(current: Settings, *arguments: str) -> Launch:
    return Launch(tuple(_argv(*arguments)), cwd=Path.cwd(), env=current.environment())


def _argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "olist", *arguments]


def _log(current: Settings, target: str) -> Path:
    return current.home / "logs" / f"sink-{target}.log"


def _targets() -> tuple[str, ...]:
    return get_args(Target)


def _say_what_next(keep: bool) -> None:
    up = "" if keep else "olist up                        the same servers with the same data\n"
    console(stderr=True).print(
        f"\n[bold]Look around[/bold] (.venv/bin is where `olist` lives)\n{up}"
        "olist topics ls                 the topics; `olist topics tail orders -n 5` decodes changes\n"
        "olist sink status               how far each target stands behind its topic\n"
        "olist apps status               the stream apps: state, lag, freshness\n"
        "olist marts list                the warehouse's views for BI tools\n"
        "olist check --explain           compare again; names the keys that differ\n"
        "olist down                      stop the servers; `--delete` empties them"
    )
