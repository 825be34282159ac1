"""`olist download` and `olist generate`: the real data set, with the user's own Kaggle account, or a synthetic one."""

from __future__ import annotations

import contextlib
import importlib
import io
from pathlib import Path
from typing import Any

import click

from olist.errors import BadInput, ServerTrouble

DATASET = "olistbr/brazilian-ecommerce"
ARCHIVE = "brazilian-ecommerce.zip"
LICENCE = "CC BY-NC-SA 4.0, by Olist"
GET_CREDENTIALS = (
    "make an API token on kaggle.com/settings/api and set KAGGLE_API_TOKEN, or save it as ~/.kaggle/access_token "
    "(an older kaggle.json is taken too)"
)


@click.command("download")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True)
def download(out: Path) -> None:
    """Fetch the Brazilian E-Commerce data set by Olist from Kaggle (45 MB).

    Needs the `kaggle` package (pip install 'olist-streams[kaggle]') and an account's API token.
    """
    from olist.source.files import read_files

    fetch(out)
    archive = out / ARCHIVE
    read_files(archive)
    click.echo(f"{archive} ({LICENCE}); next: olist replay --data {archive}")


def fetch(folder: Path) -> None:
    """Download the zip into a folder.

    Raises:
        BadInput: no `kaggle` package, or no credentials for it.
        ServerTrouble: Kaggle did not answer, or refused.
    """
    api = _signed_in()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        api.dataset_download_files(DATASET, path=str(folder), quiet=False)
    except OSError as error:  # which requests' errors are
        raise ServerTrouble("kaggle.com", str(error), hint=f"{GET_CREDENTIALS}; without: `olist generate`") from error


def _signed_in() -> Any:
    """Kaggle's client. It prints a page of advice and leaves the process when it finds no credentials."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            api = importlib.import_module("kaggle").api
            api.authenticate()
    except ImportError as error:
        raise BadInput(
            f"the kaggle package cannot be used: {error}",
            hint="pip install 'olist-streams[kaggle]'; without an account: `olist generate`",
        ) from error
    except (OSError, SystemExit, ValueError) as error:
        raise BadInput("there are no Kaggle credentials", hint=GET_CREDENTIALS) from error
    return api


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
