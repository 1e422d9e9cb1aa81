"""A cover around a web application: who may ask it, and from which pages.

A browser sends requests to any address that a page names, and with them the credentials that it knows for it. So a page
of anybody could start, stop and delete through a server that only this machine can reach. The cover lets through what
the application's own pages send, and nothing else:

- the ``Host`` is one that we serve (a foreign name that resolves to us is refused: DNS rebinding),
- an ``Origin``, where there is one, is ours,
- what changes something is ``POST`` with JSON, which no page of another origin can send without asking first,
- a query in an address, which any link could carry, is refused.

Plain ASGI; it knows nothing of the application.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from aurora_platform.errors import AuroraError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ASKED_FOR = "AURORA_UI_TOKEN"
"""The environment variable with the password."""
MOST_BYTES = 16 << 20
"""The largest body of a request."""
_LEAST_TOKEN = 16  # characters
_QUERIES = ("/graphql",)
_REPORTS = "/report_asset_"
_HEADERS = (
    (b"content-security-policy", b"frame-ancestors 'none'"),  # no page of others shows ours under its own buttons
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Access:
    """Who may use the application."""

    hosts: frozenset[str]
    """The values of ``Host`` that are served, as ``name:port``."""
    token: str = ""
    """The password of HTTP Basic, or a bearer token; empty where nobody is asked."""
    is_read_only: bool = False

    @classmethod
    def of(
        cls, host: str, port: int, names: tuple[str, ...], token: str, *, is_read_only: bool, is_open: bool
    ) -> Access:
        """The access for a server that listens on ``host`` and ``port``.

        Parameters
        ----------
        names
            Further names under which it is reached, with a port if it is another one (behind a proxy).
        is_open
            Whether anybody may read without a password; only for a read-only server.

        Raises
        ------
        AuroraError
            If it could be reached from other machines without a password.
        """
        is_loopback = host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
        if not is_loopback and not token and not (is_read_only and is_open):
            raise AuroraError(
                f"{host}: other machines can reach this address, and nobody is asked for a password. Set {ASKED_FOR} "
                "to a long random text, or listen on 127.0.0.1; visitors get `--read-only --open` (SECURITY.md)."
            )
        if token and len(token) < _LEAST_TOKEN:
            raise AuroraError(f"{ASKED_FOR}: at least {_LEAST_TOKEN} characters: `openssl rand -hex 24` makes some.")
        local = ("127.0.0.1", "localhost", "[::1]") if is_loopback else (f"[{host}]" if ":" in host else host,)
        served = {f"{name}:{port}" for name in local if name not in ("0.0.0.0", "[::]")}  # noqa: S104
        served |= {name.lower() if ":" in name.rpartition("]")[2] else f"{name.lower()}:{port}" for name in names}
        if not served:
            raise AuroraError(f"{host}: name the addresses that browsers use, with --name, because {host} is none.")
        return cls(frozenset(served), "" if is_read_only and is_open else token, is_read_only)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class Cover:
    """An ASGI application that passes on only what its access allows."""

    def __init__(self, app: App, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, _bounded(receive) if scope["type"] == "http" else receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _answer(send, *refusal)

    def _refusal(self, scope: Scope) -> tuple[int, str, tuple[tuple[bytes, bytes], ...]] | None:
        """Return status, reason and headers of a refusal; None if the request may pass."""
        headers = _headers_of(scope)
        if headers is None:
            return 400, "the same header twice", ()
        host = headers.get("host", "").lower()
        if self._with_port(scope, host) not in self.access.hosts:
            return 421, f"this server is not {host or 'without a name'}: see --name of `aurora ui`", ()
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(scope, origin.lower()):
            return 403, "a page of another origin may not use this server", ()
        if not self._has_password(headers.get("authorization", "")):
            return (
                401,
                f"password needed: any user name, and {ASKED_FOR}",
                ((b"www-authenticate", b'Basic realm="Aurora", charset="UTF-8"'),),
            )
        return None if scope["type"] == "websocket" else self._refused_method(scope, headers)

    def _refused_method(
        self, scope: Scope, headers: dict[str, str]
    ) -> tuple[int, str, tuple[tuple[bytes, bytes], ...]] | None:
        method, path = scope["method"], scope["path"].rstrip("/")
        if method in ("GET", "HEAD"):
            if path.endswith(_QUERIES) and scope.get("query_string"):
                return 405, "a query in an address is not answered: use POST with JSON", ((b"allow", b"POST"),)
            return None
        if method != "POST":
            return 405, "not answered", ((b"allow", b"GET, HEAD, POST"),)
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "a page of another site may not use this server", ()
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "the body must be application/json", ()
        if self.access.is_read_only and _REPORTS in path:
            return 403, "this server is read-only", ()
        if (length := headers.get("content-length", "0")).isdecimal() and int(length) > MOST_BYTES:
            return 413, f"at most {MOST_BYTES} bytes", ()
        return None

    def _with_port(self, scope: Scope, host: str) -> str:
        if ":" in host.rpartition("]")[2]:
            return host
        return f"{host}:{443 if scope.get('scheme') in ('https', 'wss') else 80}"

    def _is_ours(self, scope: Scope, origin: str) -> bool:
        scheme, separator, host = origin.partition("://")
        if not separator or scheme not in ("http", "https"):
            return False
        if ":" not in host.rpartition("]")[2]:
            host = f"{host}:{443 if scheme == 'https' else 80}"
        return host in self.access.hosts

    def _has_password(self, authorization: str) -> bool:
        if not self.access.token:
            return True
        kind, _, value = authorization.partition(" ")
        if kind.lower() == "basic":
            try:
                value = base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(value.encode(), self.access.token.encode())


_SINGLE = ("host", "origin", "authorization", "content-type", "content-length", "sec-fetch-site")


def _headers_of(scope: Scope) -> dict[str, str] | None:
    """The headers that decide; None if one of them comes twice: two readers could take two different ones."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if name in _SINGLE:
            if name in found:
                return None
            found[name] = raw_value.decode("latin-1")
    return found


def _bounded(receive: Receive) -> Receive:
    """End a body that has no declared length at the bound."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > MOST_BYTES:
                return {"type": "http.disconnect"}
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            theirs = [(name, value) for name, value in message.get("headers", ()) if name.lower() != b"x-frame-options"]
            message = {**message, "headers": [*theirs, *_HEADERS]}
        await send(message)

    return with_headers


async def _answer(send: Send, status: int, reason: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    body = f"{reason}\n".encode()
    plain = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*plain, *headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": body})
