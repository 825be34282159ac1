"""One sink process, measured: carries a topic that is already written to its target, through the real runner.

    python -m benchmarks.carry iceberg order_items --records 525000

Counted is the CPU time of this process, all its threads, from after the imports to the last commit. `consume` is the
main thread's: polling, and asking the topics' state; the other stages are those of the sink's own threads; what native
threads take (librdkafka, polars, pyarrow) is in no stage but in the sum.
"""

from __future__ import annotations

import sys
import time
from threading import Event, Thread, main_thread
from typing import Any

import click
import msgspec

from olist.settings import settings
from olist.tables import TABLES
from olist.telemetry import CHANGES_WRITTEN, STAGE_CPU, configure_logging
from olist.topics.admin import ensure_topic
from olist.topics.dead_letters import TOPIC_CONFIG, dead_letter_topic
from sinks.base import TARGETS, factory
from sinks.runtime.process import run_sink

LOOK_EVERY_S = 0.03
STAGES = ("decode", "stage", "commit")


class Carried(msgspec.Struct):
    """CPU seconds of a sink process, by stage and in all, and wall seconds."""

    cpu_s: float
    wall_s: float
    stages_s: dict[str, float]


def carry(target: str, table: str, records: int, most: int) -> Carried:
    """Run the sink until so many records are committed."""
    current, contract = settings(), TABLES[table]
    ensure_topic(current, dead_letter_topic(current), TOPIC_CONFIG)
    factory(target)  # imports it
    stopping, found = Event(), list[Carried]()
    watch = Thread(target=_watch, args=((target, table), records, stopping, found))
    watch.start()
    run_sink(current, target, [contract], stopping, most=most)
    watch.join()
    return found[0]


def _watch(labels: tuple[str, str], records: int, stopping: Event, found: list[Carried]) -> None:
    main_clock = time.pthread_getcpuclockid(main_thread().ident or 0)
    cpu, wall, main = time.process_time(), time.perf_counter(), time.clock_gettime(main_clock)
    while _value(CHANGES_WRITTEN.labels(*labels)) < records:
        time.sleep(LOOK_EVERY_S)
        if not main_thread().is_alive():
            return
    stages = {"consume": time.clock_gettime(main_clock) - main}
    stages |= {stage: _value(STAGE_CPU.labels(*labels, stage)) for stage in STAGES}
    found.append(Carried(time.process_time() - cpu, time.perf_counter() - wall, stages))
    stopping.set()


def _value(counter: Any) -> float:
    return float(counter.collect()[0].samples[0].value)


@click.command()
@click.argument("target", type=click.Choice(TARGETS))
@click.argument("table", type=click.Choice(list(TABLES)))
@click.option("--records", type=click.IntRange(1), required=True)
@click.option("--most", type=click.IntRange(1), default=50_000, show_default=True, help="Records in one poll.")
def main(target: str, table: str, records: int, most: int) -> None:
    """Carry a topic and print what it cost, as JSON."""
    configure_logging(settings())
    sys.stdout.write(msgspec.json.encode(carry(target, table, records, most)).decode() + "\n")


if __name__ == "__main__":
    main()
