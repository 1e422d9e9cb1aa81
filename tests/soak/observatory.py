"""Runs the observatory of the soak: a camera that writes in real time, its host with a real sshd, and the daemon.

Every part is a separate process, so that the test can cut it off or kill it.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from aurora_assets.definitions import build
from aurora_assets.instance.launcher import WORKER
from aurora_platform.cameras.filenames import CAMERAS
from aurora_platform.config.site import Site, load_site
from aurora_simulator.ssh_server import SshServer
from tests.patience import patient
from tests.site_files import write_site

ROOT = Path(__file__).resolve().parents[2]
EVERY = timedelta(seconds=10)
SETTLE = timedelta(seconds=3)


class Observatory:
    """A site below ``directory``; ``host`` is the camera host, ``reconcile`` the schedule that checks older days."""

    def __init__(self, directory: Path, host: SshServer, reconcile: str) -> None:
        self.directory = directory
        self.reconcile = reconcile
        self.camera = directory / "camera"
        self.journal = directory / "journal"
        self.home = directory / "dagster"
        self.host = host
        directory.mkdir()
        self.camera.mkdir()
        self.home.mkdir()
        shutil.copyfile(ROOT / "dagster.yaml", self.home / "dagster.yaml")
        self.site_file = write_site(directory, self._settings)
        self.site: Site = load_site(self.site_file)
        self.env = os.environ | {"AURORA_SITE": str(self.site_file), "DAGSTER_HOME": str(self.home)}
        self.daemon: subprocess.Popen[bytes] | None = None

    def _settings(self, data: dict) -> None:
        host = self.host
        data["hosts"] = {
            "far": {
                "kind": "ssh",
                "address": host.address,
                "port": host.port,
                "user": host.user,
                "auth": "key",
                "identity": str(host.identity),
            }
        }
        data["streams"]["wxcam"] |= {"host": "far", "path": str(self.camera), "settle": f"{SETTLE.seconds}s"}
        later_hour = (datetime.now(UTC) + timedelta(hours=12)).hour
        data["live"] = {
            "running": True,
            "every": f"{EVERY.seconds}s",
            "thumbnails": "* * * * *",
            "hour_closes_after": "5s",
            "reconcile": self.reconcile,
            # Move these schedules far away: their runs would break the silence at the end.
            "retention": f"0 {later_hour} * * *",
            "checks": f"0 {later_hour} * * *",
        }
        data["health"] = {"every": f"0 {later_hour} * * *"}

    def batch(self) -> "Site":
        """Make a second site with other roots, which reads the same camera without faults."""

        def settings(data: dict) -> None:
            data["streams"]["wxcam"] |= {"path": str(self.camera), "settle": f"{SETTLE.seconds}s"}
            data["live"] = {"hour_closes_after": "5s"}

        (self.directory / "batch").mkdir()
        return load_site(write_site(self.directory / "batch", settings))

    @contextmanager
    def instance(self) -> Iterator[DagsterInstance]:
        with DagsterInstance.from_config(str(self.home)) as instance:
            yield instance

    def start_daemon(self) -> None:
        daemon = str(Path(sys.executable).with_name("dagster-daemon"))
        # Background processes of a script ignore SIGINT, which ends the daemon.
        command = ["env", "--default-signal=INT", daemon, "run", "-m", "aurora_assets.definitions"]
        with (self.directory / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    def kill_daemon(self) -> None:
        """Kill only the daemon process, at once, as the kernel does."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait(patient(60))

    def stop_daemon(self) -> None:
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGINT)
            try:
                self.daemon.wait(patient(30))
            except subprocess.TimeoutExpired:
                os.killpg(self.daemon.pid, signal.SIGKILL)
                self.daemon.wait(patient(60))

    def start_camera(self, day: date, hours: int, speed: float, every: str = "5m") -> subprocess.Popen[bytes]:
        options = {
            "--root": self.camera,
            "--begin": f"{day}T00:00Z",
            "--hours": hours,
            "--speed": speed,
            "--every": every,
            "--scale": 0.1,
            "--flight": "1s",
            "--late-after": "3h",
            "--late-by": "10d",
            "--outage": "0s",
            "--journal": self.journal,
        }
        arguments = [str(part) for pair in options.items() for part in pair]
        with (self.directory / "camera.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "aurora_simulator", "live", *arguments], cwd=ROOT, stdout=log, stderr=log
            )

    def kill_a_live_run(self) -> str:
        """Kill the process of an active run; return the id of the run."""
        deadline = time.monotonic() + patient(60)
        active = RunsFilter(job_name="wxcam_day", tags={"aurora/lane": "live"}, statuses=[DagsterRunStatus.STARTED])
        with self.instance() as instance:
            while time.monotonic() < deadline:
                for run in instance.get_runs(active, limit=1):
                    os.kill(int(run.tags[WORKER].split()[1]), signal.SIGKILL)
                    return run.run_id
                time.sleep(0.05)
        raise AssertionError("no live run was active")

    def backfill(self, days: list[date]) -> str:
        """Request a backfill of all daily products for some days, as the UI does; return its id."""
        camera_products = [["wxcam", camera, product] for camera in CAMERAS for product in ("daily_video", "pixels")]
        with self.instance() as instance:
            request = PartitionBackfill.from_asset_partitions(
                backfill_id=make_new_backfill_id(),
                asset_graph=build(self.site).resolve_asset_graph(),
                partition_names=[str(day) for day in days],
                asset_selection=[AssetKey(key) for key in (["raw", "wxcam"], ["wxcam", "catalog"], *camera_products)],
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=instance,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
            instance.add_backfill(request)
            return request.backfill_id

    def describe_backfill(self, backfill_id: str) -> str:
        """Return the status of a backfill and the end of the log of the daemon."""
        with self.instance() as instance:
            backfill = instance.get_backfill(backfill_id)
        log = (self.directory / "daemon.log").read_text(errors="replace")
        return f"{backfill and (backfill.status, backfill.error)}\n{log[-4000:]}"

    def runs(self) -> list[RunRecord]:
        with self.instance() as instance:
            return list(instance.get_run_records())

    def unfinished(self) -> int:
        return sum(not record.dagster_run.is_finished for record in self.runs())

    def journal_entries(self) -> list[dict]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []


class RowWatch(threading.Thread):
    """Records when each row of the catalogue first appears, without code of Aurora."""

    def __init__(self, catalog: Path) -> None:
        super().__init__(daemon=True)
        self.catalog = catalog
        self.first_listed: dict[str, float] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        last = 0
        while not self.ended.wait(0.3):
            if not self.catalog.exists():
                continue
            with closing(sqlite3.connect(f"file:{self.catalog}?mode=ro", uri=True)) as db:
                try:
                    rows = db.execute("SELECT rowid, relative_path FROM images WHERE rowid > ?", (last,)).fetchall()
                except sqlite3.OperationalError:  # its tables do not exist yet
                    continue
            now = time.time()
            for rowid, path in rows:
                last = max(last, rowid)
                self.first_listed.setdefault(path, now)

    def stop(self) -> None:
        self.ended.set()
        self.join(patient(60))
