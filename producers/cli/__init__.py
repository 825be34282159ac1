"""`olist replay`, `olist generate`, `olist download`: what the entry points name."""

from producers.cli.dataset_commands import download, generate
from producers.cli.replay_command import replay

__all__ = ["download", "generate", "replay"]
