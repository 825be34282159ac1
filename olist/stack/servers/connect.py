"""Kafka Connect with Debezium: one distributed worker on loopback, exactly-once source support on.

It starts only when it is asked for by name (``olist up --only kafka,postgres,connect``): the direct road needs none.
"""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests

from olist.clients.kafka import (
    as_properties,
    java_options,
    java_properties,
    java_providers,
    java_secrets,
    java_security,
)
from olist.errors import ServerTrouble
from olist.settings import Settings
from olist.stack.servers.artefacts import Artefact, locked
from olist.stack.servers.install import disk_space
from olist.stack.servers.java import classpath, java_program
from olist.stack.servers.server import ENVIRONMENT, HOST, Launch, Port, Server, knock

UNPACKED_BYTES = 30_000_000  # of the larger connector

PROPERTIES = """\
{kafka}group.id=olist-connect
listeners=http://{host}:{port}
rest.advertised.host.name={host}
rest.advertised.port={port}
config.storage.topic=olist.connect.configs
offset.storage.topic=olist.connect.offsets
status.storage.topic=olist.connect.status
offset.storage.partitions=1
status.storage.partitions=1
config.storage.replication.factor={replicas}
offset.storage.replication.factor={replicas}
status.storage.replication.factor={replicas}
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
exactly.once.source.support=enabled
topic.creation.enable=true
# Connectors say their own producers' settings.
connector.client.config.override.policy=All
plugin.path={plugins}
# By the plugins' own manifests: 7 s to start against 20 s when every class of every jar is looked at.
plugin.discovery=service_load
# One worker: when it comes back there is nobody whose tasks it should leave alone for five minutes.
scheduled.rebalance.max.delay.ms=0
# What a killed worker leaves open is given up after this, or the next one waits for a minute.
transaction.timeout.ms=10000
session.timeout.ms=6000
heartbeat.interval.ms=2000
# A connector's configuration names its secrets; the worker alone reads them.
{providers}"""

LOGGING = """\
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d{ISO8601}{UTC} %-5p %m (%c{1})%n
rootLogger.level=INFO
rootLogger.appenderRef.stdout.ref=stdout
# The whole configuration, printed for every client.
logger.config.name=org.apache.kafka.common.config.AbstractConfig
logger.config.level=WARN
logger.clients.name=org.apache.kafka.clients
logger.clients.level=WARN
logger.utils.name=org.apache.kafka.common.utils.AppInfoParser
logger.utils.level=WARN
"""

OPTIONS = ("-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")
SHOP_PASSWORD, MONGODB = "OLIST_SHOP_PASSWORD", "OLIST_MONGODB"


class Connect(Server):
    """Kafka Connect 4.3 with Debezium's PostgreSQL connector, and that of MongoDB where `OLIST_MONGODB` names one."""

    name = "connect"
    on_request = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._connectors = ("debezium", *(["debezium-mongodb"] if settings.mongodb else []))
        self.sections = ("connect", *self._connectors)

    @property
    def external(self) -> bool:
        """`OLIST_CONNECT` names another."""
        return self.settings.connect is not None

    @property
    def endpoint(self) -> str:
        """URL of its REST API."""
        return self.settings.connect_url

    def ports(self) -> list[Port]:
        """One, for REST."""
        return [Port(self.settings.connect_port, "OLIST_CONNECT_PORT")]

    @property
    def plugins(self) -> list[Path]:
        """The unpacked connectors' parents in the cache, each named by what is in it."""
        return [self._plugin(artefact) for artefact in locked(*self._connectors)]

    def _plugin(self, artefact: Artefact) -> Path:
        return self.installer.cache / f"{artefact.name}-{artefact.version}-{artefact.sha256[:8]}"

    def unpack(self) -> None:
        """Unpack the connectors. Two processes may: the first to rename wins, the other's is dropped."""
        for artefact in locked(*self._connectors):
            if not self._plugin(artefact).exists():
                self._unpack(artefact)

    def _unpack(self, artefact: Artefact) -> None:
        with (
            disk_space(self.installer.cache, UNPACKED_BYTES),
            tempfile.TemporaryDirectory(dir=self.installer.cache, prefix="unpack-") as folder,
            tarfile.open(self.installer.path(artefact)) as archive,
        ):
            made = Path(folder) / "plugins"
            archive.extractall(made, filter="data")
            try:
                made.rename(self._plugin(artefact))
            except OSError:
                if not self._plugin(artefact).exists():
                    raise

    def prepare(self) -> None:
        """Write the configuration; the worker keeps its own state in Kafka."""
        self.folder.mkdir(parents=True, exist_ok=True)
        named = (SHOP_PASSWORD, MONGODB, *java_secrets(self.settings))
        text = PROPERTIES.format(
            kafka=worker_clients(self.settings),
            host=HOST,
            port=self.settings.connect_port,
            replicas=1 if self.settings.kafka is None else -1,  # -1: as many as the brokers' default
            plugins=",".join(map(str, self.plugins)),
            providers=as_properties(java_providers(self.settings, named)),
        )
        (self.folder / "worker.properties").write_text(text, encoding="utf-8")
        (self.folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")

    def launch(self) -> Launch:
        """`ConnectDistributed worker.properties`, with the secrets in its environment."""
        heap = f"{self.settings.connect_heap_mb}m"
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        chosen = (*java_options(self.settings), *shlex.split(self.settings.java_options))
        argv = (java_program(self.settings), "-Xms128m", f"-Xmx{heap}", *OPTIONS, logging, *chosen)
        jars = [self.installer.path(artefact) for artefact in locked("connect")]
        env = {**ENVIRONMENT, "CLASSPATH": classpath(jars), **secrets(self.settings)}
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        return Launch((*argv, main, "worker.properties"), cwd=self.folder, env=env)

    def probe(self) -> str:
        """Ask for its version, and for its connectors: it answers those only once it has joined its group."""
        if not self.external:
            knock(self.name, self.settings.connect_port)
        try:
            requests.get(f"{self.endpoint}/connectors", timeout=5).raise_for_status()
            version: str = requests.get(self.endpoint, timeout=5).json()["version"]
        except (requests.RequestException, KeyError) as error:
            raise ServerTrouble(self.name, str(error)) from error
        return version


def worker_clients(settings: Settings) -> str:
    """The worker's own client of Kafka, then those of its connectors, which inherit nothing of it."""
    found = java_properties(settings)
    for kind in ("producer", "consumer", "admin"):
        found |= {f"{kind}.{name}": value for name, value in java_security(settings).items()}
    return as_properties(found)


def secrets(settings: Settings) -> dict[str, str]:
    """What connectors' configurations name as ``${env:NAME}``. Without a password any text will do: it is not asked."""
    in_url = unquote(urlsplit(settings.shop_url).password or "")
    password = settings.shop_password.get_secret_value() if settings.shop_password else in_url
    named = {SHOP_PASSWORD: password or "none", **java_secrets(settings)}
    return named | ({MONGODB: settings.mongodb.get_secret_value()} if settings.mongodb else {})
