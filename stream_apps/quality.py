"""Contract checks on every table in flight: the rows that break a rule now.

Reads: every table by its own key, and the tables that refer to others by the key they refer to.
Writes: `quality_violations`, a row per check and row for as long as it is open. A violation that is mended (its row is
changed or deleted, its parent has come) is deleted: the topic and its tables are the list of what is wrong now, the
state need hold open ones alone, and the lake's `quality_violations_changes` keeps every opening and closing.
State: per living row the time of its create, for uniqueness, and its open violations; rows of a table that no other
refers to are forgotten `FORGET_AFTER` their last change unless they break a rule. Per parent, for ever, that it was
seen; per missing parent the children that wait for it, at most `MOST_WAITING` of a kind: further ones are not listed.
Guarantee: effectively once. The rows are those of the tables' latest rows, whatever the order in which topics arrive.

The checks are declared in `stream_apps.quality_rules`. A row is judged at each of its changes. What a row refers to or
must have is judged `GRACE` of event time after it came; any change of the other row will do, since it is for the
source's foreign keys to forbid the delete of a parent before its children. A key is created twice when a create with
a later commit time comes while the row lives; one create that is delivered twice is no violation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import msgspec

from olist.changes import Change, codec
from olist.contracts import MICROS_PER_SECOND, Contract, Integer, Micros, Row, Str, Timestamp
from olist.errors import BadRecord
from olist.tables import TABLES
from stream_apps.app import FaustApp, Input, Key, Out
from stream_apps.quality_rules import (
    CREATED_TWICE,
    EXPECTATIONS,
    REFERENCES,
    RULES,
    UNDECODABLE,
    Check,
    Expectation,
    Reference,
    Rule,
)

GRACE = timedelta(hours=1)
FORGET_AFTER = timedelta(days=400)
MOST_WAITING = 1000


class Violation(Row):
    """One row that breaks one rule, while it does."""

    check_name: Str
    table_name: Str
    row_key: Str  # as JSON: the row's key, and what it refers to by; of an undecodable record, where it stands
    kind: Str
    message: Str  # what the rule asks for
    found: Str | None  # the columns that the rule looks at, as JSON
    opened_at: Micros | None  # event time; null where the record's time cannot be read


VIOLATIONS = Contract(
    "quality_violations",
    Violation,
    key=("check_name", "table_name", "row_key"),
    event_time="opened_at",
    sort_by=("check_name", "table_name"),
    history=True,
)


class Open(msgspec.Struct, array_like=True):
    """An open violation of a key's own row."""

    since: int
    found: str | None


class State(msgspec.Struct, omit_defaults=True):
    """What is known of one key of one table: its own row, and those that refer to it."""

    created: int | None = None  # commit time of the living row's create
    open: dict[str, Open] = {}  # by check
    expects: dict[str, int] = {}  # by expectation that is not met: since when
    seen: bool = False  # of a table that others refer to: any change of the key
    children: set[str] = set()  # tables that are expected to refer to it, and did
    waiting: dict[str, dict[str, int]] = {}  # by reference: the keys of children without a parent, since when


_RULES = {table: {rule.name: rule for rule in RULES if rule.table.table == table} for table in TABLES}
_EXPECTATIONS = {expectation.name: expectation for expectation in EXPECTATIONS}
_EXPECTED = {(expectation.child.table, expectation.table.table) for expectation in EXPECTATIONS}
_REFERENCES = {reference.name: reference for reference in REFERENCES}
_REFERENCE_OF = {(reference.table.table, reference.by): reference for reference in REFERENCES}
_PARENTS = {reference.parent.table for reference in REFERENCES}
_GRACE_US = int(GRACE.total_seconds()) * MICROS_PER_SECOND


def fold(state: State, source: Input, change: Change) -> State:
    """A change of the key's own row, or of a row that refers to it."""
    if source.space == source.contract.table:
        _own_row(state, source.contract, change)
    else:
        _child(state, source, change)
    return state


def _own_row(state: State, table: Contract, change: Change) -> None:
    if table.table in _PARENTS:
        state.seen, state.waiting = True, {}
    if change.row is None:
        state.created, state.open, state.expects = None, {}, {}
        return
    now, row = change.committed_us, change.row
    broken = [rule for rule in _RULES[table.table].values() if rule.broken(row)]
    found: dict[str, str | None] = {rule.name: evidence(row, rule) for rule in broken}
    if state.created is None:
        state.created = now
    if CREATED_TWICE.name in state.open or (change.op == "c" and now > state.created):
        found[CREATED_TWICE.name] = None
    state.open = {name: Open(state.open[name].since if name in state.open else now, found[name]) for name in found}
    state.expects = {
        expectation.name: state.expects.get(expectation.name, now)
        for expectation in EXPECTATIONS
        if expectation.table is table and expectation.child.table not in state.children and expectation.expected(row)
    }


def _child(state: State, source: Input, change: Change) -> None:
    table = source.contract.table
    if change.row is not None and (table, source.space) in _EXPECTED:
        state.children.add(table)
        met = {name for name in state.expects if _EXPECTATIONS[name].child.table == table}
        state.expects = {name: since for name, since in state.expects.items() if name not in met}
    if not state.seen:
        name = _REFERENCE_OF[table, source.by].name
        _wait(state.waiting, name, codec(source.contract).encode_key(change.key).decode(), change)


def _wait(waiting: dict[str, dict[str, int]], reference: str, key: str, change: Change) -> None:
    """Add a child to those that wait, or take a deleted one away."""
    children = waiting.setdefault(reference, {})
    if change.row is None:
        children.pop(key, None)
    elif len(children) < MOST_WAITING:
        children.setdefault(key, change.committed_us)
    if not children:
        del waiting[reference]


def rows(key: Key, state: State, clock_us: int) -> Iterator[Out]:
    """A row per violation that is open by now."""
    table = TABLES[key[0]]
    own = row_key(table, key[1:])
    for name, opened in state.open.items():
        yield row_of(_RULES[table.table].get(name, CREATED_TWICE), table.table, own, opened.found, opened.since)
    for name, since in state.expects.items():
        if since + _GRACE_US <= clock_us:
            yield row_of(_EXPECTATIONS[name], table.table, own, None, since + _GRACE_US)
    for name, children in state.waiting.items():
        reference = _REFERENCES[name]
        refers = dict(zip(reference.by, key[1:], strict=True))
        for child, since in children.items():
            if since + _GRACE_US <= clock_us:
                whose = as_json(msgspec.json.decode(child) | refers)
                yield row_of(reference, reference.table.table, whose, as_json(refers), since + _GRACE_US)


def row_of(
    check: Check | Rule | Reference | Expectation, table: str, key: str, found: str | None, at_us: int | None
) -> Out:
    """A row of the output."""
    return VIOLATIONS, Violation(check.name, table, key, check.kind, check.message, found, at_us)


def due(state: State, clock_us: int) -> int | None:
    """When the next grace ends."""
    since = [*state.expects.values(), *(us for children in state.waiting.values() for us in children.values())]
    return min((us + _GRACE_US for us in since if us + _GRACE_US > clock_us), default=None)


def forget_after(state: State) -> timedelta | None:
    """What no other row refers to and breaks no rule is forgotten."""
    return None if state.seen or state.open or state.waiting or state.children else FORGET_AFTER


def of_refused(refused: BadRecord) -> Iterator[Out]:
    """A record that no contract can read is a violation for as long as it is on its topic: for ever."""
    where = as_json({"topic": refused.topic, "partition": refused.partition, "offset": refused.offset})
    yield row_of(UNDECODABLE, refused.topic.rpartition(".")[2], where, refused.reason, None)


def row_key(table: Contract, values: tuple[str, ...]) -> str:
    """A row's key as on its topic, from a state's key."""
    typed = zip(table.key_columns, values, strict=True)
    return as_json({column.name: int(v) if isinstance(column.type, Integer) else v for column, v in typed})


def evidence(row: Row, rule: Rule) -> str:
    """The columns that a rule looks at, as JSON, times as ISO 8601."""
    times = {column.name for column in rule.table.columns if isinstance(column.type, Timestamp)}
    values = {name: getattr(row, name) for name in rule.columns}
    return as_json({name: iso(v) if name in times and v is not None else v for name, v in values.items()})


def iso(micros: int) -> str:
    """Microseconds since 1970 as people read them."""
    return (datetime(1970, 1, 1) + timedelta(microseconds=micros)).isoformat()


def as_json(values: Mapping[str, object]) -> str:
    """In the order given, money as strings."""
    return msgspec.json.encode(values).decode()


APP = FaustApp(
    name="quality",
    reads=(
        *(Input(table, by=table.key, space=table.table) for table in TABLES.values()),
        *(Input(reference.table, by=reference.by, space=reference.parent.table) for reference in REFERENCES),
    ),
    writes=(VIOLATIONS,),
    state=State,
    fold=fold,
    rows=rows,
    due=due,
    forget_after=forget_after,
    of_refused=of_refused,
)
