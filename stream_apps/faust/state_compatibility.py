"""Can a new version of a Faust app read the states that the old one wrote? Decided from both structs' JSON schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stream_apps.app import FaustApp

Schema = Mapping[str, Any]

WORDS = ("title", "description")
"""Parts of a schema that say nothing about values."""


def described(app: FaustApp[Any]) -> dict[str, Any]:
    """What of an app decides whether its state can be taken over: how keys are made, and what is kept of each."""
    return {
        "reads": [{"table": g.contract.table, "by": list(g.by), "space": g.space} for g in app.reads],
        "writes": [contract.table for contract in app.writes],
        "state": msgspec.json.schema(app.state),
    }


def obstacles(old: Schema, new: Schema) -> Iterator[str]:
    """Why states of the old description cannot be read by the new; nothing when they can."""
    before, after = ({(r["space"], r["table"]): r["by"] for r in d["reads"]} for d in (old, new))
    for space, table in before:
        if (space, table) in after and after[space, table] != before[space, table]:
            yield f"{table} is read by other columns: the keys of the states are others"
    old_defs, new_defs = old["state"].get("$defs", {}), new["state"].get("$defs", {})
    yield from _of_structs("the state", _top(old["state"]), _top(new["state"]))
    for name in sorted(old_defs.keys() & new_defs.keys() - {_name(old["state"]), _name(new["state"])}):
        yield from _of_structs(name, old_defs[name], new_defs[name])


def _top(schema: Schema) -> Schema:
    """The state's own struct."""
    found: Schema = schema["$defs"][_name(schema)] if "$ref" in schema else schema
    return found


def _name(schema: Schema) -> str:
    """What the state's own struct is called."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _of_structs(where: str, old: Schema, new: Schema) -> Iterator[str]:
    if "properties" not in old or "properties" not in new:
        if _plain(old) != _plain(new):
            yield f"{where} is of another type"
        return
    for name, kind in old["properties"].items():
        if name not in new["properties"]:
            yield f"{where} has no {name} any more"
        elif _plain(kind) != _plain(new["properties"][name]):
            yield f"{name} of {where} is of another type"
    for name in sorted(new["properties"].keys() - old["properties"].keys()):
        if name in new.get("required", ()):
            yield f"{name} of {where} is new and has no default"


def _plain(schema: Any) -> Any:
    """Without what is only said about it. A default does not change what is kept."""
    if isinstance(schema, Mapping):
        return {name: _plain(value) for name, value in schema.items() if name not in (*WORDS, "default")}
    return [_plain(value) for value in schema] if isinstance(schema, list) else schema
