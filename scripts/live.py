"""The platform at work: the Dagster UI, its daemon, and a camera that writes in real time. What ``make live`` runs.

The camera writes an hour of sky in a minute, with files that are half there, a file that was recovered late, and an
outage of two minutes; what the sensors make of it can be watched in the UI. Everything lies below ``.aurora/live`` and
is begun anew each time. Ctrl-C ends it all.
"""

import argparse
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".aurora" / "live"
SITE = ROOT / "sites" / "live.yaml"
LOG = STATE / "dagster.log"
CATALOG = STATE / "products" / "wxcam" / "wxcam_catalog.sqlite"
LOG_EVERY = 30  # s


def main() -> None:
    options, camera_options = parse_options()
    console = Console(highlight=False, soft_wrap=True)
    if is_taken(options.port):
        sys.exit(f"port {options.port} is taken: another `make ui` or `make live`? Choose another: make live PORT=3001")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        prepare(stack)
        console.print(f"starting Dagster; its log is {LOG.relative_to(ROOT)}")
        dagster = start_dagster(options.port)
        stack.callback(end, dagster)
        wait_for_ui(options.port, dagster)
        console.print(
            f"[bold]http://127.0.0.1:{options.port}[/]  Automation: what looks and starts; Runs: what it started"
        )
        console.print("Below: what the camera does, and what has reached the catalogue. Ctrl-C ends it all.\n")
        camera = subprocess.Popen(
            [sys.executable, "-m", "aurora_simulator", "live", "--root", str(STATE / "camera"), *camera_options],
            cwd=ROOT,
            start_new_session=True,
        )
        stack.callback(end, camera)
        while dagster.poll() is None and camera.poll() in (None, 0):
            time.sleep(LOG_EVERY if camera.poll() is None else 1)
            console.print(progress())
        if camera.poll():
            sys.exit("the camera ended; it has said why above")
    sys.exit(f"Dagster ended by itself; see {LOG.relative_to(ROOT)}")


def parse_options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="All else goes to the camera: --speed 60, --every 5m, --scale 0.25, --outage 2m, ... "
        "(see: python -m aurora_simulator live --help).",
    )
    parser.add_argument("--port", type=int, default=3000, help="of the UI (default: %(default)s)")
    options, rest = parser.parse_known_args()
    return options, ["--scale", "0.25", *rest]


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def prepare(stack: ExitStack) -> None:
    """A fresh state, whatever site and Dagster home the shell has exported."""
    STATE.parent.mkdir(exist_ok=True)
    try:
        stack.enter_context(FileLock(STATE.with_suffix(".lock"), timeout=0))
    except Timeout:
        sys.exit("another `make live` runs in this directory; end it first (Ctrl-C there)")
    shutil.rmtree(STATE, ignore_errors=True)
    for directory in ("camera", "dagster"):
        (STATE / directory).mkdir(parents=True)
    shutil.copyfile(ROOT / "dagster.yaml", STATE / "dagster" / "dagster.yaml")
    os.environ |= {"AURORA_SITE": str(SITE), "DAGSTER_HOME": str(STATE / "dagster")}


def start_dagster(port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    with LOG.open("wb") as log:
        # In a session of its own, so that Ctrl-C reaches it by way of end() and once.
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def wait_for_ui(port: int, dagster: subprocess.Popen[bytes]) -> None:
    for _ in range(120):
        if dagster.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"the UI did not start:\n{LOG.read_text(errors='replace')[-2000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started; runs that are going end by themselves within seconds."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def progress() -> str:
    """One line: what is in the catalogue, and how the runs ended."""
    from dagster import DagsterInstance

    rows, newest = 0, None
    if CATALOG.exists():
        with closing(sqlite3.connect(f"file:{CATALOG}?mode=ro", uri=True)) as db:
            rows, newest = db.execute("SELECT count(*), max(time_utc) FROM images").fetchone()
    with DagsterInstance.get() as instance:
        ended = Counter(run.status.value.lower() for run in instance.get_runs(limit=1000))
    runs = ", ".join(f"{count} {status}" for status, count in sorted(ended.items())) or "none yet"
    return f"{time.strftime('%H:%M:%S')}  catalogue: {rows} files, newest of sky time {newest or '-'}; runs: {runs}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nended")
