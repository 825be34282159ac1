"""Where targets stand, and what sink processes say of tables that do not run. Looking changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient

from olist.contracts import Contract
from olist.errors import OlistError, ServerTrouble, Stopped
from olist.positions import TopicState, lag
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_states
from sinks.base import TARGETS
from sinks.cli.histories import passed_over
from sinks.group import Note, group_of, members, notes
from sinks.readback import read_positions

Lag = int | str | None
"""Offsets behind; why that cannot be said; None for a target that the contract does not name."""


@dataclass(frozen=True)
class Status:
    """Of each table: its lag by target, its state in the sinks where it does not run, and what its history lacks."""

    lags: Mapping[str, Mapping[str, Lag]]
    notes: Mapping[tuple[str, str], Note]  # (table, target)
    histories: Mapping[str, str]

    def facts(self) -> dict[str, dict[str, Any]]:
        """``{table: {target: lag}}``, and ``states`` and ``history`` in tables of which there is something to say."""
        tables: dict[str, dict[str, Any]] = {table: dict(lags) for table, lags in self.lags.items()}
        for (table, target), note in self.notes.items():
            tables[table].setdefault("states", {})[target] = note
        for table, lacks in self.histories.items():
            tables[table]["history"] = lacks
        return tables

    def remarks(self) -> list[str]:
        """What does not fit into a cell, each with the table and target it is about."""
        why = dict.fromkeys(one for lags in self.lags.values() for one in lags.values() if isinstance(one, str))
        states = [f"{target} {table} {note.state}: {note.reason}" for (table, target), note in self.notes.items()]
        return [*why, *states, *(f"iceberg history of {table}: {lacks}" for table, lacks in self.histories.items())]


def status(contracts: Sequence[Contract], settings: Settings) -> Status:
    """Look at every table in every target; one that does not answer keeps nothing of the others from being seen.

    Raises:
        ServerTrouble: Kafka does not answer.
        Stopped: a topic is not there.
    """
    admin = admin_client(settings)
    states = topic_states(admin, [contract.topic(settings.topic_prefix) for contract in contracts])
    lags: dict[str, dict[str, Lag]] = {contract.table: {} for contract in contracts}
    for target in TARGETS:
        for table, behind in _lags(target, contracts, settings, states).items():
            lags[table][target] = behind
    return Status(lags, _notes(admin, contracts, settings), _histories(contracts, settings))


def _lags(
    target: str, contracts: Sequence[Contract], settings: Settings, states: Mapping[str, TopicState]
) -> dict[str, Lag]:
    """One target's lags. A server that is away is asked once."""
    found: dict[str, Lag] = {}
    away = ""
    for contract in contracts:
        try:
            found[contract.table] = away or _lag(target, contract, settings, states)
        except ServerTrouble as trouble:
            found[contract.table] = away = _text_of(trouble)
        except Stopped as refused:
            found[contract.table] = _text_of(refused)
    return found


def _lag(target: str, contract: Contract, settings: Settings, states: Mapping[str, TopicState]) -> int | None:
    if target not in contract.targets:
        return None
    return lag(read_positions(target, contract, settings), states[contract.topic(settings.topic_prefix)])


def _notes(admin: AdminClient, contracts: Sequence[Contract], settings: Settings) -> dict[tuple[str, str], Note]:
    tables = {contract.topic(settings.topic_prefix): contract.table for contract in contracts}
    found: dict[tuple[str, str], Note] = {}
    for target in TARGETS:
        group = group_of(settings, target)
        said = {topic: note for topic, note in notes(admin, group).items() if topic in tables}
        left = " (by a process that has ended)" if said and not members(admin, group) else ""
        found |= {(tables[topic], target): Note(note.state + left, note.reason) for topic, note in said.items()}
    return found


def _histories(contracts: Sequence[Contract], settings: Settings) -> Mapping[str, str]:
    try:
        return passed_over(contracts, settings)
    except (ServerTrouble, Stopped):  # the lags say so already
        return {}


def _text_of(error: OlistError) -> str:
    return f"{error}\n  {error.hint}" if error.hint else str(error)
