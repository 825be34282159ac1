"""A small shop to break things in: sinks and replayer as real processes, on topics and targets emptied before."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined] # public names, re-exported without `as`
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from olist.contract_registry import contracts
from olist.contracts import Contract
from olist.lake.ancestry import MOVED, audited_of
from olist.lake.catalog import identifier, open_catalog
from olist.settings import Settings
from olist.tables import TABLES
from olist.topics.admin import admin_client, delete_topics, topic_states
from olist.topics.dead_letters import dead_letter_topic
from sinks.base import TARGETS, factory
from sinks.check.report import Report
from sinks.check.run import check
from tests.waiting import DEADLINE_S

OLIST = ("-m", "olist")


@dataclass
class Sink:
    """One sink process; what it logs is in a file."""

    target: str
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ended(self) -> int | None:
        return self.process.poll()


@dataclass
class Shop:
    """Settings with topics of their own, a data set, and the processes started so far."""

    settings: Settings
    data: Path
    folder: Path
    random: random.Random
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def sink(self, target: str, instance: str | None = None, program: tuple[str, ...] = OLIST, **options: str) -> Sink:
        """Start a sink process."""
        named = ("--instance", instance) if instance else ()
        given = tuple(word for name, value in options.items() for word in (f"--{name}", value))
        log = self.folder / f"{target}-{len(self.processes)}.log"
        process = self._start((*program, "sink", "run", target, "--interval", "0.3", *named, *given), log)
        return Sink(target, process, log)

    def start_replay(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the replayer."""
        log = self.folder / f"replay-{len(self.processes)}.log"
        return self._start((*OLIST, "replay", "--data", str(self.data), *arguments), log)

    def replay(self, *arguments: str) -> None:
        """Run the replayer to its end."""
        replaying = self.start_replay(*arguments)
        replaying.wait(DEADLINE_S)
        assert replaying.returncode == 0, (self.folder / f"replay-{len(self.processes) - 1}.log").read_text()

    def check(self, targets: tuple[str, ...] = TARGETS) -> Report:
        """Compare targets, topics and files once the targets have caught up."""
        return check(self.settings, targets=targets, wait_s=DEADLINE_S, explain=5, data=self.data)

    def check_topics(self) -> Report:
        """Compare targets and topics, whatever else was written there."""
        return check(self.settings, wait_s=DEADLINE_S, explain=5)

    def assert_all_equal(self, targets: tuple[str, ...] = TARGETS) -> None:
        """Every table equal in every target; the message names the keys that differ and what the processes said."""
        report = self.check(targets)
        unequal = [(f.target, f.state, f.differences, f.note) for f in report.findings if f.state != "equal"]
        assert not unequal, f"{unequal}\n{self.last_words()}"
        assert len(report.tables) == len(TABLES)
        assert report.exit_code == 0

    def records_written(self) -> int:
        """Records on all topics."""
        names = [contract.topic(self.settings.topic_prefix) for contract in TABLES.values()]
        states = topic_states(admin_client(self.settings), names)
        return sum(sum(state.end.values()) for state in states.values())

    def let_null_keys_in(self, contract: Contract) -> None:
        """Topics that are compacted refuse records without a key at the broker; this one shall take them."""
        topic = ConfigResource(ConfigResource.Type.TOPIC, contract.topic(self.settings.topic_prefix))
        for name, value in {"cleanup.policy": "delete", "retention.ms": "-1"}.items():
            topic.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
        admin = admin_client(self.settings)
        for answer in admin.incremental_alter_configs([topic]).values():
            answer.result()

    def empty(self) -> None:
        """Drop every table of every target and every topic."""
        self.empty_targets()
        names = [contract.topic(self.settings.topic_prefix) for contract in TABLES.values()]
        delete_topics(self.settings, [*names, dead_letter_topic(self.settings)])

    def empty_targets(self) -> None:
        """Drop every table of every target, apps' outputs too: sinks without `tables` carry those as well."""
        for target in TARGETS:
            for contract in contracts().values():
                if target not in contract.targets:
                    continue
                table = factory(target)(contract, self.settings)
                table.drop()
                table.drop_histories()
                table.close()

    def last_words(self) -> str:
        """How each process ended, if it did, and the end of what it logged."""
        codes = [process.poll() for process in self.processes]
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join([f"exit codes {codes}", *(f"{log.name}: ...{log.read_text()[-2000:]}" for log in logs)])

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def _start(self, arguments: tuple[str, ...], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments], env=self.settings.environment(), stdout=output, stderr=output
            )
        self.processes.append(process)
        return process


def position_ranges(settings: Settings, table: str) -> dict[int, list[tuple[int, int]]]:
    """What each Iceberg snapshot says it moved: partition -> [from, to) in the order of commits."""
    import msgspec

    lake = open_catalog(settings).load_table(identifier(table))
    ranges: dict[int, list[tuple[int, int]]] = {}
    for snapshot in lake.snapshots():
        moved = snapshot.summary.additional_properties.get(MOVED) if snapshot.summary else None
        for partition, span in msgspec.json.decode(moved or b"{}", type=dict[int, tuple[int, int]]).items():
            ranges.setdefault(partition, []).append(span)
    return ranges


def assert_ranges_join(settings: Settings, table: str) -> None:
    """The snapshots' ranges neither overlap nor leave a gap, from where expiry's audit of older ones ends."""
    ranges = position_ranges(settings, table)
    assert ranges
    catalog = open_catalog(settings)
    audited = audited_of(catalog.load_table(identifier(table)).metadata)
    catalog.close()
    for partition, spans in ranges.items():
        assert [start for start, _ in spans] == [audited.get(partition, 0), *(end for _, end in spans[:-1])]
