"""Apache Kafka: one node, broker and controller in one process (KRaft), on loopback."""

from __future__ import annotations

import base64
import shlex
import subprocess
import uuid

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from olist.clients.kafka import client_options, words_of
from olist.errors import ServerTrouble, StackError
from olist.stack.servers.artefacts import KAFKA, locked
from olist.stack.servers.java import classpath, java_program
from olist.stack.servers.server import ENVIRONMENT, HOST, Launch, Port, Server, knock

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller}
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# A mistyped topic name must fail, not make a topic.
auto.create.topics.enable=false
# Source topics are the truth that every sink is rebuilt from: nothing expires, and compaction leaves each key's newest.
log.retention.ms=-1
log.retention.bytes=-1
# Consumers' positions must outlive a demo that rests for weeks.
offsets.retention.minutes=525600
# One node holds one copy; few inner partitions make the first consumer and the first transaction start sooner.
offsets.topic.num.partitions=8
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Every kill -9 must be followed by a quick start: two cores recover logs side by side.
num.recovery.threads.per.data.dir=2
# After a kill -9 the node must wait for its own former self's session (9 s by default) before it may serve.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
"""

LOGGING = """\
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d{ISO8601}{UTC} %-5p %m (%c{1})%n
rootLogger.level=INFO
rootLogger.appenderRef.stdout.ref=stdout
# The whole configuration, printed several times at every start.
logger.config.name=org.apache.kafka.common.config.AbstractConfig
logger.config.level=WARN
logger.log.name=org.apache.kafka.storage.internals.log
logger.log.level=WARN
"""

OPTIONS = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:+ExitOnOutOfMemoryError")


def cluster_id(seed: uuid.UUID) -> str:
    """`seed` as Kafka writes ids: 22 characters of URL-safe base64.

    No "-" among them: a first one would be an option to Kafka's storage tool, and the data folder stay unformatted.
    """
    return base64.urlsafe_b64encode(seed.bytes).rstrip(b"=").replace(b"-", b"_").decode()


class Kafka(Server):
    """Kafka 4.3, started by its own class: its shell scripts are not in any jar."""

    name = "kafka"
    sections = ("kafka",)

    @property
    def external(self) -> bool:
        """`OLIST_KAFKA` names another."""
        return self.settings.kafka is not None

    @property
    def endpoint(self) -> str:
        """Bootstrap servers."""
        return self.settings.kafka_bootstrap

    def ports(self) -> list[Port]:
        """One for clients, one for the controller."""
        return [
            Port(self.settings.kafka_port, "OLIST_KAFKA_PORT"),
            Port(self.settings.kafka_controller_port, "OLIST_KAFKA_CONTROLLER_PORT"),
        ]

    def prepare(self) -> None:
        """Write the configuration; the first time, format the data folder with a cluster id."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data"
        text = PROPERTIES.format(
            host=HOST, broker=self.settings.kafka_port, controller=self.settings.kafka_controller_port, data=data
        )
        (self.folder / "server.properties").write_text(text, encoding="utf-8")
        (self.folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        if not (data / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        cluster = cluster_id(uuid.uuid4())
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties", "--standalone")
        command = [*self._java("-XX:TieredStopAtLevel=1"), *tool]
        done = subprocess.run(command, cwd=self.folder, env=self._env(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"kafka: formatting {self.folder / 'data'} failed: {(done.stderr or done.stdout)[-2000:]}")

    def launch(self) -> Launch:
        """`kafka.Kafka server.properties`."""
        heap = f"{self.settings.kafka_heap_mb}m"
        chosen = shlex.split(self.settings.java_options)
        argv = self._java(f"-Xms{heap}", f"-Xmx{heap}", *OPTIONS, *chosen)
        return Launch((*argv, "kafka.Kafka", "server.properties"), cwd=self.folder, env=self._env())

    def _java(self, *options: str) -> tuple[str, ...]:
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        return (java_program(self.settings), "-Djava.awt.headless=true", logging, *options)

    def _env(self) -> dict[str, str]:
        jars = [self.installer.path(artefact) for artefact in locked(*self.sections)]
        return {**ENVIRONMENT, "CLASSPATH": classpath(jars)}

    def probe(self) -> str:
        """Ask for the cluster's metadata."""
        if not self.external:
            knock(self.name, self.settings.kafka_port)
        client = AdminClient({**client_options(self.settings), "socket.timeout.ms": 3000, "log_level": 0})
        try:
            metadata = client.list_topics(timeout=3)
        except KafkaException as error:
            raise ServerTrouble(self.name, f"{self.endpoint}: {words_of(error)}") from error
        if not metadata.brokers:
            raise ServerTrouble(self.name, "no broker has joined yet")
        partitions = [partition for topic in metadata.topics.values() for partition in topic.partitions.values()]
        if any(partition.leader < 0 for partition in partitions):
            raise ServerTrouble(self.name, "partitions have no leader yet")
        return "" if self.external else KAFKA
