"""An app as Kubernetes objects. Rendered here and never applied here: `kubectl apply` is a step of its own.

A Flink app is a `FlinkDeployment` (operator 1.15, Flink 2.2) in application mode: the operator takes the savepoint when
its specification changes, and restarts the job from its newest checkpoint. A Faust app is a plain `Deployment` whose
pods share a consumer group. Both get their file, or what was rendered from it, from a `ConfigMap`, whose digest is an
annotation: another version is another specification, so it is rolled out.

A Flink app runs by its compiled plan, which says for how long each state is kept; it comes gzipped, being large. Who
applies these objects supposes the namespace, Kafka, the operator and the two images that `Cluster` names.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from olist.settings import Settings
from stream_apps.app import App, FlinkApp
from stream_apps.flink.job import compile_plan, encode, job_of, text_of
from stream_apps.flink.submit import PROGRAM_DRIVER

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """What the manifests suppose of the cluster. Names follow Strimzi's for a Kafka called `olist`."""

    namespace: str = "olist"
    kafka: str = "olist-kafka-bootstrap:9092"
    state: str = "s3://lake/flink"
    flink_image: str = "olist-flink:latest"
    app_image: str = "olist:latest"
    flink_version: str = "v2_2"
    service_account: str = "flink"

    def settings(self) -> Settings:
        """What the same apps are rendered with on a machine, with this cluster's addresses and nobody's environment."""
        defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
        return Settings.model_construct(**{**defaults, "kafka": self.kafka})


APP_FOLDER = "/opt/olist/app"
DRIVER = "/opt/olist/driver.py"
FLINK_PYTHON_JAR = "local:///opt/flink/opt/flink-python.jar"
STOP_WITHIN_S = 60


def manifests(app: App, code: str, plan: bytes = b"", parallelism: int = 1, cluster: Cluster | None = None) -> str:
    """YAML documents: a ConfigMap and what runs it. `plan` is a Flink app's, made from `job_file`."""
    where = cluster or Cluster()
    if isinstance(app, FlinkApp):
        documents = _flink(app, plan, parallelism, where)
    else:
        documents = _faust(app, code, parallelism, where)
    return yaml.dump_all(
        documents, Dumper=Readable, explicit_start=True, sort_keys=False, allow_unicode=True, width=120
    )


class Readable(yaml.SafeDumper):
    """Writes texts of many lines as blocks, and repeats what occurs twice instead of pointing to it."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library's signature
        """No anchors."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Readable.add_representer(str, _text)


def job_file(app: FlinkApp, cluster: Cluster | None = None) -> bytes:
    """What the app's plan is compiled from, with the cluster's addresses."""
    return encode(job_of((cluster or Cluster()).settings(), app))


def _flink(app: FlinkApp, plan: bytes, parallelism: int, where: Cluster) -> list[Manifest]:
    job = job_of(where.settings(), app)
    files = {"job.json": encode(job).decode(), "statements.sql": text_of(job)}
    name = object_name(app)
    container = {"name": "flink-main-container", "volumeMounts": [{"name": "app", "mountPath": APP_FOLDER}]}
    pod = {
        "metadata": {"annotations": {"olist/digest": digest({**files, "plan": packed(plan)})}},
        "spec": {"containers": [container], "volumes": [{"name": "app", "configMap": {"name": name}}]},
    }
    spec = {
        "image": where.flink_image,
        "flinkVersion": where.flink_version,
        "serviceAccount": where.service_account,
        "flinkConfiguration": {**flink_configuration(name, where), **{k: str(v) for k, v in job.options.items()}},
        "jobManager": {"resource": {"memory": "1024m", "cpu": 0.5}},
        "taskManager": {"resource": {"memory": "2048m", "cpu": 1}},
        "podTemplate": pod,
        "job": {
            "jarURI": FLINK_PYTHON_JAR,
            "entryClass": PROGRAM_DRIVER,
            "args": ["-py", DRIVER, "execute", f"{APP_FOLDER}/job.json", f"{APP_FOLDER}/plan.json.gz"],
            "parallelism": parallelism,
            "upgradeMode": "savepoint",
            "state": "running",
            "allowNonRestoredState": False,
        },
    }
    return [
        {**config_map(app, files, where), "binaryData": {"plan.json.gz": packed(plan)}},
        {
            "apiVersion": "flink.apache.org/v1beta1",
            "kind": "FlinkDeployment",
            "metadata": metadata(app, where),
            "spec": spec,
        },
    ]


def packed(plan: bytes) -> str:
    """As a ConfigMap holds it; the same plan is always the same text."""
    return base64.b64encode(gzip.compress(plan, mtime=0)).decode()


def unpacked(text: str) -> bytes:
    """The inverse of `packed`; nothing of nothing."""
    return gzip.decompress(base64.b64decode(text)) if text else b""


def flink_configuration(name: str, where: Cluster) -> dict[str, str]:
    """The cluster's part of a job's options; `upgradeMode: savepoint` demands a checkpoint folder."""
    return {
        "taskmanager.numberOfTaskSlots": "2",
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.dir": f"{where.state}/{name}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"{where.state}/{name}/savepoints",
        "execution.checkpointing.interval": "2 s",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "high-availability.type": "kubernetes",
        "high-availability.storageDir": f"{where.state}/{name}/ha",
        "kubernetes.operator.savepoint.history.max.count": "5",
        # An upgrade that does not become ready goes back to the last specification that was.
        "kubernetes.operator.deployment.rollback.enabled": "true",
        "kubernetes.operator.deployment.readiness.timeout": "5 min",
    }


def _faust(app: App, code: str, parallelism: int, where: Cluster) -> list[Manifest]:
    files = {f"{app.name}.py": code}
    name, labels = object_name(app), selector(app)
    container = {
        "name": "worker",
        "image": where.app_image,
        "command": ["python", "-P", "-m", "stream_apps.faust.worker", app.name],
        "args": ["--file", f"{APP_FOLDER}/{app.name}.py", "--status", "/tmp/status"],
        "env": [
            {"name": "OLIST_KAFKA", "value": where.kafka},
            {"name": "OLIST_METRICS_PORT", "value": "9000"},
            {"name": "OLIST_LOG_FORMAT", "value": "json"},
        ],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [{"name": "app", "mountPath": APP_FOLDER}, {"name": "scratch", "mountPath": "/tmp"}],
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
    }
    spec = {
        "replicas": parallelism,
        # The next pod takes a partition over only when the last one has left it: two at once would be fenced.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels, "annotations": {"olist/digest": digest(files)}},
            "spec": {
                "containers": [container],
                "terminationGracePeriodSeconds": STOP_WITHIN_S,
                "volumes": [{"name": "app", "configMap": {"name": name}}, {"name": "scratch", "emptyDir": {}}],
            },
        },
    }
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(app, where), "spec": spec}
    return [config_map(app, files, where), deployment]


def config_map(app: App, files: Mapping[str, str], where: Cluster) -> Manifest:
    """The files that a version is made of."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(app, where), "data": dict(files)}


def metadata(app: App, where: Cluster) -> Manifest:
    """Name, namespace, labels."""
    return {"name": object_name(app), "namespace": where.namespace, "labels": selector(app)}


def selector(app: App) -> dict[str, str]:
    """What tells an app's objects from others."""
    return {"app.kubernetes.io/name": object_name(app), "app.kubernetes.io/part-of": "olist"}


def object_name(app: App) -> str:
    """A name that Kubernetes takes."""
    return app.name.replace("_", "-")


def digest(files: Mapping[str, str]) -> str:
    """Of all files."""
    return hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(files.items())).encode()).hexdigest()[
        :16
    ]


def plan_for(settings: Settings, app: App) -> bytes:
    """The plan, in 5-20 s; nothing for an app of another engine. `settings` say where PyFlink is.

    Raises:
        BadInput: Flink refuses the app's statements.
        StackError: there is no PyFlink here.
    """
    if not isinstance(app, FlinkApp):
        return b""
    with tempfile.TemporaryDirectory(prefix="olist-plan-") as folder:
        job, plan = Path(folder, "job.json"), Path(folder, "plan.json")
        job.write_bytes(job_file(app))
        compile_plan(settings, job, plan)
        return plan.read_bytes()
