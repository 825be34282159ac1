"""The root command: finds the folders' commands, prints our errors as one clear message."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import click

from olist.errors import OlistError

GROUP = "olist.commands"


class InstalledCommands(click.Group):
    """Commands by entry point, each imported when it is named, so that a heavy library loads only when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every installed command, by name."""
        return sorted(point.name for point in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command behind an entry point, or None when there is no such name."""
        for point in entry_points(group=GROUP, name=name):
            command: click.Command = point.load()
            return command
        return None


@click.group(cls=InstalledCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="olist-streams", prog_name="olist")
def root() -> None:
    """Streaming-first e-commerce data platform: everything is a Kafka topic.

    \b
    olist up                     start the servers of this machine
    olist replay --data PATH     the Olist CSV files as change events on topics
    olist topics tail orders     look at decoded changes
    olist check                  do the targets hold exactly what the topics say?
    """


def main() -> None:
    """Entry point of `olist`. Our errors end with code 1, a message and the way out, without a traceback."""
    try:
        root()
    except OlistError as error:
        click.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        if error.hint:
            click.secho(f"  way out: {error.hint}", err=True)
        sys.exit(1)
