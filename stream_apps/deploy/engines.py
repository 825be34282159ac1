"""The engine of a name, on this machine. Each is imported when it is asked for: their clients take a second to load."""

from __future__ import annotations

from olist.settings import Settings
from stream_apps.engine import Engine
from stream_apps.records import EngineName


def engine_named(name: EngineName, settings: Settings) -> Engine:
    """`flink` or `faust`."""
    if name == "flink":
        from stream_apps.flink.engine import FlinkEngine

        return FlinkEngine(settings)
    from stream_apps.faust.engine import FaustEngine

    return FaustEngine(settings)
