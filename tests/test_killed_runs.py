"""Runs that are killed at random moments, twenty times over, while a reader looks at everything."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from aurora_assets.site import load_site
from simulator import CameraSpec, simulate
from tests.conftest import write_site

ROOT = Path(__file__).resolve().parent.parent
DAY = date(2026, 8, 18)
KILLS = 20


def run(site: Path, kill_after: float | None = None) -> int:
    """Run the platform once; ``kill_after`` seconds of work, kill it with SIGKILL. Returns the exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.platform_run", DAY.isoformat()],
        cwd=ROOT,
        env=os.environ | {"AURORA_SITE": str(site)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    if kill_after is None:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()[-3000:]
        return 0
    try:
        process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode


def camera_writes_hour(camera: Path, hour: int) -> None:
    """The camera's tree grows by an hour; the first hour has one file of each fault that is settled."""
    faults = ["truncated-jpeg", "odd-size-jpeg", "odd-size-clip", "no-moov", "late", "upper-case"] if hour == 0 else []
    spec = CameraSpec(
        root=camera, day=DAY, hours=1, every=timedelta(minutes=10), start_hour=hour, scale=0.1, other=False
    )
    simulate(spec, faults)


def tree(root: Path) -> dict[str, bytes]:
    """Relative path -> bytes of everything below a directory; directories end in '/'. SQLite files are left out."""
    return {
        str(p.relative_to(root)) + "/" * p.is_dir(): b"" if p.is_dir() else p.read_bytes()
        for p in root.rglob("*")
        if ".sqlite" not in p.name
    }


def rows(products: Path, raw: Path) -> list[tuple]:
    """The catalogue's rows without ``indexed_at``, and with paths relative to the raw root."""
    with closing(sqlite3.connect(products / "wxcam" / "wxcam_catalog.sqlite")) as db:
        columns = [c[1] for c in db.execute("PRAGMA table_info(images)") if c[1] not in ("indexed_at", "raw_path")]
        images = db.execute(f"SELECT {', '.join(columns)} FROM images ORDER BY relative_path").fetchall()
        bad = db.execute(
            "SELECT raw_path, size_bytes, mtime_ns, error FROM unreadable_media ORDER BY raw_path"
        ).fetchall()
    return [*images, *((path.removeprefix(str(raw)), *rest) for path, *rest in bad)]


@pytest.mark.timeout(300)
def test_twenty_killed_runs_and_a_quiet_one_leave_what_one_quiet_run_leaves(tmp_path: Path) -> None:
    chance = random.Random(20260818)
    for name in ("killed", "quiet"):
        (tmp_path / name).mkdir()
    killed, quiet = (
        write_site(tmp_path / name, lambda data: data["streams"]["wxcam"].update(path="../camera"))
        for name in ("killed", "quiet")
    )
    camera, stop = tmp_path / "camera", tmp_path / "stop"
    products = tmp_path / "killed" / "products"
    reader = subprocess.Popen(
        [sys.executable, "-m", "tests.product_reader", str(products / "wxcam"), str(stop)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    kills = 0
    try:
        for attempt in range(KILLS):
            if attempt % 2 == 0:  # so that every other run finds work, and the others what a dead one left
                camera_writes_hour(camera, attempt // 2)
            kills += run(killed, kill_after=chance.uniform(0.0, 2.0)) == -signal.SIGKILL
            assert reader.poll() is None, reader.stderr and reader.stderr.read().decode()[-3000:]
    finally:
        stop.touch()
        out, errors = reader.communicate(timeout=60)
    assert reader.returncode == 0, errors.decode()[-3000:]
    assert int(out) > 0
    assert kills >= KILLS // 2, "too few of the runs were killed in their work"

    run(killed)
    run(quiet)
    assert not list(products.rglob(".staging/*"))
    # SQLite keeps these beside the file for its readers; nothing of the catalogue is in them.
    assert sum(path.stat().st_size for path in products.rglob("*.sqlite-wal")) == 0
    one, other = load_site(killed), load_site(quiet)
    for ours, theirs in ((one.paths.products, other.paths.products), (one.paths.raw, other.paths.raw)):
        left, right = tree(ours), tree(theirs)
        assert left.keys() == right.keys()
        assert [name for name in left if left[name] != right[name]] == []
    assert rows(one.paths.products, one.paths.raw) == rows(other.paths.products, other.paths.raw)


def test_a_killed_run_takes_its_rsync_with_it(tmp_path: Path) -> None:
    camera_writes_hour(tmp_path / "camera", 0)
    site = write_site(tmp_path)
    assert run(site, kill_after=0.02) in (-signal.SIGKILL, 0)
    deadline = time.monotonic() + 15
    while str(tmp_path / "raw").encode() in _command_lines():
        assert time.monotonic() < deadline, "rsync outlived the run that started it"
        time.sleep(0.1)


def _command_lines() -> bytes:
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except OSError:
            continue
    return found
