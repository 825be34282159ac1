"""Remove what nobody goes back to: versions, their states, and what generations own in Kafka; or all of an app.

Each may be repeated. A version's files go last, for they say what else there is of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from msgspec.structs import replace

from olist.settings import Settings
from olist.topics.admin import delete_topics
from olist.topics.broker import Broker
from stream_apps.app import App
from stream_apps.app_topics import FIRST_GENERATION, generation_name, staged_app
from stream_apps.deploy.store import Deployment, place
from stream_apps.engine import Engine, Place
from stream_apps.loader import loaded
from stream_apps.records import Record
from stream_apps.savepoints import own, remove_older


def tidy(settings: Settings, deployment: Deployment, engine: Engine, record: Record) -> None:
    """Remove every version but the current and the previous one. None else may run."""
    kept = {number for number in (record.current, record.previous) if number is not None}
    generations = {record.versions[number].generation for number in kept}
    needed = named(deployment, kept)
    for where in _there(deployment, record):
        if where.generation not in generations:
            engine.forget(where)
            _delete_staged(settings, [where])
        if where.number not in kept:
            engine.discard(where, own(deployment.standing(where.number), needed))
    deployment.write(replace(record, versions={number: record.versions[number] for number in kept}))
    for number in set(record.versions) - kept:
        shutil.rmtree(deployment.version(number), ignore_errors=True)
    remove_older(deployment.state, needed)


def named(deployment: Deployment, versions: Iterable[int]) -> set[str]:
    """The states that versions go on from."""
    return {state for number in versions for state in deployment.standing(number).states}


def doomed(settings: Settings, deployment: Deployment, engine: Engine, record: Record) -> list[str]:
    """What `remove` removes, in words."""
    places = _there(deployment, record)
    told = [line for where in places for line in engine.owned(where)]
    if staged := _staged(settings, places):
        told += [f"topic {name}" for name in Broker(settings).names() if name in staged]
    return list(dict.fromkeys([*told, str(deployment.path)]))


def remove(settings: Settings, deployment: Deployment, engine: Engine, record: Record) -> None:
    """End every version and remove it, its groups, its own topics and what it staged. The app's output topics stay."""
    places = _there(deployment, record)
    for where in places:
        standing = engine.cancel(where, deployment.standing(where.number))
        deployment.stand(where.number, standing)
        engine.discard(where, standing)
        engine.forget(where)
    _delete_staged(settings, places)
    deployment.remove()


def _there(deployment: Deployment, record: Record) -> list[Place]:
    """Its versions, without those whose files are gone: whoever removed them had removed all else before."""
    places = [place(deployment, record, number) for number in sorted(record.versions)]
    return [where for where in places if where.code.exists()]


def _delete_staged(settings: Settings, places: Iterable[Place]) -> None:
    if topics := _staged(settings, places):
        delete_topics(settings, topics)


def _staged(settings: Settings, places: Iterable[Place]) -> list[str]:
    """The first generation has nothing to take the place of."""
    later = [where for where in places if where.generation != FIRST_GENERATION]
    return [topic for where in later for topic in staged_topics(settings, loaded(where.code), where.generation)]


def staged_topics(settings: Settings, app: App, generation: int) -> list[str]:
    """Where a generation writes what will belong on the app's real topics."""
    outputs = staged_app(app, generation_name(generation)).outputs
    return [contract.topic(settings.topic_prefix) for contract in outputs]
