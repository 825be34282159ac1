"""A contract's index as OpenSearch settings and mapping. Pure: dicts out of contracts, no connection.

`_source` keeps what was sent, to the letter: money as its string, moments to the microsecond. The indexed values beside
it are for searching: a date there has milliseconds, money is a scaled float. Integers of either width are ``long`` and
money's precision is not in the mapping, so that a widened column needs no new index. The contract's key and columns are
noted in ``_meta`` and read back from there, so that the contract's own rules judge a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Column, Contract, Float, Integer, ListOf, Money, Text, Timestamp, Type
from olist.errors import ContractRefused
from sinks.column_json import columns_from_json, columns_json

DELETED = "_deleted"
GENERATION = 1  # of the index behind the alias; a rebuild beside the old one would count up

# A keyword's UTF-8 may hold 32,766 bytes; longer text stays in `_source` alone instead of refusing its row.
KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 32766 // 4}
DATE: dict[str, Any] = {"type": "date", "format": "strict_date_optional_time"}
ANALYZERS = {"pt": "portuguese"}

TRACE: dict[str, dict[str, Any]] = {
    DELETED: {"type": "boolean"},
    PARTITION: {"type": "integer"},
    OFFSET: {"type": "long"},
    COMMITTED_AT: DATE,
}


SETTINGS: dict[str, Any] = {
    "number_of_shards": 1,
    "auto_expand_replicas": "0-1",
    "refresh_interval": "1s",
    "hidden": True,
    # Somebody's template may name pipelines for every index; documents are indexed as they are sent.
    "default_pipeline": "_none",
    "final_pipeline": "_none",
}
WRITTEN_TO: dict[str, Any] = {"is_hidden": True, "is_write_index": True}


def alias_name(contract: Contract) -> str:
    """What readers search: the rows that are not deleted."""
    return f"olist-{contract.table}"


def index_name(contract: Contract) -> str:
    """What holds the documents, of deleted rows too; hidden, so that ``olist-*`` finds the alias and not this."""
    return f"{alias_name(contract)}-v{GENERATION}"


def write_alias_name(contract: Contract) -> str:
    """What documents are sent to. A name that must be an alias never makes an index, whatever the server allows."""
    return f"{index_name(contract)}-write"


def field(column: Column) -> dict[str, Any]:
    """OpenSearch's mapping of a column.

    Raises:
        ContractRefused: a text in a language that has no analyser here.
    """
    kind: Type = column.type
    match kind:
        case Text(language=None):
            return KEYWORD
        case Text(language=language):
            if language not in ANALYZERS:
                raise ContractRefused(f"column {column.name}: no analyser for the language {language!r}")
            return {"type": "text", "analyzer": ANALYZERS[language], "fields": {"keyword": KEYWORD}}
        case Integer():
            return {"type": "long"}
        case Float():
            return {"type": "double"}
        case Money(scale=scale):
            return {"type": "scaled_float", "scaling_factor": 10**scale}
        case Timestamp():
            return DATE
        case ListOf(columns=columns):
            return {"type": "object", "properties": {one.name: field(one) for one in columns}}


def takes(old: Column, new: Column) -> bool:
    """Whether an index with the old column takes the new one: fields may be added to its rows, none mapped anew."""
    if isinstance(old.type, ListOf) and isinstance(new.type, ListOf):
        there = {column.name: column for column in old.type.columns}
        return all(takes(there[one.name], one) for one in new.type.columns if one.name in there)
    return field(old) == field(new)


def mapping(contract: Contract) -> dict[str, Any]:
    """Every field, and in ``_meta`` the contract's columns, so that a later version can be compared with them."""
    fields = {column.name: field(column) for column in contract.columns}
    if contract.geo:
        fields[contract.geo.name] = {"type": "geo_point"}
    return {"dynamic": "strict", "_meta": encoded(contract), "properties": fields | TRACE}


def deleted_below(offsets: Mapping[int, int]) -> dict[str, Any]:
    """The query for documents of deleted rows whose change lies below its partition's offset."""
    old = [
        {"bool": {"filter": [{"term": {PARTITION: partition}}, {"range": {OFFSET: {"lt": offset}}}]}}
        for partition, offset in offsets.items()
    ]
    return {"bool": {"filter": [{"term": {DELETED: True}}], "should": old, "minimum_should_match": 1}}


def aliases(contract: Contract) -> dict[str, Any]:
    """Whom readers ask, and whom the sink writes to."""
    return {
        alias_name(contract): {"filter": {"term": {DELETED: False}}},
        write_alias_name(contract): WRITTEN_TO,
    }


def index_body(contract: Contract) -> dict[str, Any]:
    """What the index is made with: all of it, so that no template of others decides anything that matters here."""
    return {"settings": {"index": SETTINGS}, "mappings": mapping(contract), "aliases": aliases(contract)}


def deviations(wanted: dict[str, Any], found: dict[str, Any], path: str = "") -> list[str]:
    """Where a description read back from the server lacks what was asked for; more than that may be there."""
    off: list[str] = []
    for name, value in wanted.items():
        if isinstance(value, dict):
            off += deviations(value, found.get(name) or {}, f"{path}{name}.")
        elif (name, value) != ("type", "object") and _plain(found.get(name)) != _plain(value):  # it leaves that out
            off.append(f"{path}{name} is {found.get(name)!r}, not {value!r}")
    return off


def _plain(value: Any) -> Any:
    """Settings come back as texts, a scaling factor with a point."""
    text = str(value).lower()
    return text.removesuffix(".0") if isinstance(value, bool | int | float | str) else value


def encoded(contract: Contract) -> dict[str, Any]:
    """Key and columns as JSON."""
    return {"key": list(contract.key), "columns": columns_json(contract.columns)}


def decoded(where: str, meta: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Column, ...]]:
    """Key and columns of an index.

    Raises:
        ContractRefused: the index is of another make.
    """
    try:
        return tuple(meta["key"]), columns_from_json(meta["columns"])
    except (KeyError, ValueError, TypeError) as error:
        raise ContractRefused(f"{where}: an index of another make is there", hint="rename or delete it") from error
