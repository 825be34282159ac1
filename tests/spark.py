"""Spark with Iceberg's own runtime, driven from Python over py4j: jars from the lock, no PySpark and no compiler.

Runs on the wheel's Java 25, with a newer Hadoop than Spark's own: see `olist.stack.servers.artefacts`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JJavaError

from olist.lake.catalog import CATALOG
from olist.settings import Settings
from olist.stack.servers.artefacts import locked
from olist.stack.servers.install import Installer
from olist.stack.servers.java import classpath, java_program

# What Spark's own launcher opens for it (org.apache.spark.launcher.JavaModuleOptions).
OPENED = [
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util"),
    *("java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs", "sun.util.calendar"),
]
# Netty gives up Unsafe by itself on Java 25, and Iceberg's vectorised reader cannot do without; its copy is shaded.
UNSAFE = [
    "--sun-misc-unsafe-memory-access=allow",
    *(f"-D{shaded}io.netty.noUnsafe=false" for shaded in ("", "org.apache.iceberg.shaded.")),
    *(f"-D{shaded}io.netty.tryReflectionSetAccessible=true" for shaded in ("", "org.apache.iceberg.shaded.")),
]


class Spark:
    """A session of one core on this machine; `process` is its JVM."""

    def __init__(self, session: Any, process: subprocess.Popen[bytes]) -> None:
        self._session, self.process = session, process

    def rows(self, sql: str) -> list[list[Any]]:
        """A query's rows; numbers and text come as Python's."""
        found = self._collect(sql)
        return [[row.get(column) for column in range(row.length())] for row in found]

    def run(self, sql: str) -> None:
        """A statement, for its effect."""
        self._collect(sql)

    def _collect(self, sql: str) -> Any:
        try:
            return self._session.sql(sql).collectAsList()
        except Py4JJavaError as error:  # its text is asked of the JVM, which ends soon
            raise RuntimeError(str(error)[:4000]) from None


@contextmanager
def spark(settings: Settings, folder: Path, heap_mb: int = 1024) -> Iterator[Spark]:
    """Start Spark over the lake of `settings` (a local one: SQLite catalog, folder warehouse).

    Spark's name for the catalog is the platform's, since the rows of the catalog's tables hold it.
    """
    jars = locked("spark")
    installer = Installer(settings.cache.resolve(), offline=settings.offline)
    installer.install(jars)
    opened = [word for package in OPENED for word in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")]
    with (folder / "spark.log").open("wb") as log:
        process = subprocess.Popen(
            [
                java_program(settings),
                f"-Xmx{heap_mb}m",
                *opened,
                *UNSAFE,
                "--enable-native-access=ALL-UNNAMED",
                "-Djdk.reflect.useDirectMethodHandle=false",
                "-cp",
                classpath(installer.path(jar) for jar in jars),
                "py4j.GatewayServer",
                "--die-on-broken-pipe",
                "0",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
        )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        # Without finalizers: one that runs after the JVM's end tries to connect, wherever Python then stands.
        parameters = GatewayParameters(port=port, auto_convert=True, enable_memory_management=False)
        gateway = JavaGateway(gateway_parameters=parameters)
        yield Spark(_session(gateway, settings), process)
        gateway.shutdown()
    finally:
        process.kill()
        process.wait()


def _session(gateway: Any, settings: Settings) -> Any:
    database = settings.catalog_url.removeprefix("sqlite:///")
    configured = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        f"spark.sql.catalog.{CATALOG}": "org.apache.iceberg.spark.SparkCatalog",
        f"spark.sql.catalog.{CATALOG}.type": "jdbc",
        f"spark.sql.catalog.{CATALOG}.uri": f"jdbc:sqlite:{database}",
        f"spark.sql.catalog.{CATALOG}.warehouse": settings.warehouse_location,
        f"spark.sql.catalog.{CATALOG}.jdbc.schema-version": "V1",
        f"spark.sql.catalog.{CATALOG}.cache-enabled": "false",
    }
    builder = gateway.jvm.org.apache.spark.sql.SparkSession.builder().master("local[1]")
    for name, value in configured.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()
