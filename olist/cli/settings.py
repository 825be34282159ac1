"""`olist settings`: every setting, its value and where it came from."""

from __future__ import annotations

import click
from rich.markup import escape
from rich.table import Table

from olist.hidden import shown
from olist.settings import Settings, settings
from olist.terminal import show


@click.command("settings")
def command() -> None:
    """List every setting with its environment variable, value and meaning; `*` marks what is not the default."""
    current = settings()
    table = Table("variable", "value", "meaning", box=None)
    for name, field in Settings.model_fields.items():
        mark = " *" if name in current.model_fields_set else ""
        table.add_row(f"OLIST_{name.upper()}", escape(shown(getattr(current, name))) + mark, field.description or "")
    show(table, prose=["meaning"])
