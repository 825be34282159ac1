"""A contract's index as OpenSearch settings and mapping. Pure: dicts out of contracts, no connection.

`_source` keeps what was sent, to the letter: money as its string, moments to the microsecond. The indexed values beside
it are for searching: a date there has milliseconds, money is a scaled float. Integers of either width are ``long`` and
money's precision is not in the mapping, so that a widened column needs no new index.
"""

from __future__ import annotations

from typing import Any

from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Column, Contract, Float, Integer, ListOf, Money, Text, Timestamp, Type
from olist.errors import ContractRefused
from sinks.opensearch.columns import encoded

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


def alias_name(contract: Contract) -> str:
    """What readers search: the rows that are not deleted."""
    return f"olist-{contract.table}"


def index_name(contract: Contract) -> str:
    """What the sink writes."""
    return f"{alias_name(contract)}-v{GENERATION}"


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


def template(contract: Contract) -> dict[str, Any]:
    """The index template: any generation of the contract's index comes out right, whoever makes it."""
    settings = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "1s"}
    return {
        "index_patterns": [f"{alias_name(contract)}-v*"],
        "priority": 200,
        "template": {
            "settings": {"index": settings},
            "mappings": mapping(contract),
            "aliases": {alias_name(contract): {"filter": {"term": {DELETED: False}}}},
        },
    }
