"""The cover around the UI lets through what the UI's own pages send, and nothing else."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from aurora_platform.errors import AuroraError
from aurora_platform.operations import ui_cover
from aurora_platform.operations.ui_cover import Access, Cover, Message, Receive, Scope, Send

PASSWORD = "a password of 24 letters"
LOCAL = Access.of("127.0.0.1", 3000, (), "", is_read_only=False, is_open=False)
JSON = {"content-type": "application/json"}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body, and answers with its length."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    headers = [(b"x-frame-options", b"SAMEORIGIN"), (b"content-security-policy", b"default-src 'self'")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(length).encode()})


def ask(
    access: Access,
    method: str = "GET",
    path: str = "/runs",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    query: str = "",
    body: tuple[bytes, ...] = (b"",),
    kind: str = "http",
    **scope: Any,
) -> tuple[int, dict[str, str], bytes]:
    """Send one request through the cover; return status, headers and body. A closed websocket has the status 1008."""
    pairs = list((headers or {}).items()) if not isinstance(headers, list) else headers
    if "host" not in dict(pairs):
        pairs.append(("host", "127.0.0.1:3000"))
    parts = [
        {"type": "http.request", "body": part, "more_body": number < len(body) - 1} for number, part in enumerate(body)
    ]
    sent = list[Message]()

    async def receive() -> Message:
        return parts.pop(0) if kind == "http" else {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    query_bytes = {"query_string": query.encode()}
    asked = {"type": kind, "method": method, "path": path, "headers": raw, "scheme": "http", **query_bytes, **scope}
    asyncio.run(Cover(application, access)(asked, receive, send))
    if not sent:
        return 0, {}, b""
    if sent[0]["type"] == "websocket.close":
        return sent[0]["code"], {}, b""
    found = {}
    for name, value in sent[0].get("headers", ()):
        found[name.decode()] = f"{found[name.decode()]}, {value.decode()}" if name.decode() in found else value.decode()
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


def test_the_uis_own_pages_and_a_program_on_this_machine_are_answered() -> None:
    for host in ("127.0.0.1:3000", "localhost:3000", "[::1]:3000", "LOCALHOST:3000"):
        own = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
        assert ask(LOCAL, headers=own)[0] == 200
        assert ask(LOCAL, "POST", "/graphql", headers={**own, **JSON}, body=(b"{}",))[::2] == (200, b"2")
        assert ask(LOCAL, "POST", "/graphql", headers={"host": host, **JSON}, body=(b"{}",))[0] == 200
    assert ask(LOCAL, "POST", "/graphql", headers={"content-type": "application/json; charset=utf-8"})[0] == 200
    assert ask(LOCAL, "HEAD", "/")[0] == 200


def test_a_link_from_another_page_opens_a_page() -> None:
    assert ask(LOCAL, headers={"sec-fetch-site": "cross-site"})[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example:3000", "127.0.0.1", "127.0.0.1:3001", "127.0.0.1.evil.example:3000", ""]
)
def test_another_name_is_refused_as_after_dns_rebinding(host: str) -> None:
    status, _, body = ask(LOCAL, headers={"host": host})
    assert status == 421
    assert b"`aurora ui`" in body


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:4000", "https://127.0.0.1:3000.evil.example", "null", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_origin_is_refused(origin: str, method: str) -> None:
    assert ask(LOCAL, method, "/graphql", headers={"origin": origin, **JSON})[0] == 403


def test_what_a_page_of_another_origin_can_send_without_asking_first_changes_nothing() -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"):
        assert ask(LOCAL, "POST", "/graphql", headers={"content-type": kind})[0] == 415
        assert ask(LOCAL, "POST", "/report_asset_materialization/raw", headers={"content-type": kind})[0] == 415
    assert ask(LOCAL, "POST", "/graphql")[0] == 415
    assert ask(LOCAL, "POST", "/graphql", headers={**JSON, "sec-fetch-site": "cross-site"})[0] == 403
    for path in ("/graphql", "/graphql/", "/prefix/graphql"):
        assert ask(LOCAL, "GET", path, query="query=mutation{x}")[0] == 405
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert ask(LOCAL, method, "/graphql", headers=JSON)[0] == 405


def test_a_header_that_comes_twice_is_refused() -> None:
    twice = [("host", "127.0.0.1:3000"), ("Host", "evil.example")]
    assert ask(LOCAL, headers=twice)[0] == 400
    assert (
        ask(LOCAL, "POST", "/graphql", headers=[("content-type", "application/json"), ("content-type", "x")])[0] == 400
    )


def test_a_websocket_of_another_page_is_closed() -> None:
    assert ask(LOCAL, kind="websocket", headers={"origin": "http://evil.example"})[0] == 1008
    assert ask(LOCAL, kind="websocket", headers={"host": "evil.example"})[0] == 1008


def test_no_page_of_others_may_show_the_ui_inside_itself() -> None:
    for headers in (ask(LOCAL)[1], ask(LOCAL, headers={"host": "x"})[1]):
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_a_body_is_bounded_with_and_without_a_declared_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_cover, "MOST_BYTES", 1000)
    assert ask(LOCAL, "POST", "/graphql", headers={**JSON, "content-length": "1001"})[0] == 413
    assert ask(LOCAL, "POST", "/graphql", headers=JSON, body=(b"x" * 600, b"x" * 600)) == (0, {}, b"")
    assert ask(LOCAL, "POST", "/graphql", headers=JSON, body=(b"x" * 500, b"x" * 500))[::2] == (200, b"1000")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "sky.example.org"])
def test_an_address_that_others_can_reach_needs_a_password(host: str) -> None:
    names = ("sky.example.org",)
    with pytest.raises(AuroraError, match="AURORA_UI_TOKEN"):
        Access.of(host, 3000, names, "", is_read_only=False, is_open=True)
    with pytest.raises(AuroraError, match="at least 16 characters"):
        Access.of(host, 3000, names, "short", is_read_only=False, is_open=False)
    access = Access.of(host, 3000, names, PASSWORD, is_read_only=False, is_open=False)
    name = {"host": "sky.example.org:3000"}
    status, headers, _ = ask(access, headers=name)
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="Aurora", charset="UTF-8"')
    basic = base64.b64encode(f"anybody:{PASSWORD}".encode()).decode()
    for value, expected in (
        (f"Basic {basic}", 200),
        (f"Bearer {PASSWORD}", 200),
        (f"Bearer {PASSWORD}x", 401),
        ("Bearer ", 401),
        ("Basic ///", 401),
        ("Basic", 401),
        (f"Digest {PASSWORD}", 401),
    ):
        assert ask(access, headers={**name, "authorization": value})[0] == expected, value
    assert ask(access, kind="websocket", headers=name)[0] == 1008


def test_all_addresses_are_no_name_to_ask_for() -> None:
    with pytest.raises(AuroraError, match="--name"):
        Access.of("0.0.0.0", 3000, (), PASSWORD, is_read_only=False, is_open=False)
    access = Access.of("0.0.0.0", 3000, ("sky.example.org:443",), PASSWORD, is_read_only=False, is_open=False)
    assert access.hosts == {"sky.example.org:443"}
    proxied = {"host": "sky.example.org", "authorization": f"Bearer {PASSWORD}", "origin": "https://sky.example.org"}
    assert ask(access, headers=proxied, scheme="https")[0] == 200


def test_visitors_may_read_and_report_nothing() -> None:
    visitors = Access.of("0.0.0.0", 3000, ("sky.example.org",), "", is_read_only=True, is_open=True)
    name = {"host": "sky.example.org:3000", **JSON}
    assert ask(visitors, headers=name)[0] == 200
    assert ask(visitors, "POST", "/graphql", headers=name)[0] == 200  # Dagster itself refuses mutations there
    for path in ("/report_asset_materialization/raw", "/x/report_asset_check/raw", "/report_asset_observation/raw/"):
        assert ask(visitors, "POST", path, headers=name)[0] == 403
