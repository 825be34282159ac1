"""`olist replay`, `olist generate`, `olist download`: what the entry points name."""

from __future__ import annotations

from producers.download_command import download
from producers.generate_command import generate
from producers.replay_command import replay

__all__ = ["download", "generate", "replay"]
