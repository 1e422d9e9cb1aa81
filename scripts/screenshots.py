"""Take screenshots of the Dagster UI after the demo, into ``docs/images``. ``make screenshots`` runs it.

It starts a web server on a free port and Debian's chromium without a screen, and controls it by the DevTools protocol,
because some screenshots need a click. It ends both.
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websockets
from dagster import DagsterInstance

from aurora_simulator.ssh_server import free_port
from scripts.eight_streams import HOME, eight_streams, fill

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
DAY = "2026-08-18"

# name -> page, width, height, and the texts to click before
SCREENSHOTS: dict[str, tuple[str, int, int, tuple[str, ...]]] = {
    "poster": (
        f"/assets/wxcam/fish_hdr/daily_video?view=partitions&partition={DAY}",
        1500,
        912,
        ("[Show Markdown]",),
    ),
    "hours": (
        f"/assets/wxcam/fish_hdr/hourly_thumbnails?view=partitions&partition={DAY}-12:00",
        1700,
        700,
        ("[Show Markdown]",),
    ),
}

# These show `make live`, which must run at the same time: make screenshots SCREENSHOTS=--live
LIVE_SCREENSHOTS: dict[str, tuple[str, int, int, tuple[str, ...]]] = {
    "automation": ("/automation", 1500, 760, ()),
    "arrivals": ("/locations/__repository__@aurora/sensors/arrivals_wxcam", 1500, 900, ()),
}


# These show a site of eight streams with an archive (scripts/eight_streams.py): make screenshots SCREENSHOTS=--eight
EIGHT_SCREENSHOTS: dict[str, tuple[str, int, int, tuple[str, ...]]] = {
    "eight-catalog": ("/assets", 1500, 1900, ()),
    "eight-asset": ("/assets/raw/cl61?view=overview", 1500, 1500, ()),
    "eight-partitions": ("/assets/raw/cl61?view=partitions", 1500, 950, ()),
    "eight-manifests": ("/assets/manifests/wxcam?view=overview", 1500, 1500, ()),
    "eight-lineage": ("/asset-groups", 1600, 700, ()),
    "eight-checks": ("/assets/manifests/wxcam?view=checks", 1500, 800, ()),
    "eight-jobs": ("/jobs", 1500, 1700, ()),
    "eight-automation": ("/automation", 1500, 2400, ()),
}


@contextmanager
def running(command: list[str], ready: str) -> Iterator[None]:
    """Run a program until the block ends; wait until the address answers."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(ready, timeout=2).close()  # noqa: S310 - a loopback address of our own
                break
            except OSError:
                time.sleep(0.5)
        else:
            sys.exit(f"{command[0]} did not start")
        yield
    finally:
        process.terminate()
        process.wait(20)


_CLICK = """(text => {
    [...document.querySelectorAll('*')].find(e => !e.children.length && e.textContent === text).click();
})"""


class Page:
    """Controls a page of the browser by the DevTools protocol."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.numbers = itertools.count(1)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        await self.connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await self.connection.recv())
            if answer.get("id") == number:
                return dict(answer.get("result", {}))

    async def screenshot(self, address: str, width: int, height: int, clicks: tuple[str, ...]) -> bytes:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=min(1, 1400 / height),
            mobile=False,
        )
        await self.call("Page.navigate", url=address)
        await asyncio.sleep(8)
        for text in clicks:
            await self.call("Runtime.evaluate", expression=_CLICK + f"({text!r})")
            await asyncio.sleep(3)
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


async def take(address: str, debugger: int, screenshots: dict[str, tuple[str, int, int, tuple[str, ...]]]) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{debugger}/json") as answer:
        target = next(t for t in json.load(answer) if t["type"] == "page")
    async with websockets.connect(target["webSocketDebuggerUrl"], max_size=None) as connection:
        page = Page(connection)
        for name, (path, width, height, clicks) in screenshots.items():
            (IMAGES / f"{name}.png").write_bytes(await page.screenshot(address + path, width, height, clicks))
            print(f"docs/images/{name}.png")


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("chromium is missing: apt install chromium")
    IMAGES.mkdir(parents=True, exist_ok=True)
    if "--eight" in sys.argv[1:]:
        with eight_streams() as file:
            _use(file, HOME / "dagster")
            if "--again" not in sys.argv[1:]:
                with DagsterInstance.get() as instance:
                    fill(file, instance)
            _run_browser(chromium, EIGHT_SCREENSHOTS)
    elif "--live" in sys.argv[1:]:
        _use(ROOT / "sites" / "live.yaml", ROOT / ".aurora" / "live" / "dagster")
        _run_browser(chromium, LIVE_SCREENSHOTS)
    else:
        os.environ.setdefault("DAGSTER_HOME", str(ROOT / ".aurora" / "dagster"))
        _run_browser(chromium, SCREENSHOTS)


def _use(site: Path, home: Path) -> None:
    """Let Dagster load this site with this home."""
    os.environ["AURORA_SITE"], os.environ["DAGSTER_HOME"] = str(site), str(home)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")


def _run_browser(chromium: str, screenshots: dict[str, tuple[str, int, int, tuple[str, ...]]]) -> None:
    web, debugger = free_port(), free_port()
    server = [sys.executable, "-m", "dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(web)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = [chromium, *flags, f"--user-data-dir={profile}", f"--remote-debugging-port={debugger}", "about:blank"]
        with (
            running(server, f"http://127.0.0.1:{web}/server_info"),
            running(browser, f"http://127.0.0.1:{debugger}/json/version"),
        ):
            asyncio.run(take(f"http://127.0.0.1:{web}", debugger, screenshots))


if __name__ == "__main__":
    main()
