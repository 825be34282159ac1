"""The compiled plan of a Flink app for a Kubernetes cluster: made here, by PyFlink, and carried in a ConfigMap."""

from __future__ import annotations

import tempfile
from pathlib import Path

from olist.settings import Settings
from stream_apps.app import App, FlinkApp
from stream_apps.deploy.k8s import job_file
from stream_apps.flink.job import compile_plan


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
