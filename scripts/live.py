"""Run the Dagster UI, its daemon, and a camera that writes in real time. ``make live`` runs it.

The camera writes an hour of sky time per minute, with half-written files, a file that was recovered late, and an outage
of two minutes. Watch in the UI how the sensors react. All files are below ``.aurora/live``; each start deletes them.
Ctrl-C ends everything.
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
        sys.exit(
            f"port {options.port} is in use: another `make ui` or `make live`? Choose another: make live PORT=3001"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        prepare(stack)
        console.print(f"starting Dagster; its log is {LOG.relative_to(ROOT)}")
        dagster = start_dagster(options.port)
        stack.callback(end, dagster)
        wait_for_ui(options.port, dagster)
        console.print(
            f"[bold]http://127.0.0.1:{options.port}[/]  Automation: sensors and schedules; Runs: the runs they started"
        )
        console.print("Below: the log of the camera and the progress of the catalogue. Ctrl-C ends everything.\n")
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
            sys.exit("the camera failed; see its message above")
    sys.exit(f"Dagster ended unexpectedly; see {LOG.relative_to(ROOT)}")


def parse_options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="All other options go to the camera: --speed 60, --every 5m, --scale 0.25, --outage 2m, ... "
        "(see: python -m aurora_simulator live --help).",
    )
    parser.add_argument("--port", type=int, default=3000, help="port of the UI (default: %(default)s)")
    options, rest = parser.parse_known_args()
    return options, ["--scale", "0.25", *rest]


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def prepare(stack: ExitStack) -> None:
    """Start with an empty state. Ignore an exported site and Dagster home."""
    STATE.parent.mkdir(exist_ok=True)
    try:
        stack.enter_context(FileLock(STATE.with_suffix(".lock"), timeout=0))
    except Timeout:
        sys.exit("another `make live` runs in this directory; end it first with Ctrl-C")
    shutil.rmtree(STATE, ignore_errors=True)
    for directory in ("camera", "dagster"):
        (STATE / directory).mkdir(parents=True)
    shutil.copyfile(ROOT / "dagster.yaml", STATE / "dagster" / "dagster.yaml")
    os.environ |= {"AURORA_SITE": str(SITE), "DAGSTER_HOME": str(STATE / "dagster")}


def start_dagster(port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "aurora_cli.main", "ui", "--port", str(port)]
    with LOG.open("wb") as log:
        # In a new session, so that Ctrl-C reaches it only once, through end().
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
    """End a process and its child processes; active runs end by themselves within seconds."""
    # A second Ctrl-C, or one signal to the group and one through make, would leave the other process running.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def progress() -> str:
    """Return a line with the files of the catalogue and the runs by status."""
    from dagster import DagsterInstance

    rows, newest = 0, None
    if CATALOG.exists():
        with closing(sqlite3.connect(f"file:{CATALOG}?mode=ro", uri=True)) as db:
            rows, newest = db.execute("SELECT count(*), max(time_utc) FROM images").fetchone()
    with DagsterInstance.get() as instance:
        statuses = Counter(run.status.value.lower() for run in instance.get_runs(limit=1000))
    runs = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "none yet"
    return f"{time.strftime('%H:%M:%S')}  catalogue: {rows} files, newest {newest or '-'} (sky time); runs: {runs}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nended")
