"""A listing with a million hostile entries needs no more memory than one with 100,000."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
from datetime import date, timedelta
from pathlib import Path
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.transport.listing import Listing
from aurora_platform.mirror.sync import mirror_days
from tests.mirror.parts import ANYTHING, stream_of
from tests.mirror.host.test_hostile_listings import CLOCK, HOSTILE_PATHS, MTIME

paths = [path for path in HOSTILE_PATHS if len(path) < 100]

class HostileSource:
    def __init__(self, number): self.number = number
    def list(self, root, below):
        return Listing(CLOCK, (
            ScannedEntry(b"%s/%d" % (paths[n % len(paths)], n), FileVersion(7, MTIME)) for n in range(self.number)))

class NoTransfer:
    def fetch(self, *_, **__): raise AssertionError("no file is to be fetched")

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

home, found = Path(sys.argv[1]), []
for number in (100_000, 1_000_000):
    report = mirror_days("hostile", stream_of("/source", ANYTHING), [date(2026, 3, 5)], source=HostileSource(number),
        transfer=NoTransfer(), raw=home / "raw", locks=home / "locks", wait=timedelta(seconds=1))
    found.append([report.total("seen"), report.total("refused_count"), peak()])
print(json.dumps(found))
"""


def test_a_million_hostile_entries_need_no_more_memory_than_100000(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    tenth, million = json.loads(done.stdout)
    assert tenth[:2] == [100_000, 100_000]
    assert million[:2] == [1_000_000, 1_000_000]
    assert million[2] - tenth[2] < 2 * 1024, "KiB"
    assert not (tmp_path / "raw/all").exists()
