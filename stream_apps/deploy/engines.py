"""The engine of a name."""

from __future__ import annotations

from olist.settings import Settings
from stream_apps.engine import Engine
from stream_apps.faust.engine import FaustEngine
from stream_apps.flink.engine import FlinkEngine
from stream_apps.records import Engine as Named


def engine_named(name: Named, settings: Settings) -> Engine:
    """`flink` or `faust`, on this machine."""
    return FlinkEngine(settings) if name == "flink" else FaustEngine(settings)
