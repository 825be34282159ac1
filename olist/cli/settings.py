"""`olist settings`: every setting, its value and where it came from."""

from __future__ import annotations

import re

import click
from pydantic import SecretStr
from rich.markup import escape
from rich.table import Table

from olist.cli.terminal import show
from olist.settings import Settings, settings

HIDDEN = "********"
# A URL's user may have one, up to the last @ if it was not escaped; so may its query, or libpq's `key=value` form.
OF_A_USER = re.compile(r"(://[^:/@\s]*:).*(?=@)")
OF_A_KEY = re.compile(r"(password=)('[^']*'|[^&\s]*)", re.IGNORECASE)


def shown(value: object) -> str:
    """A setting's value without the password that it is or holds."""
    if isinstance(value, SecretStr):
        return HIDDEN
    return OF_A_KEY.sub(rf"\1{HIDDEN}", OF_A_USER.sub(rf"\1{HIDDEN}", str(value)))


@click.command("settings")
def command() -> None:
    """List every setting with its environment variable, value and meaning; `*` marks what is not the default."""
    current = settings()
    table = Table("variable", "value", "meaning", box=None)
    for name, field in Settings.model_fields.items():
        mark = " *" if name in current.model_fields_set else ""
        table.add_row(f"OLIST_{name.upper()}", escape(shown(getattr(current, name))) + mark, field.description or "")
    show(table, prose=["meaning"])
