"""Remove what nobody goes back to: versions, their states, and what generations own in Kafka; or all of an app.

Each may be repeated. A version's files go last, for they say what else there is of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from msgspec.structs import replace

from olist.settings import Settings
from stream_apps.app import App
from stream_apps.app_topics import FIRST_GENERATION, generation_name, staged_app
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.store import Deployment
from stream_apps.engine import Version
from stream_apps.loader import loaded
from stream_apps.records import Record
from stream_apps.savepoints import own, remove_older


def tidy(app: DeployedApp, record: Record) -> None:
    """Remove every version but the current and the previous one. None else may run."""
    kept = {number for number in (record.current, record.previous) if number is not None}
    generations = {record.versions[number].generation for number in kept}
    needed = named_states(app.deployment, kept)
    for version in _versions(app.deployment, record):
        if version.generation not in generations:
            app.engine.forget(version)
            _delete_staged(app, [version])
        if version.number not in kept:
            app.engine.discard(version.having(own(version.state, needed)))
    app.deployment.write(replace(record, versions={number: record.versions[number] for number in kept}))
    for number in set(record.versions) - kept:
        shutil.rmtree(app.deployment.folder(number), ignore_errors=True)
    remove_older(app.deployment.states, needed)


def named_states(deployment: Deployment, versions: Iterable[int]) -> set[str]:
    """The checkpoints and savepoints that versions go on from."""
    return {path for number in versions for path in deployment.state_of(number).states}


def planned_removals(app: DeployedApp, record: Record) -> list[str]:
    """What `remove` removes, in words."""
    versions = _versions(app.deployment, record)
    listed = [line for version in versions for line in app.engine.owned(version)]
    if staged := _staged(app.settings, versions):
        listed += [f"topic {name}" for name in app.kafka.topic_names() if name in staged]
    return list(dict.fromkeys([*listed, str(app.deployment.path)]))


def remove(app: DeployedApp, record: Record) -> None:
    """End every version and remove it, its groups, its own topics and what it staged. The app's output topics stay."""
    versions = _versions(app.deployment, record)
    for version in versions:
        ended = app.save(version, app.engine.cancel(version))
        app.engine.discard(ended)
        app.engine.forget(ended)
    _delete_staged(app, versions)
    app.deployment.remove()


def _versions(deployment: Deployment, record: Record) -> list[Version]:
    """Its versions, without those whose files are gone: whoever removed them had removed all else before."""
    versions = [deployment.version(record, number) for number in sorted(record.versions)]
    return [version for version in versions if version.code.exists()]


def _delete_staged(app: DeployedApp, versions: Iterable[Version]) -> None:
    if topics := _staged(app.settings, versions):
        app.kafka.delete_topics(topics)


def _staged(settings: Settings, versions: Iterable[Version]) -> list[str]:
    """The first generation has nothing to take the place of."""
    later = [version for version in versions if version.generation != FIRST_GENERATION]
    return [topic for one in later for topic in staged_topics(settings, loaded(one.code), one.generation)]


def staged_topics(settings: Settings, app: App, generation: int) -> list[str]:
    """Where a generation writes what will belong on the app's real topics."""
    outputs = staged_app(app, generation_name(generation)).outputs
    return [contract.topic(settings.topic_prefix) for contract in outputs]
