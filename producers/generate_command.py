"""`olist generate`: arguments in, a folder of nine files out."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("generate")
@click.option("--orders", type=click.IntRange(1), default=20_000, show_default=True, help="how many orders")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="same seed, same bytes")
@click.option("--out", type=click.Path(path_type=Path), help="the folder to make  [default: olist-<orders>-<seed>]")
def generate(orders: int, seed: int, out: Path | None) -> None:
    """Write a synthetic data set with the real one's shapes: its status mix, gaps, contradictions and odd texts.

    Any size, in the memory of 10,000 orders. `olist replay --data FOLDER` takes it like the real one.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from olist.terminal import console
    from producers.generation.dataset import generate as write_dataset

    folder = out or Path(f"olist-{orders}-{seed}")
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("orders"), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task("", total=orders)
        write_dataset(folder, orders, seed, lambda done: bar.update(task, completed=done))
    click.echo(f"{orders:,} orders in {folder}; next: olist replay --data {folder}")
