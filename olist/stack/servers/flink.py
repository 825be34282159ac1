"""Flink's session cluster from PyFlink's wheel: a JobManager and one TaskManager, two Java processes on loopback.

They start only when they are asked for by name (``olist up --only kafka,jobmanager,taskmanager``). Either may start
first, and either may be killed: a job survives its TaskManager; a new JobManager begins without jobs, and whoever
submitted them begins them again from their last checkpoint, below ``<home>/flink/checkpoints``.
"""

from __future__ import annotations

import shlex
import shutil
import uuid
from abc import abstractmethod
from typing import Any, ClassVar

import requests

from olist.clients.kafka import FLINK_SHADED, java_options, java_secrets
from olist.errors import ServerTrouble
from olist.settings import Settings
from olist.stack.servers.artefacts import locked
from olist.stack.servers.flink_config import (
    DIRECT_MB,
    METASPACE_MB,
    Folders,
    Value,
    as_yaml,
    configuration,
    flink_environment,
    query_port,
)
from olist.stack.servers.java import classpath, java_program
from olist.stack.servers.server import ENVIRONMENT, HOST, Launch, Port, Server, knock, log_path

LOGGING = """\
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d{ISO8601}{UTC} %-5p %m (%c{1})%n
rootLogger.level=INFO
rootLogger.appenderRef.stdout.ref=stdout
# Every option and its value.
logger.options.name=org.apache.flink.configuration.GlobalConfiguration
logger.options.level=WARN
# Ten plugins at every start, none of them in use.
logger.plugins.name=org.apache.flink.core.plugin
logger.plugins.level=WARN
# Kafka's clients: every one's configuration; a producer for every checkpoint, whose metrics then bear the same names.
logger.kafka.name=org.apache.flink.kafka.shaded.org.apache.kafka
logger.kafka.level=WARN
logger.version.name=org.apache.flink.kafka.shaded.org.apache.kafka.common.utils.AppInfoParser
logger.version.level=ERROR
logger.connector.name=org.apache.flink.connector.kafka
logger.connector.level=WARN
logger.metrics.name=org.apache.flink.metrics.MetricGroup
logger.metrics.level=ERROR
# Some lines for every checkpoint of every job.
logger.checkpoints.name=org.apache.flink.runtime.checkpoint
logger.checkpoints.level=WARN
logger.sources.name=org.apache.flink.runtime.source.coordinator
logger.sources.level=WARN
# Types that it does not know well, for every plan.
logger.types.name=org.apache.flink.api.java.typeutils
logger.types.level=WARN
"""

OPENED = (
    "--enable-native-access=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in (
            *("java.lang", "java.lang.reflect", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.text"),
            *("java.time", "java.util", "java.util.concurrent"),
            *("java.util.concurrent.atomic", "java.util.concurrent.locks"),
        )
    ),
)
"""What Flink's own `config.yaml` opens, without the compiler's modules, which a small Java does not have; and leave to
load its native libraries."""


class FlinkProcess(Server):
    """What both have in common. They share one folder: the state in it belongs to the cluster."""

    sections = ("flink",)
    on_request = True
    main: ClassVar[str]

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.folder = settings.home.resolve() / "flink"
        self.own = self.folder / self.name
        self.folders = Folders(state=self.folder, scratch=self.own / "scratch")

    @property
    def external(self) -> bool:
        """`OLIST_FLINK` names another cluster."""
        return self.settings.flink is not None

    def unpack(self) -> None:
        """Nothing to unpack; but say now, not in a log, when PyFlink is missing."""
        flink_environment(self.settings)

    def prepare(self) -> None:
        """Write the configuration, and remove what a killed process left in its scratch folder."""
        shutil.rmtree(self.folders.scratch, ignore_errors=True)
        for folder in (self.folders.scratch, self.folders.checkpoints, self.folders.savepoints):
            folder.mkdir(parents=True, exist_ok=True)
        options = configuration(self.settings, self.folders, flink_environment(self.settings).python)
        port = query_port(self.settings.flink_inner_port, self.name)
        options |= {"metrics.internal.query-service.port": str(port), **self.own_options()}
        (self.own / "config.yaml").write_text(as_yaml(options), encoding="utf-8")
        (self.own / "log4j2.properties").write_text(LOGGING, encoding="utf-8")

    def own_options(self) -> dict[str, Value]:
        """Options of this process alone."""
        return {}

    @abstractmethod
    def java_memory(self) -> tuple[str, ...]:
        """The same limits as in the configuration, for Java."""

    def launch(self) -> Launch:
        """Its class, as Flink's own scripts would start it (those want an older Java)."""
        environment = flink_environment(self.settings)
        jars = [*environment.jars, environment.python_jar, *map(self.installer.path, locked(*self.sections))]
        log = log_path(self.settings.home.resolve(), self.name)
        options = (
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:MaxMetaspaceSize={METASPACE_MB}m",
            *self.java_memory(),
            *OPENED,
            "-Djava.awt.headless=true",
            f"-Djava.io.tmpdir={self.folders.scratch}",
            f"-Dlog4j2.configurationFile={self.own / 'log4j2.properties'}",
            f"-Dlog.file={log}",  # shown on the web page
            *java_options(self.settings, shaded=FLINK_SHADED),
            *shlex.split(self.settings.java_options),
        )
        env = {
            **ENVIRONMENT,
            **java_secrets(self.settings),
            "CLASSPATH": classpath(jars),
            "FLINK_HOME": str(environment.package),
            "FLINK_CONF_DIR": str(self.own),
            "FLINK_LIB_DIR": str(environment.package / "lib"),
            "FLINK_OPT_DIR": str(environment.package / "opt"),
            "FLINK_PLUGINS_DIR": str(environment.package / "plugins"),
        }
        argv = (java_program(self.settings), *options, self.main, "--configDir", str(self.own))
        return Launch(argv, cwd=self.own, env=env)

    def ask(self, path: str) -> Any:
        """What the REST API answers at a path.

        Raises:
            ServerTrouble: nothing, or a refusal.
        """
        if not self.external:
            knock(self.name, self.settings.flink_port)
        try:
            answer = requests.get(f"{self.settings.flink_url}{path}", timeout=5)
            answer.raise_for_status()
            return answer.json()
        except requests.RequestException as error:
            raise ServerTrouble(self.name, str(error)) from error


class JobManager(FlinkProcess):
    """Takes jobs by REST, plans them, and tells the TaskManager what to run."""

    name = "jobmanager"
    main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"

    @property
    def endpoint(self) -> str:
        """URL of its REST API, which is its web page too."""
        return self.settings.flink_url

    def ports(self) -> list[Port]:
        """REST; the TaskManager's way to it, to the jobs' files, to its metrics."""
        inner = self.settings.flink_inner_port
        rest = Port(self.settings.flink_port, "OLIST_FLINK_PORT")
        return [rest, *(Port(inner + step, "OLIST_FLINK_INNER_PORT (inner)") for step in range(3))]

    def java_memory(self) -> tuple[str, ...]:
        """A heap; the serial collector holds the least beside it."""
        return ("-XX:+UseSerialGC", "-Xms128m", f"-Xmx{self.settings.flink_jobmanager_heap_mb}m")

    def probe(self) -> str:
        """Ask for the cluster's overview."""
        version: str = self.ask("/overview")["flink-version"]
        return version


class TaskManager(FlinkProcess):
    """Runs the jobs' tasks in its slots and holds their state."""

    name = "taskmanager"
    main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    identity = ""

    @property
    def endpoint(self) -> str:
        """Nobody calls it but the JobManager."""
        return self.settings.flink or f"{HOST}:{self.settings.flink_inner_port + 3}"

    def ports(self) -> list[Port]:
        """The JobManager's way to it, data between tasks, its metrics."""
        inner = self.settings.flink_inner_port
        return [Port(inner + step, "OLIST_FLINK_INNER_PORT (inner)") for step in range(3, 6)]

    def own_options(self) -> dict[str, Value]:
        """A name of its own for every start: for some seconds the JobManager still lists one that was killed."""
        self.identity = f"taskmanager-{uuid.uuid4().hex[:8]}"
        return {"taskmanager.resource-id": self.identity}

    def java_memory(self) -> tuple[str, ...]:
        """A heap, and the buffers between tasks."""
        heap = f"{self.settings.flink_taskmanager_heap_mb}m"
        return ("-XX:+UseG1GC", "-Xms256m", f"-Xmx{heap}", f"-XX:MaxDirectMemorySize={DIRECT_MB}m")

    def probe(self) -> str:
        """Ask the JobManager whether this very process has registered with its slots."""
        version: str = self.ask("/overview")["flink-version"]
        known = self.ask("/taskmanagers")["taskmanagers"]
        slots = sum(one["slotsNumber"] for one in known if self.identity in ("", one["id"]))
        if not slots:
            raise ServerTrouble(self.name, "it has not registered with the JobManager yet")
        return version
