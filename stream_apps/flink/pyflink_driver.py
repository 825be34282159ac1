"""Runs inside PyFlink's own environment: turns a job file's statements into a compiled plan, or into a running job.

    python driver.py compile JOB.json PLAN.json JARS
    python driver.py execute JOB.json [PLAN.json | PLAN.json.gz]

A job file is ``{"name", "options", "statements", "insert"}``: see `stream_apps.flink.job`, which writes it. Nothing of
ours can be imported here. JARS are the connectors' URLs, joined by `;`: a cluster has them on its classpath.
"""

import gzip
import json
import sys
import tempfile
from pathlib import Path

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment


def declared(job, more_options):
    """A streaming environment with the job's options, tables and views; local, unless a cluster's driver runs this."""
    options = Configuration()
    for name, value in {**job["options"], "pipeline.name": job["name"], **more_options}.items():
        options.set_string(name, value)
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(options).build()
    tables = TableEnvironment.create(settings)
    for statement in job["statements"]:
        tables.execute_sql(statement)
    return tables


def compile_job(job, plan, jars):
    """Write the plan. It names its tables and does not hold them: they are declared anew for every job."""
    compiled = declared(job, {"pipeline.jars": jars}).compile_plan_sql(job["insert"])
    Path(plan).write_text(compiled.as_json_string(), encoding="utf-8")


def unpacked(plan):
    """A file of the plan's text: a Kubernetes ConfigMap holds it gzipped, being large."""
    with tempfile.NamedTemporaryFile(suffix=".json", delete=False) as file:
        file.write(gzip.decompress(Path(plan).read_bytes()))
    return file.name


def execute_job(job, plan=None):
    """Submit the plan, or the statements planned anew; returns as soon as the job was taken."""
    if plan is not None and plan.endswith(".gz"):
        plan = unpacked(plan)
    # By a statement: `CompiledPlan.execute` of a plan that was loaded from a file fails inside PyFlink 2.2.
    declared(job, {}).execute_sql(job["insert"] if plan is None else f"EXECUTE PLAN '{plan}'")


MODES = {"compile": compile_job, "execute": execute_job}

if __name__ == "__main__":
    mode, job_file, *files = sys.argv[1:]
    MODES[mode](json.loads(Path(job_file).read_text(encoding="utf-8")), *files)
