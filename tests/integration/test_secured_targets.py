"""OpenSearch by TLS, password and signature; PostgreSQL by TLS, password and certificate; S3 by a role."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from olist.errors import BadInput, Stopped
from olist.lake.catalog import open_catalog
from olist.settings import Settings
from olist.stack.local import Stack
from olist.stack.servers.opensearch import OpenSearch
from sinks.opensearch.client import Client
from sinks.postgres.connection import connect
from tests.certificates import Authority
from tests.tls_fronts import HttpFront, PostgresFront, basic, signed

pytestmark = pytest.mark.integration

USER, PASSWORD = "olist", "s3cret/@:"
ACCESS_KEY, SECRET_KEY, REGION = "AKIDTESTS", "signing-s3cret", "eu-west-1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("targets") / "authority")


@pytest.fixture(scope="module")
def by_password(stack: Stack, authority: Authority) -> Iterator[Settings]:
    """An OpenSearch that wants TLS and a password."""
    with HttpFront(stack.settings.opensearch_url, authority.issue("search"), basic(USER, PASSWORD)) as front:
        user: dict[str, Any] = {
            "opensearch_username": USER,
            "opensearch_password": PASSWORD,
        }
        yield Settings(opensearch=front.url, opensearch_ca=authority.ca, **user)


def version(settings: Settings) -> Any:
    with closing(Client(settings)) as client:
        return client.ask("GET", "/")["version"]["number"]


def changed(settings: Settings, **values: Any) -> Settings:
    return Settings(**{**settings.model_dump(), **values})


def test_opensearch_is_asked_by_tls_with_the_password_of_the_settings_or_of_the_url(by_password: Settings) -> None:
    assert version(by_password) == OpenSearch(by_password).probe()
    in_url = str(by_password.opensearch).replace("//", f"//{USER}:s3cret%2F%40%3A@")
    assert version(changed(by_password, opensearch=in_url, opensearch_username=None, opensearch_password=None))


def test_what_opensearch_refuses_ends_at_once_and_names_the_setting(by_password: Settings, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "another", "another").ca
    for wrong, named in (
        ({"opensearch_password": "wr0ng"}, "OLIST_OPENSEARCH_PASSWORD"),
        ({"opensearch_ca": stranger}, "OLIST_OPENSEARCH_CA"),
        ({"opensearch_ca": None}, "OLIST_OPENSEARCH_CA"),
    ):
        with pytest.raises((BadInput, Stopped)) as refused:  # neither is waited out
            version(changed(by_password, **wrong))
        assert named in refused.value.hint
        assert "s3cret" not in f"{refused.value}"


def test_opensearch_requests_are_signed_by_the_credentials_that_boto3_finds(
    stack: Stack, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = signed(ACCESS_KEY, SECRET_KEY, REGION, "es")
    with HttpFront(stack.settings.opensearch_url, authority.issue("signed"), judge) as front:
        settings = Settings(opensearch=front.url, opensearch_ca=authority.ca, opensearch_aws_region=REGION)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        assert OpenSearch(settings).probe()
        with closing(Client(settings)) as client:
            lines = b'{"index":{"_index":"signed","_id":"a b"}}\n{"v":"\xc3\xa9"}\n'
            client.ask("PUT", "/signed", {"settings": {"number_of_replicas": 0}})
            assert client.ask("POST", "/_bulk", lines, refresh="true", filter_path="errors")["errors"] is False
            assert client.ask("GET", "/signed/_doc/a%20b")["_source"] == {"v": "é"}
            client.ask("DELETE", "/signed")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wr0ng")
        with pytest.raises(Stopped, match="401"):
            version(settings)


@pytest.fixture(scope="module")
def role(stack: Stack) -> Iterator[str]:
    """A role that PostgreSQL lets in by its password alone."""
    administrator = f"postgresql://postgres@127.0.0.1:{stack.settings.postgres_port}/olist"
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute("create role guarded login password 's3cret/@:'")
        shown = connection.execute("show hba_file").fetchone()
        assert shown is not None
        rules = Path(str(shown[0]))
        before = rules.read_text("utf-8")
        rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{before}", encoding="utf-8")
        connection.execute("select pg_reload_conf()")
        connection.execute("grant all on database olist to guarded")
        yield "guarded:s3cret%2F%40%3A"
        rules.write_text(before, encoding="utf-8")
        connection.execute("select pg_reload_conf()")
        connection.execute("drop owned by guarded")
        connection.execute("drop role guarded")


def test_postgres_is_reached_with_verify_full_and_a_client_certificate(
    stack: Stack, authority: Authority, role: str
) -> None:
    pair = authority.issue("guarded")
    files = f"sslmode=verify-full&sslrootcert={authority.ca}&sslcert={pair.certificate}&sslkey={pair.key}"
    with PostgresFront(stack.settings.postgres_port, authority.issue("database"), authority.ca) as front:
        url = f"postgresql://{role}@localhost:{front.port}/olist?{files}"
        with connect(url) as connection:
            assert connection.pgconn.ssl_in_use
        without = url.partition("&sslcert")[0]
        with pytest.raises(Stopped, match="certificate required"):
            connect(without)


def test_the_catalog_has_a_url_of_its_own_with_tls(
    stack: Stack, authority: Authority, role: str, tmp_path: Path
) -> None:
    with PostgresFront(stack.settings.postgres_port, authority.issue("catalog")) as front:
        tls = f"sslmode=verify-full&sslrootcert={authority.ca}"
        url = f"postgresql://{role}@localhost:{front.port}/olist?{tls}&options=-csearch_path%3Dguarded_catalog"
        with connect(url) as connection:
            connection.execute("create schema guarded_catalog")
        catalog = open_catalog(Settings(catalog=url, warehouse=tmp_path.as_uri()))
        assert catalog.list_namespaces() == [("olist",)]
        catalog.engine.dispose()


def test_what_postgres_refuses_ends_in_seconds(stack: Stack, authority: Authority, role: str, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "another", "another").ca
    with PostgresFront(stack.settings.postgres_port, authority.issue("refusing")) as front:
        for user, ca in (("guarded:wr0ng", authority.ca), (role, stranger)):
            url = f"postgresql://{user}@localhost:{front.port}/olist?sslmode=verify-full&sslrootcert={ca}"
            began = time.monotonic()
            with pytest.raises(Stopped) as refused:
                connect(url)
            assert isinstance(refused.value, Stopped), refused.value
            assert "OLIST_POSTGRES" in refused.value.hint
            assert time.monotonic() - began < 30
            assert "wr0ng" not in str(refused.value)


ON_S3 = """
from compaction.storage import delete, stored
from olist.clients.s3 import file_properties
from olist.settings import settings
from pyiceberg.io import load_file_io
current = settings()
files = load_file_io(file_properties(current))
with files.new_output(f"s3://{current.s3_bucket}/by-role/one").create(overwrite=True) as file:
    file.write(b"1")
found = [one.path for one in stored(f"s3://{current.s3_bucket}/by-role", current)]
print(len(found), delete(files, found), len(list(stored(f"s3://{current.s3_bucket}/by-role", current))))
"""


def on_s3(settings: Settings, variables: dict[str, str]) -> str:
    ours = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", **variables}
    done = subprocess.run(
        [sys.executable, "-c", ON_S3],
        env={**settings.environment(), **ours},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout.strip() or done.stderr[-500:]


@pytest.fixture
def container(stack: Stack) -> Iterator[str]:
    """What gives a container its role's keys."""
    secret = stack.settings.s3_secret_key.get_secret_value()
    keys = {"AccessKeyId": stack.settings.s3_access_key, "SecretAccessKey": secret, "Token": ""}
    body = json.dumps({**keys, "Expiration": "2100-01-01T00:00:00Z"}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/keys"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("way", ["environment", "profile", "container"])
def test_s3_without_keys_is_reached_by_those_that_aws_would_find(
    stack: Stack, container: str, tmp_path: Path, way: str
) -> None:
    settings = changed(stack.settings, s3=stack.settings.s3_url, s3_credentials="aws")
    key, secret = stack.settings.s3_access_key, stack.settings.s3_secret_key.get_secret_value()
    (tmp_path / "credentials").write_text(
        f"[lake]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n", encoding="utf-8"
    )
    ways = {
        "environment": {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret},
        "profile": {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "lake"},
        "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": container},
    }
    assert on_s3(settings, ways[way]) == "1 1 0"
