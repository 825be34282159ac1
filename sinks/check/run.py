"""The check: read the targets, recompute from the topics, compare. The only file here that decides what is read when.

For each table, in this order:

1. the topic's end offsets, taken once for all tables at the start;
2. if asked, wait until the targets' positions have reached them;
3. every target's rows with the positions that they go with;
4. the topic, once, from its beginning: the latest row per key up to each target's own positions, less what that target
   refused. So a target that is behind, or ahead because changes came meanwhile, is compared exactly with what it should
   hold where it stands, and its lag is told apart.

Of rows only entries of 58 bytes are kept (`sinks.check.entries`), in a folder, and compared a bucket of keys at a time:
memory does not grow with the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from olist.contracts import Contract
from olist.errors import BadInput, ServerTrouble
from olist.positions import TopicState
from olist.settings import Settings
from olist.tables import TABLES
from olist.topics.admin import topic_states
from olist.topics.broker import Broker
from sinks.base import TARGETS
from sinks.check.files import read_files
from sinks.check.refusals import read_refusals
from sinks.check.report import TOPIC, Finding, Report, TableReport
from sinks.check.table import TableCheck
from sinks.check.topic_health import OpenTransactions, healths
from sinks.check.waiting import wait_for
from sinks.readback import read

Progress = Callable[[str], None]


def check(
    settings: Settings,
    *,
    contracts: Sequence[Contract] = tuple(TABLES.values()),
    targets: Sequence[str] = TARGETS,
    wait_s: float = 0.0,
    explain: int = 0,
    data: Path | None = None,
    optional: Collection[str] = (),
    on_progress: Progress = lambda _doing: None,
) -> Report:
    """Compare each table in each target with what its topic says.

    Args:
        settings: where the servers are.
        contracts: the tables to check.
        targets: the targets to check; one that a contract does not name is left out for it.
        wait_s: seconds to wait for the targets to reach the topics' ends.
        explain: so many differing keys of each table and target are looked for.
        data: a zip or folder of the CSV files to compare the topics with as well.
        optional: tables whose topic need not be there, as long as no target holds them either.
        on_progress: hears what is being done.

    Raises:
        ServerTrouble: Kafka does not answer. A target that does not is a finding.
        BadInput: a topic is not there, or the CSV files cannot be read.
    """
    frames = read_files(data) if data else {}
    on_progress("asking Kafka for the topics' ends")
    broker = Broker(settings)
    contracts, without_topic = _with_topic(contracts, optional, settings, broker)
    states = _states(contracts, settings, broker)
    transactions = OpenTransactions.now(settings, states.values())
    if wait_s > 0:
        pairs = [(target, contract) for contract in contracts for target in targets if target in contract.targets]
        ends = {table: state.end for table, state in states.items()}
        wait_for(pairs, ends, settings, wait_s, lambda left: on_progress(f"waiting for {left} tables to catch up"))
    refusals, health = read_refusals(settings), healths(contracts, settings, broker)
    reports = []
    for contract in contracts:
        with TemporaryDirectory(prefix="olist-check-") as folder:
            of_table = TableCheck(contract, states[contract.table], settings, Path(folder), explain, on_progress)
            files = frames.pop(contract.table, None)
            reports.append(of_table.run(targets, refusals, health[contract.table], files))
    stalled = transactions.still_open(settings, lambda: on_progress("waiting for open transactions to end"))
    reports = [_with_stalled(one, stalled) for one in reports]
    reports += _orphans(without_topic, targets, settings)
    return Report(tuple(reports))


def _with_topic(
    contracts: Sequence[Contract], optional: Collection[str], settings: Settings, broker: Broker
) -> tuple[list[Contract], list[Contract]]:
    """The contracts to compare, and the optional ones whose topic is not there.

    Raises:
        BadInput: the topic of another one is not there.
    """
    there = set(broker.names())
    lacking = [contract for contract in contracts if contract.topic(settings.topic_prefix) not in there]
    if missing := [c.topic(settings.topic_prefix) for c in lacking if c.table not in optional]:
        raise BadInput(
            f"there is no topic {', '.join(missing)}",
            hint="`olist replay` makes the topics; --tables checks some of them",
        )
    return [contract for contract in contracts if contract not in lacking], lacking


def _states(contracts: Sequence[Contract], settings: Settings, broker: Broker) -> dict[str, TopicState]:
    topics = {contract.topic(settings.topic_prefix): contract.table for contract in contracts}
    return {topics[topic]: state for topic, state in topic_states(broker.admin, topics).items()}


def _with_stalled(report: TableReport, stalled: dict[str, str]) -> TableReport:
    if report.topic not in stalled:
        return report
    finding = Finding(TOPIC, "stalled", note=stalled[report.topic])
    return TableReport(**{**vars(report), "findings": (*report.findings, finding)})


def _orphans(contracts: Sequence[Contract], targets: Sequence[str], settings: Settings) -> list[TableReport]:
    """A report for each table that a target holds though its topic is gone."""
    reports = []
    for contract in contracts:
        of_targets = (_orphan(target, contract, settings) for target in targets if target in contract.targets)
        findings = tuple(finding for finding in of_targets if finding)
        if findings:
            nothing = Finding(TOPIC, "absent").found
            topic = contract.topic(settings.topic_prefix)
            reports.append(TableReport(contract.table, topic, nothing, 0, (), (), findings))
    return reports


def _orphan(target: str, contract: Contract, settings: Settings) -> Finding | None:
    try:
        with read(target, contract, settings) as reading:
            if reading is None:
                return None
    except ServerTrouble as error:
        return Finding(target, "unreachable", note=str(error))
    topic = contract.topic(settings.topic_prefix)
    return Finding(
        target, "broken", note=f"it holds this table, and its topic {topic} is gone: nothing can be compared"
    )
