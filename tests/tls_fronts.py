"""TLS in front of real servers whose builds here have none: PostgreSQL's protocol, and HTTP with a proof of who asks.

Certificates, handshakes and the clients' checks of them are real, and so is the server behind; the end of the tunnel is
a test's own.
"""

from __future__ import annotations

import hmac
import socket
import ssl
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.certificates import Pair

SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL's "Frontend/Backend Protocol", Message Formats
Allowed = Callable[[str, str, Mapping[str, str], bytes], bool]
"""Method, URL, headers (names in lower case) and body of a request -> may it pass?"""


def context_of(server: Pair, clients: Path | None = None) -> ssl.SSLContext:
    """A server's side; with `clients` only those whose certificate this authority signed come in."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(server.certificate, server.key)
    if clients is not None:
        made.load_verify_locations(clients)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


class PostgresFront:
    """Takes PostgreSQL's clients by TLS alone, and passes what they say to a server on this machine."""

    def __init__(self, port: int, server: Pair, clients: Path | None = None) -> None:
        self._behind, self._context = port, context_of(server, clients)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _address = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if client.recv(8, socket.MSG_WAITALL) != SSL_REQUEST:
                return
            client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as inside,
                socket.create_connection(("127.0.0.1", self._behind)) as server,
            ):
                threading.Thread(target=_pump, args=(server, inside), daemon=True).start()
                _pump(inside, server)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(1 << 16):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class HttpFront:
    """Takes HTTPS, and passes on what `allowed` lets pass; the rest is answered with 401."""

    def __init__(self, url: str, server: Pair, allowed: Allowed) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(url, allowed))
        self._server.socket = context_of(server).wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(behind: str, allowed: Allowed) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(OSError):  # a client that does not like our certificate
                super().handle()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if not allowed(self.command, f"https://{headers['host']}{self.path}", headers, body):
                return self._answer(401, b'{"error": {"reason": "not you"}}', "application/json")
            kind = {"content-type": headers["content-type"]} if "content-type" in headers else {}
            found = requests.request(self.command, behind + self.path, data=body, headers=kind, timeout=120)
            return self._answer(found.status_code, found.content, found.headers.get("content-type", "text/plain"))

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test says what matters."""

    return Handler


def basic(user: str, password: str) -> Allowed:
    """Those who bring this user's password."""

    def allowed(_method: str, _url: str, headers: Mapping[str, str], _body: bytes) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind == "Basic" and b64decode(given).decode() == f"{user}:{password}"

    return allowed


def signed(access_key: str, secret_key: str, region: str, service: str) -> Allowed:
    """Those whose signature (AWS version 4) is the one that botocore computes for what came."""
    judge = SigV4Auth(Credentials(access_key, secret_key), service, region)

    def allowed(method: str, url: str, headers: Mapping[str, str], body: bytes) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in given.split(",")) if kind == "AWS4-HMAC-SHA256" else {}
        if parts.get("Credential", "").split("/")[0] != access_key:
            return False
        named = {name: headers[name] for name in parts["SignedHeaders"].split(";")}
        request = AWSRequest(method=method, url=url, data=body, headers=named)
        request.context["timestamp"] = headers["x-amz-date"]
        told = judge.signature(judge.string_to_sign(request, judge.canonical_request(request)), request)
        return hmac.compare_digest(told, parts["Signature"])

    return allowed
