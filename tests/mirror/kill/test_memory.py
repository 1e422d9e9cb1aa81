"""Large sources need bounded memory: 100,000 files to plan, a million to scan. Each runs in its own process."""

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
GROWTH = 2 * 1024  # KiB

# ru_maxrss would include the memory of the parent process.
PEAK = """
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""

PROGRAM = """
import json, sys
from datetime import date
from pathlib import Path
from aurora_platform.text import Count
from aurora_platform.transport.listing import LocalSource, parse_listing, remote_command, split_records
from aurora_platform.mirror.plan import make_plan
from aurora_platform.config.streams import Stream

way, root, raw = sys.argv[1:]
stream = Stream(host="camera", path=root, raw="wxcam", include=["FISH/**/HDR_*.jpg"], start=date(2026, 1, 12),
                day=r"HDR_(?P<Y>\\d{4})(?P<m>\\d{2})(?P<d>\\d{2})_", settle="0s")
if way == "local":
    listing = LocalSource().list(root, [])
else:
    import subprocess
    host = subprocess.Popen(remote_command(root, []), stdout=subprocess.PIPE)
    listing = parse_listing(split_records(iter(lambda: host.stdout.read1(1 << 16), b"")), Count())
plan = make_plan(stream, [date(2026, 3, 5), date(2026, 3, 6)], listing, Path(raw))
fetched = sum(len(day.fetch) for day in plan.days.values())
print(json.dumps([fetched, plan.unexpected, peak(), "dagster" in sys.modules]))
"""

# A camera writes three other images per image of the stream.
SCAN = """
import json, sys
from datetime import date
from pathlib import Path
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.transport.listing import Listing
from aurora_platform.mirror.scan import scan
from aurora_platform.config.streams import Stream

stream = Stream(host="camera", path="/camera", raw="wxcam", include=["FISH/**/HDR_*.jpg"], start=date(2026, 1, 12),
                day=r"HDR_(?P<Y>\\d{4})(?P<m>\\d{2})(?P<d>\\d{2})_", day_dirs=["FISH/%Y%m%d"])

class Camera:
    def __init__(self, files):
        self.files = files
    def list(self, root, below):
        return Listing(1_790_000_000 * 10**9, self.entries())
    def entries(self):
        for n in range(self.files):
            kind, day = (b"HDR", b"AUTO", b"LONG", b"SHORT")[n % 4], b"202603%02d" % (1 + n * 30 // self.files)
            name = b"FISH/%s/%02d/%s_%s_%06d.jpg" % (day, n % 24, kind, day, n)
            yield ScannedEntry(name, FileVersion(n, 1_780_000_000 * 10**9 + n))

found = []
for files in (100_000, 1_000_000):
    survey = scan(stream, Camera(files), Path(sys.argv[1]), None)
    found.append([len(survey.behind), sum(day.missing for day in survey.behind), survey.unexpected, peak()])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def many() -> Iterator[Path]:
    """A camera's tree with 100,000 empty files; only their names matter. In memory if possible."""
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


def run(program: str, *arguments: str) -> list:
    """Run a program in its own process and return its output; a fork would begin with the memory of this process."""
    command = [sys.executable, "-c", PEAK.strip() + program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    return json.loads(done.stdout)


@pytest.mark.parametrize("way", ["local", "remote"])
def test_a_listing_of_100000_files_is_handled_in_less_than_300_mb(many: Path, tmp_path: Path, way: str) -> None:
    fetched, unexpected, peak, has_dagster = run(PROGRAM, way, str(many), str(tmp_path / "raw"))
    assert (fetched, unexpected, has_dagster) == (FILES, 0, False)
    assert peak < LARGEST


def test_a_scan_of_a_million_files_needs_no_more_memory_than_a_scan_of_100000(tmp_path: Path) -> None:
    tenth, million = run(SCAN, str(tmp_path / "raw"))
    assert tenth[:3] == [30, 25_000, 75_000]
    assert million[:3] == [30, 250_000, 750_000]
    assert million[3] - tenth[3] < GROWTH
    assert million[3] < LARGEST / 2
