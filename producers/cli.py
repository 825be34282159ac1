"""`olist replay`, `olist generate`, `olist download`."""

from __future__ import annotations

from producers.replay_command import replay

__all__ = ["replay"]
