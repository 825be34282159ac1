"""`olist download`: the real data set from Kaggle, with the user's own account."""

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
