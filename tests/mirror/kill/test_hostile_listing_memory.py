"""A host that tells a million lies takes no more memory than one that tells a tenth of them."""

import json
import subprocess
import sys
from pathlib import Path

MILLION = """
import json, sys
from datetime import date, timedelta
from pathlib import Path
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.transport.listing import Listing
from aurora_platform.mirror.sync import mirror_days
from tests.mirror.parts import ANYTHING, stream_of
from tests.mirror.host.test_hostile_listings import CLOCK, LIES, MTIME

lies = [path for path in LIES if len(path) < 100]

class Liar:
    def __init__(self, number): self.number = number
    def list(self, root, below):
        return Listing(CLOCK, (
            ScannedEntry(b"%s/%d" % (lies[n % len(lies)], n), FileVersion(7, MTIME)) for n in range(self.number)))

class Nothing:
    def fetch(self, *_, **__): raise AssertionError("there is nothing to fetch")

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

home, found = Path(sys.argv[1]), []
for number in (100_000, 1_000_000):
    report = mirror_days("liar", stream_of("/far", ANYTHING), [date(2026, 3, 5)], source=Liar(number),
        transfer=Nothing(), raw=home / "raw", locks=home / "locks", wait=timedelta(seconds=1))
    found.append([report.total("seen"), report.total("refused_count"), peak()])
print(json.dumps(found))
"""


def test_a_million_lies_take_no_more_memory_than_a_tenth_of_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MILLION, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    tenth, million = json.loads(done.stdout)
    assert tenth[:2] == [100_000, 100_000]
    assert million[:2] == [1_000_000, 1_000_000]
    assert million[2] - tenth[2] < 2 * 1024, "KiB"
    assert not (tmp_path / "raw/all").exists()
