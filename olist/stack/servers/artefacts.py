"""The lock of Maven coordinates: which archives a server needs, and what their bytes must hash to; and its renewal.

`maven.lock` holds one line per artefact, ``group:name:version[:classifier]:packaging sha256 bytes``, in sections named
like ``[kafka]``. Sections may share artefacts; each is whole by itself, so that a server fetches only its own.

Resolution (from the few coordinates that we choose to all that they need) happens at the developer's command only:
installing reads the lock and resolves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from olist.errors import StackError

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

LOCK = Path(__file__).with_name("maven.lock")
RENEW = "`olist stack lock` renews it"


@dataclass(frozen=True, order=True)
class Artefact:
    """One file of a Maven repository, by coordinate, hash and size in bytes."""

    group: str
    name: str
    version: str
    classifier: str
    packaging: str
    sha256: str = ""
    size: int = 0

    @property
    def coordinate(self) -> str:
        """``group:name:version[:classifier]:packaging``."""
        return ":".join(filter(None, (self.group, self.name, self.version, self.classifier, self.packaging)))

    @property
    def path(self) -> Path:
        """Where the file lies, relative to a repository or the cache, by Maven's layout."""
        file = "-".join(filter(None, (self.name, self.version, self.classifier))) + f".{self.packaging}"
        return Path(*self.group.split("."), self.name, self.version, file)


def parse_coordinate(text: str, sha256: str = "", size: int = 0) -> Artefact:
    """Read ``group:name:version[:classifier]:packaging``.

    Raises:
        StackError: neither four nor five parts, or an empty one.
    """
    parts = text.split(":")
    if len(parts) not in (4, 5) or not all(parts):
        raise StackError(f"{text!r} is not group:name:version[:classifier]:packaging")
    group, name, version, *classifier, packaging = parts
    return Artefact(group, name, version, "".join(classifier), packaging, sha256, size)


def parse_lock(text: str) -> dict[str, tuple[Artefact, ...]]:
    """Read a lock's text: section -> its artefacts, in the written order.

    Raises:
        StackError: a line that is no comment, section or artefact, named by its number.
    """
    sections: dict[str, list[Artefact]] = {}
    current: list[Artefact] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            current = sections.setdefault(line[1:-1], [])
        elif current is None:
            raise StackError(f"maven.lock, line {number}: an artefact before the first [section]", hint=RENEW)
        else:
            current.append(_parse_line(line, number))
    return {name: tuple(artefacts) for name, artefacts in sections.items()}


def _parse_line(line: str, number: int) -> Artefact:
    match line.split():
        case [coordinate, sha256, size] if len(sha256) == 64 and size.isdecimal():
            return parse_coordinate(coordinate, sha256, int(size))
    raise StackError(f"maven.lock, line {number}: not `coordinate sha256 bytes`: {line!r}", hint=RENEW)


def format_lock(sections: Mapping[str, Iterable[Artefact]]) -> str:
    """The text that `parse_lock` reads back."""
    lines = ["# Coordinate, SHA-256, bytes. Written by `olist stack lock`; do not edit."]
    for name, artefacts in sections.items():
        lines += ["", f"[{name}]", *(f"{a.coordinate} {a.sha256} {a.size}" for a in artefacts)]
    return "\n".join(lines) + "\n"


def locked(*sections: str) -> list[Artefact]:
    """The artefacts of these sections of the committed lock, each once, in the lock's order.

    Raises:
        StackError: the lock has no such section.
    """
    lock = parse_lock(LOCK.read_text(encoding="utf-8"))
    for name in sections:
        if name not in lock:
            raise StackError(f"maven.lock has no section [{name}]", hint=RENEW)
    return list(dict.fromkeys(artefact for name in sections for artefact in lock[name]))


KAFKA = "4.3.1"  # not 4.4: Strimzi 1.2 runs 4.2.0-4.3.1
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4:jar"  # without a binding Kafka writes no log at all

JARS = {
    "kafka": (f"org.apache.kafka:kafka_2.13:{KAFKA}:jar", LOGGING),
    "connect": (
        f"org.apache.kafka:connect-runtime:{KAFKA}:jar",
        f"org.apache.kafka:connect-json:{KAFKA}:jar",
        f"org.apache.kafka:connect-transforms:{KAFKA}:jar",
        LOGGING,
    ),
    # No server of ours: the sink that `make bench` measures beside ours, and only that command fetches it.
    "iceberg-connect": (
        "org.apache.iceberg:iceberg-kafka-connect:1.12.0:jar",
        "org.apache.iceberg:iceberg-parquet:1.12.0:jar",
        "org.apache.hadoop:hadoop-client-api:3.5.0:jar",
        "org.apache.hadoop:hadoop-client-runtime:3.5.0:jar",
        "org.postgresql:postgresql:42.7.13:jar",
    ),
    # No server either: the engine that reads the lake back in tests, and whose rewrite is measured beside ours.
    "spark": (
        "org.apache.spark:spark-sql_2.13:4.1.1:jar",
        "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0:jar",
        # Not Spark's own 3.4.2: that asks Java for `Subject.getSubject`, which Java 24 and later refuse.
        "org.apache.hadoop:hadoop-client-api:3.5.0:jar",
        "org.apache.hadoop:hadoop-client-runtime:3.5.0:jar",
        "org.xerial:sqlite-jdbc:3.50.3.0:jar",
    ),
    # Nor this one: what tests have the reviews written to, since no package brings a mongod.
    "mongo-java-server": ("de.bwaldvogel:mongo-java-server:1.47.0:jar",),
}
"""Section -> programs made of jars: these and all that they depend on at run time."""

ARCHIVES = {
    "debezium": ("io.debezium:debezium-connector-postgres:3.7.0.Final:plugin:tar.gz",),
    # Only for a shop with its reviews in MongoDB. The last that is published: there is no 3.7 of it.
    "debezium-mongodb": ("io.debezium:debezium-connector-mongodb:3.6.1.Final:plugin:tar.gz",),
    "opensearch": (
        "org.opensearch.distribution.integ-test-zip:opensearch:3.8.0:zip",
        # Locale data for a small Java: without Thai's word boundaries OpenSearch refuses to create any index.
        "com.ibm.icu:icu4j:77.1:jar",
        "com.ibm.icu:icu4j-localespi:77.1:jar",
    ),
    # The rest of Flink is the wheel. This jar holds its own Kafka client; "-2.2" is the Flink that it is made for.
    "flink": ("org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2:jar",),
}
"""Section -> archives that are taken as they are, without looking for dependencies."""


def renew(cache: Path, report: Callable[[str], None]) -> dict[str, tuple[Artefact, ...]]:
    """Resolve every section anew, downloading into `cache` what it lacks, and hash it. `report` gets one line each."""
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(resolver=PythonResolver(), repo_cache=cache, timeout=60)
    sections = {}
    for name, roots in {**JARS, **ARCHIVES}.items():
        artefacts = [parse_coordinate(root) for root in roots]
        if name in JARS:
            artefacts = _with_dependencies(context, artefacts)
        with ThreadPoolExecutor(max_workers=8) as pool:
            sections[name] = tuple(pool.map(lambda artefact: _hashed(context, artefact), artefacts))
        report(f"[{name}] {len(artefacts)} artefacts, {sum(a.size for a in sections[name]) / 1e6:.0f} MB")
    return sections


def _with_dependencies(context: MavenContext, roots: Iterable[Artefact]) -> list[Artefact]:
    from jgo.maven import Dependency

    # raw: otherwise jgo reads each root as a bill of materials and picks another kafka-clients than Maven does.
    wanted = [Dependency(jgo_artefact(context, root), scope="runtime", raw=True) for root in roots]
    inputs, transitive = context.resolver.resolve(wanted)
    found = {
        Artefact(d.groupId, d.artifactId, d.version, d.classifier or "", d.type)
        for d in (*inputs, *transitive)
        if d.scope in ("compile", "runtime")
    }
    return sorted(found)


def _hashed(context: MavenContext, artefact: Artefact) -> Artefact:
    path = jgo_artefact(context, artefact).resolve()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return replace(artefact, sha256=digest, size=path.stat().st_size)


def jgo_artefact(context: MavenContext, artefact: Artefact) -> Artifact:
    """The same artefact in jgo's terms."""
    component = context.project(artefact.group, artefact.name).at_version(artefact.version)
    return component.artifact(classifier=artefact.classifier, packaging=artefact.packaging)
