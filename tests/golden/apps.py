"""Every app as Kubernetes objects, committed under k8s/rendered/apps.

A Flink app's plan takes PyFlink and some seconds to make. So it is made only when it has to be: when what it is
compiled from differs from what the committed file's was. Whether the rest of a file is fresh can be said without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from olist.settings import Settings
from stream_apps import catalogue
from stream_apps.app import App, FlinkApp
from stream_apps.deploy.kubernetes import job_file, manifests, plan_for, unpacked

RENDERED = Path(__file__).parents[2] / "k8s" / "rendered" / "apps"


def names() -> list[str]:
    """Every app."""
    return list(catalogue.apps())


def path_of(name: str) -> Path:
    """An app's file."""
    return RENDERED / f"{name}.yaml"


def plan_of(name: str) -> bytes:
    """The committed plan of a Flink app."""
    return _plan_in(path_of(name))


def is_fresh(name: str) -> bool:
    """Whether the committed file is what the app and the contracts say, its plan taken for what it was made from."""
    app, path = catalogue.apps()[name], path_of(name)
    if not path.exists() or not _plan_is_fresh(app, path):
        return False
    return path.read_text("utf-8") == rendered(app, _plan_in(path))


def renew() -> list[Path]:
    """Write the files that are stale, and remove those of apps that are gone; return what was written."""
    RENDERED.mkdir(parents=True, exist_ok=True)
    for gone in set(RENDERED.glob("*.yaml")) - set(map(path_of, names())):
        gone.unlink()
    stale = [name for name in names() if not is_fresh(name)]
    for name in stale:
        app, path = catalogue.apps()[name], path_of(name)
        kept = path.exists() and _plan_is_fresh(app, path)
        path.write_text(rendered(app, _plan_in(path) if kept else plan_for(Settings(), app)), "utf-8")
    return [path_of(name) for name in stale]


def rendered(app: App, plan: bytes) -> str:
    """The file's text."""
    return manifests(app, (catalogue.FOLDER / f"{app.name}.py").read_text("utf-8"), plan)


def _config(path: Path) -> dict[str, Any]:
    (found,) = (one for one in yaml.safe_load_all(path.read_text("utf-8")) if one["kind"] == "ConfigMap")
    assert isinstance(found, dict)
    return found


def _plan_is_fresh(app: App, path: Path) -> bool:
    if not isinstance(app, FlinkApp):
        return True
    return bool(_config(path)["data"].get("job.json", "").encode() == job_file(app))


def _plan_in(path: Path) -> bytes:
    return unpacked(_config(path).get("binaryData", {}).get("plan.json.gz", ""))
