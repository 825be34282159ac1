"""`olist shop`: the schema of the shop's database."""

from __future__ import annotations

import click


@click.group("shop")
def shop() -> None:
    """The shop's database, from which change data capture takes its changes."""


@shop.command("migrate")
def migrate_command() -> None:
    """Create the database where it is missing and bring its schema up to date."""
    from olist.settings import settings
    from producers.shop.migrate import migrate

    applied = migrate(settings())
    click.echo("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
