"""Renew the lock: from the few coordinates that we choose to all that they need, hashed.

Resolution happens here only, at the developer's command; installing reads the lock and resolves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from jgo.maven import Artifact, Dependency, MavenContext, PythonResolver

from olist.stack.artefacts import Artefact, parse_coordinate

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
