"""How every command prints JSON: one line on stdout, in which no character of others is obeyed.

Apart from `olist.terminal`, so that a command that prints JSON loads no library for tables.
"""

from __future__ import annotations

import click
import msgspec

from olist.printable import printable_json


def show_json(value: object) -> None:
    """Print a value as one line of JSON; what msgspec does not know is its text."""
    click.echo(printable_json(msgspec.json.encode(value, enc_hook=str).decode()))
