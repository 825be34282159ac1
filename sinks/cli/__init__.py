"""`olist sink`. Read in this order: `sink` (the commands), `status` (where targets stand), `histories`."""

from sinks.cli.sink import command

__all__ = ["command"]
