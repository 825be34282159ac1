"""Apps as Kubernetes objects: rules that no schema knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_apps import catalogue
from stream_apps.app import App, FlinkApp
from stream_apps.deploy.kubernetes import manifests

APPS = catalogue.apps()


def objects(app: App, code: str = "code\n") -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in yaml.safe_load_all(manifests(app, code))}


@pytest.mark.parametrize("name", [name for name, app in APPS.items() if isinstance(app, FlinkApp)])
def test_the_operator_finds_where_to_put_savepoints_and_the_job_its_files(name: str) -> None:
    found = objects(APPS[name])
    job, spec = found["FlinkDeployment"]["spec"]["job"], found["FlinkDeployment"]["spec"]
    assert job["upgradeMode"] == "savepoint"
    assert spec["flinkConfiguration"]["execution.checkpointing.dir"].startswith("s3://")
    assert spec["flinkVersion"] == "v2_2"
    (volume,) = spec["podTemplate"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    (mount,) = spec["podTemplate"]["spec"]["containers"][0]["volumeMounts"]
    assert f"{mount['mountPath']}/job.json" == job["args"][-2]
    assert "job.json" in found["ConfigMap"]["data"]
    assert all(isinstance(value, str) for value in spec["flinkConfiguration"].values()), "the operator takes strings"


@pytest.mark.parametrize("name", [name for name, app in APPS.items() if not isinstance(app, FlinkApp)])
def test_a_deployment_selects_its_own_pods_and_mounts_the_apps_file(name: str) -> None:
    found = objects(APPS[name])
    spec = found["Deployment"]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert found["ConfigMap"]["data"] == {f"{name}.py": "code\n"}
    (container,) = spec["template"]["spec"]["containers"]
    volumes = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert f"/opt/olist/app/{name}.py" in container["args"]


@pytest.mark.parametrize("name", APPS)
def test_another_version_is_another_specification_so_that_it_is_rolled_out(name: str) -> None:
    app = APPS[name]
    if isinstance(app, FlinkApp):
        kind, other = "FlinkDeployment", FlinkApp(app.name, app.reads, app.writes, f"{app.select} -- changed")
        assert objects(app)[kind]["spec"] != objects(other)[kind]["spec"], "the operator looks at nothing else"
    else:
        before, after = (objects(app, code)["Deployment"]["spec"]["template"] for code in ("a\n", "b\n"))
        assert before["metadata"]["annotations"] != after["metadata"]["annotations"]


@pytest.mark.parametrize("name", APPS)
def test_names_are_what_kubernetes_takes_and_long_texts_are_readable(name: str) -> None:
    code = Path(catalogue.FOLDER / f"{name}.py").read_text("utf-8")
    text = manifests(APPS[name], code)
    for one in yaml.safe_load_all(text):
        assert one["metadata"]["name"] == name.replace("_", "-")
        assert one["metadata"]["namespace"] == "olist"
    shown = [] if isinstance(APPS[name], FlinkApp) else [line for line in code.splitlines() if line.strip()]
    lines = {line.strip() for line in text.splitlines()}
    assert {line.strip() for line in shown} <= lines
