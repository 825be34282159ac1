"""A Java process of a test's own, driven from Python over py4j: jars from the lock, no compiler."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from py4j.java_gateway import GatewayParameters, JavaGateway, find_jar_path

from olist.settings import Settings
from olist.stack.servers.java import classpath, java_program


@contextmanager
def jvm(settings: Settings, jars: Iterable[Path], log: Path) -> Iterator[Any]:
    """py4j's view of the classes in the jars. The process ends with the block, or with this process."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            [
                java_program(settings),
                "-Xmx256m",
                "-XX:TieredStopAtLevel=1",  # it lives for seconds
                "-cp",
                classpath([Path(find_jar_path()), *jars]),
                "py4j.GatewayServer",
                "--die-on-broken-pipe",
                "0",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=written,
        )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        # Without finalizers: one that runs after the JVM's end tries to connect, wherever Python then stands.
        gateway = JavaGateway(
            gateway_parameters=GatewayParameters(port=port, auto_convert=True, enable_memory_management=False)
        )
        yield gateway.jvm
        gateway.shutdown()
    finally:
        process.kill()
        process.wait()
