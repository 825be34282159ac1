"""The process: ``python -m stream_apps.faust.worker NAME``. SIGTERM stops it within a few seconds; the exit code is 0.

It makes the topics that are missing, and writes what it does to the file that ``--status`` names
(`worker_status.Status`).
"""

from __future__ import annotations

import gc
import hashlib
import sys
from pathlib import Path
from typing import Any

import click
import faust

from olist.cli import failure
from olist.errors import BadInput, OlistError
from olist.settings import Settings, settings
from olist.telemetry import configure_logging, serve_metrics
from olist.topics.admin import ensure_topic, ensure_topics
from olist.topics.dead_letters import TOPIC_CONFIG, DeadLetters, dead_letter_topic
from stream_apps.app import FaustApp
from stream_apps.app_topics import staged_app
from stream_apps.catalogue import app_file
from stream_apps.faust.changelog import Changelog
from stream_apps.faust.names import BY_KEY_CONFIG, STATE_CONFIG, names
from stream_apps.faust.producer import AppProducer, BufferedProducer
from stream_apps.faust.record_processor import RecordProcessor
from stream_apps.faust.repartition import tables_read
from stream_apps.faust.worker_loop import WorkerLoop
from stream_apps.faust.worker_status import Status, StatusFile
from stream_apps.loader import load_app

COLLECT_AFTER = 50_000  # objects: an event makes hundreds that no cycle holds


def worker_loop(
    current: Settings,
    app: FaustApp[Any],
    code: str,
    *,
    generation: str = "",
    instance: str | None = None,
    status: Path | None = None,
) -> WorkerLoop:
    """Make the topics that are missing, and a worker.

    Raises:
        Stopped: a topic has another number of partitions than the settings say.
        ServerTrouble: Kafka does not answer.
    """
    named = names(current, app, generation)
    states = ensure_topics(current, (*tables_read(app), *app.writes))
    ensure_topic(current, dead_letter_topic(current), TOPIC_CONFIG)
    ensure_topic(current, named.state, STATE_CONFIG, current.partitions)
    ensure_topic(current, named.by_key, BY_KEY_CONFIG, current.partitions)
    changelog, counts = Changelog(current, app, named.state), StatusFile(Status(app.name, named.group), status)
    producer = AppProducer(app, current, named.by_key, changelog, BufferedProducer(current), counts)
    processor = RecordProcessor(app, current, named.by_key, producer, DeadLetters(current), counts)
    ids = {contract.table: states[contract.table].topic_id for contract in tables_read(app)}
    return WorkerLoop(current, named.group, processor, changelog, ids, code, instance)


@click.command()
@click.argument("name")
@click.option("--file", "path", type=click.Path(path_type=Path), help="The app's file; the default is ours.")
@click.option("--generation", default="", help="Run beside the app's other workers, from the beginning of its topics.")
@click.option("--staged", is_flag=True, help="Write to topics of the generation's own, beside the real ones.")
@click.option("--instance", help="A name of its own for this process, so that a restart takes over at once.")
@click.option("--status", type=click.Path(path_type=Path), help="A file to write the worker's status to, each second.")
def main(
    name: str, path: Path | None, generation: str, staged: bool, instance: str | None, status: Path | None
) -> None:
    """Run one worker of a Faust app."""
    current = settings()
    configure_logging(current)
    serve_metrics(current)
    source = path or app_file(name)
    app = load_app(source)
    if not isinstance(app, FaustApp):
        raise BadInput(f"{name} is not a Faust app", hint="`olist apps run` knows which engine runs it")
    if staged:
        app = staged_app(app, generation)
        assert isinstance(app, FaustApp)
    code = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    loop = worker_loop(current, app, code, generation=generation, instance=instance, status=status)
    worker = faust.Worker(
        loop.build(), loglevel="WARN", redirect_stdouts=False, quiet=True, daemon=True, stdout=sys.stderr
    )
    gc.set_threshold(COLLECT_AFTER)
    worker.spinner = None  # it writes to the log, terminal or not
    raise worker.execute_from_commandline()


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except OlistError as error:
        failure.say(error)
        sys.exit(1)
