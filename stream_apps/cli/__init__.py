"""`olist apps`: the commands and what they show."""

from stream_apps.cli.commands import command

__all__ = ["command"]
