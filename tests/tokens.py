"""A token endpoint (OAuth 2) of a test's own: client credentials in, signed tokens out, its keys for who verifies."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_ID = "tests"
LIFE_S = 600


class TokenEndpoint:
    """``/token`` and ``/keys`` on loopback, for one client."""

    def __init__(self, client_id: str, client_secret: str, scope: str) -> None:
        self.client = client_id, client_secret
        self.scope = scope
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/token"

    @property
    def keys_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/keys"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def keys(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        public = self._key.public_key().public_numbers()
        n, e = (_base64(number.to_bytes((number.bit_length() + 7) // 8, "big")) for number in (public.n, public.e))
        return {"keys": [{"kty": "RSA", "kid": KEY_ID, "alg": "RS256", "use": "sig", "n": n, "e": e}]}

    def token(self) -> dict[str, Any]:
        """The answer to a client that proved who it is."""
        now = int(time.time())
        claims = {"sub": self.client[0], "iat": now, "exp": now + LIFE_S, "scope": self.scope}
        signed = ".".join(_base64(json.dumps(p).encode()) for p in ({"alg": "RS256", "kid": KEY_ID}, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return {"access_token": f"{signed}.{_base64(signature)}", "token_type": "Bearer", "expires_in": LIFE_S}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, endpoint.keys())

            def do_POST(self) -> None:
                asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                known = _basic(self.headers["authorization"] or "") == endpoint.client
                meant = asked.get("grant_type") == ["client_credentials"] and asked.get("scope") == [endpoint.scope]
                if known and meant:
                    self._answer(200, endpoint.token())
                else:
                    self._answer(401, {"error": "invalid_client"})

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                encoded = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test says what matters."""

        return Handler


def _basic(header: str) -> tuple[str, str]:
    """RFC 6749, 2.3.1: both parts are form-encoded, then joined."""
    name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
    return unquote(name), unquote(secret)


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
