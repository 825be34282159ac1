"""`olist settings`: every setting, its value and where it came from."""

from __future__ import annotations

import click
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from olist.settings import Settings, settings


@click.command("settings")
def command() -> None:
    """List every setting with its environment variable, value and meaning; `*` marks what is not the default."""
    current = settings()
    table = Table("variable", "value", "meaning", box=None)
    for name, field in Settings.model_fields.items():
        value = getattr(current, name)
        shown = "********" if isinstance(value, SecretStr) else str(value)
        mark = " *" if name in current.model_fields_set else ""
        table.add_row(f"OLIST_{name.upper()}", shown + mark, field.description or "")
    Console().print(table)
