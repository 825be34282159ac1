"""OpenSearch: one node without plugins, on loopback."""

from __future__ import annotations

import shlex
import shutil
import tempfile
import zipfile
from pathlib import Path

import requests

from olist.clients.opensearch import endpoint, request_options
from olist.errors import ServerTrouble
from olist.stack.servers.artefacts import Artefact, locked
from olist.stack.servers.install import disk_space
from olist.stack.servers.java import classpath, java_program
from olist.stack.servers.server import HOST, Launch, Port, Server, knock

MODULES = (
    "aggs-matrix-stats",
    "analysis-common",
    "geo",
    "ingest-common",
    "lang-expression",
    "lang-painless",
    "mapper-extras",
    "reindex",
    "transport-netty4",
)
"""The modules that the platform uses; each of the others would lengthen every start."""
UNPACKED_BYTES = 100_000_000

CONFIG = """\
cluster.name: olist
node.name: olist-1
path.data: {data}
path.logs: {logs}
network.host: {host}
http.port: {port}
transport.port: {transport}
discovery.type: single-node
# Its default watermarks close every index for writing on a disk that is 95 % full, however much 5 % is.
cluster.routing.allocation.disk.threshold_enabled: false
# A mistyped index name must fail, not make an index with guessed types.
action.auto_create_index: false
"""

LOGGING = """\
status = error
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601}{UTC} %-5p %m (%c{1})%n%throwable{20}
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = stdout
"""

OPTIONS = (
    "-XX:+UseG1GC",
    "-XX:MaxDirectMemorySize=256m",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-OmitStackTraceInFastThrow",
    "-Xss1m",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
    # Both together: no system calls through JNA, which is also what lets it run as root (in a container, say).
    "-Djna.nosys=true",
    "-Djna.noclasspath=true",
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
    "-Dio.netty.recycler.maxCapacityPerThread=0",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog4j2.disable.jmx=true",
    # Java's own locales first, ICU's (see the lock) for those that it lacks.
    "-Djava.locale.providers=CLDR,SPI",
    "-Dopensearch.distribution.type=zip",
    "-Dopensearch.bundled_jdk=false",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
)


class OpenSearch(Server):
    """OpenSearch 3, from the archive that its own integration tests run on."""

    name = "opensearch"
    sections = ("opensearch",)

    @property
    def external(self) -> bool:
        """`OLIST_OPENSEARCH` names another."""
        return self.settings.opensearch is not None

    @property
    def endpoint(self) -> str:
        """URL."""
        return self.settings.opensearch_url

    def ports(self) -> list[Port]:
        """One for HTTP, and the transport port 100 above it, which nobody else joins."""
        port = self.settings.opensearch_port
        return [Port(port, "OLIST_OPENSEARCH_PORT"), Port(port + 100, "OLIST_OPENSEARCH_PORT (+100)")]

    @property
    def program(self) -> Path:
        """The unpacked distribution in the cache, named by what is in it."""
        artefact = self._archive()
        return self.installer.cache / f"opensearch-{artefact.version}-{artefact.sha256[:8]}"

    def _archive(self) -> Artefact:
        (archive,) = (artefact for artefact in locked(*self.sections) if artefact.packaging == "zip")
        return archive

    def unpack(self) -> None:
        """Unpack what is needed of the archive. Two processes may: the first to rename wins, the other's is dropped."""
        if self.program.exists():
            return
        with (
            disk_space(self.installer.cache, UNPACKED_BYTES),
            tempfile.TemporaryDirectory(dir=self.installer.cache, prefix="unpack-") as folder,
            zipfile.ZipFile(self.installer.path(self._archive())) as archive,
        ):
            archive.extractall(folder, [name for name in archive.namelist() if _needed(name)])
            Path(folder).chmod(0o755)
            (top,) = Path(folder).iterdir()
            _rename_unless_there(top, self.program)

    def prepare(self) -> None:
        """Write the configuration."""
        config, data, logs, temporary = (self.folder / name for name in ("config", "data", "logs", "tmp"))
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in (config, data, logs, temporary):
            folder.mkdir(parents=True, exist_ok=True)
        port = self.settings.opensearch_port
        text = CONFIG.format(data=data, logs=logs, host=HOST, port=port, transport=port + 100)
        (config / "opensearch.yml").write_text(text, encoding="utf-8")
        (config / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
        shutil.copyfile(self.program / "config" / "jvm.options", config / "jvm.options")

    def launch(self) -> Launch:
        """The class that its start script would start, with the options that the script would give."""
        home, heap = self.program, f"{self.settings.opensearch_heap_mb}m"
        jars = [self.installer.path(artefact) for artefact in locked(*self.sections) if artefact.packaging == "jar"]
        argv = (
            java_program(self.settings),
            f"-Xms{heap}",
            f"-Xmx{heap}",
            *OPTIONS,
            *shlex.split(self.settings.java_options),
            f"-javaagent:{home}/agent/opensearch-agent.jar",
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            f"-Dopensearch.path.home={home}",
            f"-Dopensearch.path.conf={self.folder / 'config'}",
            "-cp",
            classpath([home / "lib" / "*", *jars]),
            "org.opensearch.bootstrap.OpenSearch",
        )
        return Launch(argv, cwd=self.folder)

    def probe(self) -> str:
        """Ask for its version and for the cluster's health; its indexes must have recovered."""
        if not self.external:
            knock(self.name, self.settings.opensearch_port)
        try:
            url, options = endpoint(self.settings), request_options(self.settings)
            health = requests.get(f"{url}/_cluster/health", timeout=5, **options)
            health.raise_for_status()
            version: str = requests.get(url, timeout=5, **options).json()["version"]["number"]
        except (requests.RequestException, KeyError) as error:
            raise ServerTrouble(self.name, str(error)) from error
        if health.json()["status"] == "red":
            raise ServerTrouble(self.name, "its indexes have not recovered yet (cluster health is red)")
        return version


def _needed(name: str) -> bool:
    parts = name.split("/")
    return len(parts) > 2 and (
        parts[1] in ("agent", "config", "lib") or (parts[1] == "modules" and parts[2] in MODULES)
    )


def _rename_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.exists():
            raise
