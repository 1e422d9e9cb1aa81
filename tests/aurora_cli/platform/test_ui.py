"""``aurora ui``: each of its programs comes back, and only its own pages may change something through it."""

from __future__ import annotations

import shutil
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.aurora_cli.ui_site import PROGRAMS, Ui, browse, running

MUTATION = 'mutation {{ setConcurrencyLimit(concurrencyKey: "{key}", limit: 3) }}'
PASSWORD = "a password of 24 letters"
needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    with running(tmp_path_factory.mktemp("ui")) as ui:
        yield ui


def test_each_program_that_is_killed_comes_back_and_ticks_go_on(ui: Ui) -> None:
    ui.wait_for_ticks(0)
    for name in PROGRAMS:
        ui.kill(name)
        ui.wait_for_ticks(time.time())
        assert f"the {name} has ended (SIGKILL" in ui.log
    assert ui.ask("{version}")["version"]


@contextmanager
def other_page(html: str) -> Iterator[str]:
    """Serve a page on another port of this machine; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


ATTACK = """<!doctype html><title>attack</title><iframe name=hidden></iframe>
<form id=form method=post enctype="text/plain" action="{address}/graphql" target=hidden>
<input name='{form_name}' value='"}}'></form>
<img src="{address}/graphql?query={in_address}">
<iframe src="{address}/overview"></iframe>
<pre id=said></pre>
<script>
const said = (name, what) => document.getElementById("said").textContent += name + ": " + what + "\\n";
const tries = {{
  text: () => fetch("{address}/graphql", {{method: "POST", mode: "no-cors", credentials: "include",
    headers: {{"Content-Type": "text/plain"}}, body: JSON.stringify({{query: `{text}`}})}}).then(r => r.type),
  json: () => fetch("{address}/graphql", {{method: "POST", headers: {{"Content-Type": "application/json"}},
    body: JSON.stringify({{query: `{json}`}})}}).then(r => r.status),
  report: () => fetch("{address}/report_asset_materialization/raw/met", {{method: "POST", mode: "no-cors"}})
    .then(r => r.type),
  socket: () => new Promise((resolve, reject) => {{
    const socket = new WebSocket("{socket}/graphql", "graphql-ws");
    socket.onopen = () => resolve("open");
    socket.onclose = socket.onerror = () => reject("closed");
  }}),
}};
for (const name in tries) tries[name]().then(r => said(name, r), e => said(name, "failed " + e));
document.getElementById("form").submit();
</script>"""


def attack_on(ui: Ui) -> str:
    queries = {name: MUTATION.format(key=f"by_{name}") for name in ("text", "json", "address", "form")}
    # A form of the type text/plain sends name=value: with the "=" inside of a string it is JSON.
    form_name = f'{{"query": "{queries["form"].replace(chr(34), chr(92) + chr(34))}", "x": "'
    return ATTACK.format(
        address=ui.address,
        socket=ui.address.replace("http", "ws"),
        text=queries["text"],
        json=queries["json"],
        in_address=quote(queries["address"]),
        form_name=form_name.replace("'", "&#39;"),
    )


@needs_chromium
def test_a_other_page_in_a_real_browser_changes_nothing(ui: Ui, tmp_path: Path) -> None:
    ui.ask(MUTATION.format(key="by_a_program_here"))
    with other_page(attack_on(ui)) as address:
        page = browse(address, tmp_path / "profile")
    lines = page.partition('<pre id="said">')[2].partition("</pre>")[0].splitlines()
    answers = dict(line.split(": ", 1) for line in lines)
    assert answers["json"].startswith("failed TypeError")
    assert answers["socket"] == "failed closed"
    assert answers["text"] == answers["report"] == "opaque", "they were sent, and the page cannot see the answer"
    assert ui.limits() == {"by_a_program_here"}, "and the same change by a program of this machine works"


@needs_chromium
def test_the_uis_own_pages_work(ui: Ui, tmp_path: Path) -> None:
    page = browse(f"{ui.address}/locations/aurora/sensors/arrivals_met", tmp_path / "profile", seconds=15)
    assert "arrivals_met" in page
    assert "Tick history" in page or "Latest tick" in page, "what the page has asked the server for"


def test_a_visitors_instance_shows_everything_and_changes_nothing(ui: Ui) -> None:
    options = ("--read-only", "--host", "127.0.0.1", "--name", "sky.example.org")
    with running(ui.home, *options, AURORA_UI_TOKEN=PASSWORD) as visitors:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            visitors.ask("{version}")
        authorized = {"Authorization": f"Bearer {PASSWORD}", "Host": f"sky.example.org:{visitors.port}"}
        assert visitors.ask("{version}", **authorized)["version"]
        with pytest.raises((AssertionError, urllib.error.HTTPError)):
            visitors.ask(MUTATION.format(key="by_a_visitor"), **authorized)
        assert visitors.processes("daemon") == []
    assert "by_a_visitor" not in ui.limits()


def test_a_second_one_on_the_same_records_is_refused(ui: Ui) -> None:
    with pytest.raises(AssertionError, match="another `aurora ui` runs with DAGSTER_HOME"), running(ui.home):
        pass
