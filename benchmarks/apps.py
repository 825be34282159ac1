"""What a stream app costs per record, and how old a change is when the app's rows can be read.

python -m benchmarks.apps                                     every app, one after the other: a quarter of an hour
python -m benchmarks.apps --only order_documents --rate 500
python -m benchmarks.apps --engine flink --checkpoint-ms 500

Each app runs alone on servers of the benchmark's own, on empty topics. First the data set is written at full speed, and
CPU is counted until the app has read it; then a shop goes on where the data set ends, at a steady rate.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.app_inputs import Shop, ShopWriter
from benchmarks.app_run import FLINK_SERVERS, Cost, Latency, running
from benchmarks.replay import GENERATED_ORDERS
from benchmarks.report import machine
from benchmarks.servers import settings_for
from olist.errors import OlistError
from olist.settings import Settings, settings
from olist.source import load
from olist.stack.local import Stack
from producers.cli.replay_command import DEFAULT_DATA
from producers.generation.dataset import generate
from stream_apps.app import App
from stream_apps.catalogue import apps
from stream_apps.loader import engine_of

RUNS = 2


class Measured(msgspec.Struct):
    """One app. The costs are of runs one after the other: Flink's processes are warmer with each."""

    app: str
    engine: str
    costs: list[Cost]
    latency: Latency | None

    @property
    def best(self) -> Cost:
        """The cheapest run."""
        return min(self.costs, key=lambda cost: cost.cpu_s)


def measure(current: Settings, app: App, stack: Stack, data: Path, runs: int, rate: int, seconds: float) -> Measured:
    """Run an app so many times, each with a prefix of its own; the last run is timed as well."""
    dataset, found = load(data), Measured(app.name, engine_of(app), [], None)
    for number in range(runs):
        own = current.model_copy(update={"topic_prefix": f"{current.topic_prefix}.{app.name}{number}"})
        with running(own, app, stack) as one:
            found.costs.append(one.cost(data))
            if number == runs - 1 and seconds:
                found.latency = one.latency(ShopWriter(own, Shop.after(dataset)), rate, seconds)
    return found


def table_of(found: list[Measured]) -> Table:
    """A line per app."""
    shown = Table("app", "engine", box=None)
    costs = (
        "records in",
        "rows",
        "wall s",
        "CPU s",
        "us each",
        "first run",
        "each s and core",
        "state MB",
        "memory MB",
    )
    for heading in (*costs, "p50 ms", "p99 ms", "worst ms", "rows timed", "cores"):
        shown.add_column(heading, justify="right")
    for one in found:
        best, timed = one.best, one.latency
        shown.add_row(
            one.app,
            one.engine,
            f"{best.records:,}",
            f"{best.rows:,}",
            f"{best.wall_s:.0f}",
            f"{best.cpu_s:.1f}",
            f"{best.micros:.0f}",
            f"{one.costs[0].micros:.0f}",
            f"{1e6 / best.micros:,.0f}",
            "?" if best.state_bytes is None else f"{best.state_bytes / 1e6:.1f}",
            f"{best.memory_bytes / 1e6:.0f}",
            *([] if timed is None else [f"{ms:,.0f}" for ms in (timed.p50_ms, timed.p99_ms, timed.worst_ms)]),
            *([] if timed is None else [f"{timed.rows:,}", f"{timed.cores:.2f}"]),
        )
    return shown


@click.command()
@click.option("--only", help="Apps, comma separated; the default is every one.")
@click.option("--engine", type=click.Choice(["flink", "faust"]), help="Only this engine's.")
@click.option("--data", type=click.Path(path_type=Path), help="default: the real data set when there, else generated")
@click.option(
    "--runs", type=click.IntRange(1), default=RUNS, show_default=True, help="Of the costs; the best is shown."
)
@click.option("--rate", type=click.IntRange(1), default=300, show_default=True, help="Records a second, for latency.")
@click.option("--seconds", default=30.0, show_default=True, help="For so long; 0: no latency.")
@click.option(
    "--checkpoint-ms", type=click.IntRange(10), help="Between Flink's checkpoints; the default is the stack's."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def main(
    only: str | None,
    engine: str | None,
    data: Path | None,
    runs: int,
    rate: int,
    seconds: float,
    checkpoint_ms: int | None,
    output: str,
) -> None:
    """Measure the apps of `stream_apps`."""
    wanted = [app for app in apps().values() if engine in (None, engine_of(app))]
    if only is not None:
        if unknown := set(only.split(",")) - set(apps()):
            raise click.BadParameter(f"no app named {', '.join(sorted(unknown))}", param_hint="--only")
        wanted = [app for app in wanted if app.name in only.split(",")]
    console, told, found = Console(stderr=True), machine(), list[Measured]()
    with tempfile.TemporaryDirectory(prefix="olist-bench-") as folder:
        current = settings_for(Path(folder) / "home", settings())
        if checkpoint_ms is not None:
            current = current.model_copy(update={"flink_checkpoint_ms": checkpoint_ms})
        source = data or DEFAULT_DATA
        if not source.exists():
            source = Path(folder) / "data"
            generate(source, GENERATED_ORDERS, 1, lambda _done: None)
        flink = FLINK_SERVERS if any(engine_of(app) == "flink" for app in wanted) else ()
        try:
            with Stack(current, ["kafka", *flink], tied=True) as stack:
                stack.up()
                for app in wanted:
                    console.log(app.name)
                    found.append(measure(current, app, stack, source, runs, rate, seconds))
                    console.log(msgspec.json.encode(found[-1]).decode())
                stack.down()
                stack.delete()
        except OlistError as error:
            raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(msgspec.json.encode({"machine": told, "apps": found}))
        return
    Console(width=200).print(told, table_of(found))


if __name__ == "__main__":
    main()
