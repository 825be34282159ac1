"""The check: read the targets, recompute from the topics, compare. The only file here that decides what is read when.

For each table, in this order:

1. the topic's end offsets, taken once for all tables at the start;
2. if asked, wait until the targets' positions have reached them;
3. every target's rows with the positions that they go with;
4. the topic, once, from its beginning: the latest row per key up to each target's own positions, less what that target
   refused. So a target that is behind, or ahead because changes came meanwhile, is compared exactly with what it should
   hold where it stands, and its lag is told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from olist.batches import polars_type
from olist.contracts import Contract
from olist.errors import BadInput, ServerTrouble, Stopped
from olist.positions import TopicState, check_topic
from olist.settings import Settings
from olist.tables import TABLES
from olist.topics.admin import admin_client, topic_state, topic_states
from olist.topics.survey import Broker
from sinks.check.digest import digest
from sinks.check.expected import expected
from sinks.check.held import Held, read_held
from sinks.check.judge import compare, judge
from sinks.check.latest import Refused, View
from sinks.check.refusals import Refusals, read_refusals
from sinks.check.report import Finding, Report, TableReport
from sinks.check.waiting import wait_for
from sinks.targets import TARGETS

FILES = "files"  # the CSV files' name among the targets

Told = Callable[[str], None]


@dataclass(frozen=True)
class _Read:
    """One target's table as it was read."""

    target: str
    held: Held
    refused: Mapping[Refused, str]

    def view(self, state: TopicState) -> View:
        """What of the topic this target should hold."""
        stands = self.held.positions.next if self.held.positions else {}
        return View.of({p: stands.get(p, 0) for p in state.end}, self.refused)


def check(
    settings: Settings,
    *,
    contracts: Sequence[Contract] = tuple(TABLES.values()),
    targets: Sequence[str] = TARGETS,
    wait_s: float = 0.0,
    explain: int = 0,
    data: Path | None = None,
    told: Told = lambda _doing: None,
) -> Report:
    """Compare each table in each target with what its topic says.

    Args:
        settings: where the servers are.
        contracts: the tables to check.
        targets: the targets to check; one that a contract does not name is left out for it.
        wait_s: seconds to wait for the targets to reach the topics' ends.
        explain: so many differing keys of each table and target are looked for.
        data: a zip or folder of the CSV files to compare the topics with as well.
        told: hears what is being done.

    Raises:
        ServerTrouble: Kafka does not answer. A target that does not is a finding.
        BadInput: a topic is not there, or the CSV files cannot be read.
    """
    frames = read_files(data) if data else None
    told("asking Kafka for the topics' ends")
    states = _states(contracts, settings)
    if wait_s > 0:
        pairs = [(target, contract) for contract in contracts for target in targets if target in contract.targets]
        ends = {table: state.end for table, state in states.items()}
        wait_for(pairs, ends, settings, wait_s, lambda left: told(f"waiting for {left} tables to catch up"))
    refusals = read_refusals(settings)
    reports = []
    for contract in contracts:
        told(f"checking {contract.table}")
        files = None if frames is None else frames.get(contract.table)
        reports.append(_table(contract, states[contract.table], settings, targets, refusals, explain, files))
    return Report(tuple(reports))


def read_files(data: Path) -> dict[str, pl.DataFrame]:
    """The CSV files' rows by table, typed as targets' rows are.

    Raises:
        BadInput: the files cannot be read, or a line that the contract refuses.
    """
    from olist.source import read

    frames = read(data)
    return {
        table: frame.cast({column.name: polars_type(column.type) for column in TABLES[table].columns})
        for table, frame in frames.items()
    }


def _states(contracts: Sequence[Contract], settings: Settings) -> dict[str, TopicState]:
    topics = {contract.topic(settings.topic_prefix): contract.table for contract in contracts}
    broker = Broker(settings)
    there = set(broker.names())
    if missing := [topic for topic in topics if topic not in there]:
        raise BadInput(
            f"there is no topic {', '.join(missing)}",
            hint="`olist replay` makes the topics; --tables checks some of them",
        )
    return {topics[topic]: state for topic, state in topic_states(broker.admin, topics).items()}


def _table(
    contract: Contract,
    state: TopicState,
    settings: Settings,
    targets: Sequence[str],
    refusals: Refusals,
    explain: int,
    files: pl.DataFrame | None,
) -> TableReport:
    reads = [_read(t, contract, state, settings, refusals) for t in targets if t in contract.targets]
    whole = View.of(state.end)
    should = expected(contract, state, settings, [whole, *(one.view(state) for one in reads if isinstance(one, _Read))])
    findings = [
        judge(contract, one.target, should.rows[one.view(state)], one.held, state, refused=one.refused, most=explain)
        if isinstance(one, _Read)
        else one
        for one in reads
    ]
    if files is not None:
        findings.append(compare(contract, FILES, should.rows[whole], files, most=explain))
    live = digest(contract, should.rows[whole]).whole
    unknown = tuple(sorted(should.unknown))
    return TableReport(contract.table, state.topic, live, should.records, should.undecodable, unknown, tuple(findings))


def _read(
    target: str, contract: Contract, state: TopicState, settings: Settings, refusals: Refusals
) -> _Read | Finding:
    """The target's table, or the finding that says why there is nothing to compare."""
    try:
        held = read_held(target, contract, settings)
        if held and held.positions:
            # They may have passed the ends taken at the start, so the topic is looked at as it is by now.
            now = topic_state(admin_client(settings), state.topic)
            check_topic(f"{target} {contract.table}", held.positions, now)
    except ServerTrouble as error:
        return Finding(target, "unreachable", note=str(error))
    except Stopped as error:
        return Finding(target, "broken", note=str(error))
    if held is None:
        return Finding(target, "absent", note=f"there is no such table; `olist sink run {target}` makes and fills it")
    return _Read(target, held, refusals.of(target, state.topic, held.rows))
