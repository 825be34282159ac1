"""One table's check: its targets and its topic to entries, the entries compared, the differing keys explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from olist.contracts import Contract
from olist.errors import ServerTrouble, Stopped
from olist.positions import Positions, TopicState, check_topic, lag
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_state
from sinks.check.comparison import Comparison, View, compare
from sinks.check.digest import Digest, differing_days, digest_of
from sinks.check.entries import DELETE, KEY, UNDECODABLE, Spill, buckets_for, entries
from sinks.check.explanation import Difference, changes_at, explain
from sinks.check.history import compare_history
from sinks.check.refusals import Refusals
from sinks.check.report import HISTORY, TOPIC, Finding, TableReport
from sinks.check.topic_entries import TopicEntries, read_topic
from sinks.check.topic_health import TopicHealth
from sinks.readback import Defects, ReplacedWhileRead, check_shape, read

FILES = "files"  # the CSV files' name among the targets
LAKE = "iceberg"
ATTEMPTS = 3
AHEAD = "rows are newer than the positions: it was written while it was read, or its sink ended between the two"
UNJUDGED = (
    "keys cannot be judged: Kafka has cleaned away the change that {target} may rightly hold, "
    "and {target} does not take, or has not read, the one that replaced it"
)
EARLY = "early"
LATE = "changes cannot be judged: they may have been written before the history had {columns}, which they lack"


@dataclass(frozen=True)
class _Side:
    """One target's table, or its history, as it was read."""

    name: str
    spill: Spill
    positions: Positions | None = None
    positions_now: Positions | None = None
    snapshot: bool = True
    traced: bool = True
    defects: Defects = field(default_factory=Defects)
    late: frozenset[str] = frozenset()  # columns that its first rows were written without

    @property
    def target(self) -> str:
        """Whose it is: the history is the lake's."""
        return LAKE if self.name == HISTORY else self.name

    def view(self, topic: TopicEntries, ends: Mapping[int, int]) -> View:
        """What of the topic it should hold."""
        if not self.traced:
            return View(ends, traced=False)
        stands = self.positions.next if self.positions else {}
        refused = topic.flag(self.target) if self.target in topic.refused else 0
        end = {p: stands.get(p, 0) for p in ends}
        return View(end, refused, self.snapshot, whole=topic.whole, first=topic.first)


class TableCheck:
    """Compares one table; what it keeps is in `folder`."""

    def __init__(
        self,
        contract: Contract,
        state: TopicState,
        settings: Settings,
        folder: Path,
        most: int = 0,
        on_progress: Callable[[str], None] = lambda _doing: None,
    ) -> None:
        self.contract, self.state, self.settings, self.folder = contract, state, settings, folder
        self.most, self.on_progress = most, on_progress
        self.buckets = buckets_for(sum(state.end.values()))

    def run(
        self, targets: Sequence[str], refusals: Refusals, health: TopicHealth, files: pl.DataFrame | None = None
    ) -> TableReport:
        """Read, compare and explain; `files` are the rows of the CSV files, if they are to be compared as well."""
        names: list[str] = [target for target in targets if target in self.contract.targets]
        if self.contract.history and LAKE in names:
            names.insert(names.index(LAKE) + 1, HISTORY)
        sides = [self._read(name) for name in names]
        if files is not None:
            sides.append(self._side_of_files(files))
        there = [side for side in sides if isinstance(side, _Side)]
        topic = self._read_topic(there, refusals)
        compared, live = self._compare(topic, there)
        findings = [
            self._finding(side, compared[side.name], topic, files) if isinstance(side, _Side) else side
            for side in sides
        ]
        if health.broken:
            findings.append(Finding(TOPIC, "broken", note=health.broken))
        return TableReport(
            self.contract.table,
            self.state.topic,
            live.whole,
            topic.records,
            tuple(topic.reasons),
            tuple(sorted(topic.unknown)),
            tuple(findings),
            topic.undecodable,
            health.notes,
        )

    def _read(self, name: str) -> _Side | Finding:
        """A target's table as entries, or the finding that says why there is nothing to compare."""
        target = LAKE if name == HISTORY else name
        try:
            for _attempt in range(ATTEMPTS):
                try:
                    side = self._spilled(name, target)
                except ReplacedWhileRead as error:
                    trouble = error
                else:
                    break
            else:
                raise trouble
            if side and side.positions:
                # They may have passed the ends taken at the start, so the topic is looked at as it is by now.
                now = topic_state(admin_client(self.settings), self.state.topic)
                check_topic(f"{target} {self.contract.table}", side.positions, now)
        except ServerTrouble as error:
            return Finding(name, "unreachable", note=str(error))
        except Stopped as error:
            return Finding(name, "broken", note=str(error))
        return side or Finding(
            name, "absent", note=f"there is no such table; `olist sink run {target}` makes and fills it"
        )

    def _spilled(self, name: str, target: str) -> _Side | None:
        spill = self._spill(name)
        spill.clear()
        with read(target, self.contract, self.settings, **self._which(name)) as reading:
            if reading is None:
                return None
            for chunk in self._shaped(name, reading.chunks):
                spill.add(entries(self.contract, chunk))
                self._say(f"{name} {spill.rows:,} rows")
            spill.close()
            now = reading.positions_now() if reading.positions_now else reading.positions
            side = _Side(name, spill, reading.positions, now, reading.snapshot, defects=reading.defects)
            return replace(side, late=reading.late)

    def _shaped(self, name: str, chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        with closing(chunks):  # type: ignore[type-var]  # they are generators: their servers hear that it is over
            for chunk in chunks:
                check_shape(LAKE if name == HISTORY else name, self.contract, chunk.schema, history=name == HISTORY)
                yield chunk

    def _which(self, name: str) -> dict[str, bool]:
        return {"history": True} if name == HISTORY else {}

    def _side_of_files(self, rows: pl.DataFrame) -> _Side:
        spill = self._spill(FILES)
        for part in rows.iter_slices(100_000):
            spill.add(entries(self.contract, part))
        spill.close()
        return _Side(FILES, spill, traced=False)

    def _read_topic(self, sides: Sequence[_Side], refusals: Refusals) -> TopicEntries:
        """The topic up to the furthest end that is asked for."""
        refused = {side.target: refusals.of(side.target, self.state.topic) for side in sides if side.traced}
        late = frozenset[str]().union(*(side.late for side in sides if side.name == HISTORY))
        topic = TopicEntries(self._spill(TOPIC), refused, self._spill(EARLY) if late else None, late)
        ends = dict(self.state.end)
        if any(not side.snapshot for side in sides):  # a row of theirs may be a change of a moment ago
            ends = topic_state(admin_client(self.settings), self.state.topic).end
        for side in sides:
            for partition, stands in (side.positions.next if side.positions else {}).items():
                ends[partition] = max(ends.get(partition, 0), stands)
        upper = sum(end - self.state.first.get(partition, 0) for partition, end in ends.items())
        self._say(f"topic 0 of about {upper:,} records")
        read_topic(
            self.contract,
            replace_end(self.state, ends),
            self.settings,
            topic,
            lambda records: self._say(f"topic {records:,} of about {upper:,} records"),
        )
        topic.spill.close()
        if topic.early:
            topic.early.close()
        return topic

    def _compare(self, topic: TopicEntries, sides: Sequence[_Side]) -> tuple[dict[str, Comparison], Digest]:
        compared = {side.name: Comparison() for side in sides}
        live = Digest()
        for number in range(self.buckets):
            self._say(f"comparing {number + 1} of {self.buckets} parts")
            changes = topic.spill.bucket(number)
            live += digest_of(_live(changes, self.state.end))
            for side in sides:
                found, view = side.spill.bucket(number), side.view(topic, self.state.end)
                if side.name == HISTORY:
                    early = topic.early.bucket(number) if topic.early else None
                    compare_history(changes, found, view, compared[side.name], self.most, early)
                else:
                    compare(changes, found, view, compared[side.name], self.most)
        return compared, live

    def _finding(self, side: _Side, compared: Comparison, topic: TopicEntries, files: pl.DataFrame | None) -> Finding:
        behind = lag(side.positions_now, self.state) if side.traced else 0
        refused = topic.refused.get(side.target)
        reasons = [(place, refused.reasons.get(place, "")) for place in compared.refused_at] if refused else []
        finding = Finding(
            side.name,
            "equal",
            compared.expected.whole,
            compared.found.whole,
            behind,
            tuple(f"{self.state.topic}[{p}]@{offset}: {why}" for (p, offset), why in sorted(reasons)),
            counts=dict(compared.counts) | side.defects.counts,
            defects=tuple(side.defects.shown),
            refused_rows=compared.refused_rows + topic.keyless if side.traced and side.name != HISTORY else 0,
            unjudged=compared.unjudged,
        )
        if finding.counts:
            days = differing_days(compared.expected, compared.found)
            differences = self._explained(side, compared, files)
            return replace(finding, state="different", days=days, differences=differences)
        if compared.ahead:
            return replace(finding, state="moving", note=f"{compared.ahead:,} {AHEAD}")
        reason = LATE.format(columns=", ".join(sorted(side.late))) if side.name == HISTORY else UNJUDGED
        note = f"{compared.unjudged:,} {reason.format(target=side.target)}" if compared.unjudged else ""
        return replace(finding, state="behind" if behind else "equal", note=note)

    def _explained(self, side: _Side, compared: Comparison, files: pl.DataFrame | None) -> tuple[Difference, ...]:
        if not self.most:
            return ()
        self._say(f"looking for the keys that differ in {side.name}")
        fetch = changes_at(self.contract, self.state, self.settings)

        def rows_again() -> Iterator[pl.DataFrame]:
            if side.name == FILES:
                yield from () if files is None else files.iter_slices(100_000)
                return
            with read(side.target, self.contract, self.settings, **self._which(side.name)) as reading:
                if reading is not None:
                    yield from self._shaped(side.name, reading.chunks)

        try:
            return explain(self.contract, compared.first, fetch, rows_again, self.most, history=side.name == HISTORY)
        except (ServerTrouble, Stopped):  # gone since it was compared; the finding stands without its examples
            return ()

    def _spill(self, name: str) -> Spill:
        return Spill(self.folder / name, self.buckets)

    def _say(self, doing: str) -> None:
        self.on_progress(f"{self.contract.table}: {doing}")


def replace_end(state: TopicState, end: dict[int, int]) -> TopicState:
    """The topic's state with other ends."""
    return TopicState(state.topic, state.topic_id, state.first, end)


def _live(changes: pl.DataFrame, end: Mapping[int, int]) -> pl.DataFrame:
    """The topic's live rows."""
    below = pl.col("offset") < pl.col("partition").replace_strict(dict(end), default=0, return_dtype=pl.Int64)
    readable = changes.filter(below & (pl.col("flags") & UNDECODABLE == 0)).sort("offset")
    return readable.unique(KEY, keep="last").filter(pl.col("op") != DELETE)
