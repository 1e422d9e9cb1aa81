"""A source of 100,000 files is listed and planned in a bounded memory, by a process that has only plain modules."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

FILES = 100_000
LARGEST = 300 * 1024  # KiB

PROGRAM = """
import json, sys
from datetime import date
from pathlib import Path
from aurora_assets.files import Tally
from aurora_assets.mirror.listing import LocalSource, parse_listing, remote_command, split_records
from aurora_assets.mirror.plan import make_plan
from aurora_assets.site import Stream

way, root, raw = sys.argv[1:]
stream = Stream(host="camera", path=root, raw="wxcam", include=["FISH/**/HDR_*.jpg"], start=date(2026, 1, 12),
                day=r"HDR_(?P<Y>\\d{4})(?P<m>\\d{2})(?P<d>\\d{2})_", settle="0s")
if way == "local":
    listing = LocalSource().list(root, [])
else:
    import subprocess
    host = subprocess.Popen(remote_command(root, []), stdout=subprocess.PIPE)
    listing = parse_listing(split_records(iter(lambda: host.stdout.read1(1 << 16), b"")), Tally())
plan = make_plan(stream, [date(2026, 3, 5), date(2026, 3, 6)], listing, Path(raw))
# ru_maxrss would begin with the memory of the process that started this one.
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([sum(len(day.fetch) for day in plan.days.values()), plan.foreign, peak, "dagster" in sys.modules]))
"""


@pytest.fixture(scope="module")
def many() -> Iterator[Path]:
    """A camera's tree with 100,000 files, empty because names are what is listed; in memory where that is possible."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as name:
        for number in range(50):
            day, hour = 5 + number // 25, number % 25
            directory = Path(name) / f"FISH/2026030{day}/{hour:02}"
            directory.mkdir(parents=True)
            handle = os.open(directory, os.O_RDONLY)
            for item in range(FILES // 50):
                os.mknod(f"HDR_2026030{day}_{hour:02}{item:04}.jpg", 0o644, dir_fd=handle)
            os.close(handle)
        yield Path(name)


@pytest.mark.parametrize("way", ["local", "remote"])
def test_a_listing_of_100000_files_is_handled_in_less_than_300_mb(many: Path, tmp_path: Path, way: str) -> None:
    # In a process of its own: a fork of this one would begin with this one's memory.
    command = [sys.executable, "-c", PROGRAM, way, str(many), str(tmp_path / "raw")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    fetched, foreign, peak, has_dagster = json.loads(done.stdout)
    assert (fetched, foreign, has_dagster) == (FILES, 0, False)
    assert peak < LARGEST
