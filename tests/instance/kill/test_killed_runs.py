"""Runs that are killed at random moments many times, while a reader opens all products."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import pytest

from aurora_platform.config.site import load_site
from aurora_simulator import CameraSpec, simulate
from tests.comparing import rows, tree
from tests.forking import KILLS, Forking
from tests.patience import patient, until
from tests.site_files import write_site

ROOT = Path(__file__).resolve().parents[3]
DAY = date(2026, 8, 18)


def platform_of(site: Path) -> Forking:
    """Runs of the platform on a site, each in its own process."""
    return Forking("tests.platform_run:main", AURORA_SITE=str(site))


def run(
    runs: Forking,
    kill_after: float | None = None,
    kill_when: Callable[[], bool] | None = None,
    days: tuple[date, date] = (DAY, DAY),
) -> int:
    """Run the platform once; kill it after ``kill_after`` s or when ``kill_when`` is true. Returns the exit code."""
    process = runs.start(*days)
    if kill_when is not None:
        while not kill_when():
            assert runs.wait(0.01) is None
        kill_after = 0.0
    code = runs.wait(patient(120) if kill_after is None else kill_after)
    if code is None:
        assert kill_after is not None, "it takes too long"
        code = runs.kill(process)
    assert kill_after is not None or code == 0
    return code


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def camera_writes_hour(camera: Path, hour: int) -> None:
    """Add an hour to the camera's tree; the first hour has one settled file of each fault."""
    faults = ["truncated-jpeg", "odd-size-jpeg", "odd-size-clip", "no-moov", "late", "upper-case"] if hour == 0 else []
    spec = CameraSpec(
        root=camera, day=DAY, hours=1, every=timedelta(minutes=10), start_hour=hour, scale=0.1, other=False
    )
    simulate(spec, faults)


def test_many_killed_runs_and_a_last_run_leave_the_same_files_as_one_quiet_run(
    tmp_path: Path, closing: ExitStack
) -> None:
    chance = random.Random(20260818)
    for name in ("killed", "quiet"):
        (tmp_path / name).mkdir()
    killed, quiet = (
        write_site(tmp_path / name, lambda data: data["streams"]["wxcam"].update(path="../camera"))
        for name in ("killed", "quiet")
    )
    runs = closing.enter_context(platform_of(killed))
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
            if attempt % 2 == 0:  # every other run has new files; the others have only leftovers of killed runs
                camera_writes_hour(camera, attempt // 2)
            kills += run(runs, kill_after=patient(chance.uniform(0.0, 2.0))) == -signal.SIGKILL
            assert reader.poll() is None, reader.stderr and reader.stderr.read().decode()[-3000:]
        run(runs)
    finally:
        stop.touch()
        out, errors = reader.communicate(timeout=patient(60))
    assert reader.returncode == 0, errors.decode()[-3000:]
    assert int(out) > 0
    assert kills >= KILLS // 2, "too few of the runs were killed in their work"

    with platform_of(quiet) as quiet_runs:
        run(quiet_runs)
    assert not list(products.rglob(".staging/*"))
    # SQLite keeps these files for its readers; they are empty.
    assert sum(path.stat().st_size for path in products.rglob("*.sqlite-wal")) == 0
    one, other = load_site(killed), load_site(quiet)
    for ours, theirs in ((one.paths.products, other.paths.products), (one.paths.raw, other.paths.raw)):
        left, right = tree(ours), tree(theirs)
        assert left.keys() == right.keys()
        assert [name for name in left if left[name] != right[name]] == []
    assert rows(one.paths.products, one.paths.raw) == rows(other.paths.products, other.paths.raw)


def test_a_killed_run_ends_its_rsync(tmp_path: Path) -> None:
    camera_writes_hour(tmp_path / "camera", 0)
    site = write_site(tmp_path)
    with platform_of(site) as runs:
        assert run(runs, kill_after=0.02) in (-signal.SIGKILL, 0)
    until(lambda: str(tmp_path / "raw").encode() not in _command_lines())


def _command_lines() -> bytes:
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except OSError:
            continue
    return found


def test_a_killed_backfill_repeats_no_finished_work(tmp_path: Path) -> None:
    days = [DAY - timedelta(days=n) for n in range(3)]
    for day in days:
        simulate(CameraSpec(tmp_path / "camera", day, hours=6, every=timedelta(minutes=5), scale=0.15, other=False))
    site = write_site(tmp_path)
    products, raw = (load_site(site).paths.products, load_site(site).paths.raw)

    def is_half_done() -> bool:
        done = len(list(products.glob("wxcam/wxcam.zarr/*/*/zarr.json")))
        assert done < 2 * len(days), "the backfill ended before it could be killed"
        return done >= 2

    with platform_of(site) as runs:
        run(runs, kill_when=is_half_done, days=(days[-1], days[0]))
    finished = {path: file_version(path) for root in (raw / "wxcam", products) for path in finished_files(root)}
    assert len([path for path in finished if path.suffix == ".mp4"]) >= 2 * 3 * 6
    with platform_of(site) as runs:
        run(runs, days=(days[-1], days[0]))
    assert [path for path, version in finished.items() if file_version(path) != version] == []
    assert len(list(products.glob("wxcam/wxcam.zarr/*/*/zarr.json"))) == 2 * len(days)


def finished_files(root: Path) -> list[Path]:
    """Published files, without SQLite's files and unfinished products."""
    names = (path for path in root.rglob("*") if path.is_file())
    return [path for path in names if ".staging" not in path.parts and ".sqlite" not in path.name]


def file_version(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
