"""A day of 100,000 small files and 20 of 1 GB, verified in three places with flat memory. About two minutes.

``make soak-short`` has fewer, which take as much memory: it is flat.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.archive.places import DAY, ROOTS, Observatory

SMALL, LARGE = int(os.environ.get("SOAK_SMALL", "100000")), int(os.environ.get("SOAK_LARGE", "20"))
MOST_KB = 300_000  # of memory, for the whole process
ROOT = Path(__file__).resolve().parents[2]
# The kernel's own high-water mark of the process, which begins anew with the program.
PROGRAM = """
import json, sys, time
from pathlib import Path
from tests.archive.places import Observatory
observatory = Observatory(Path(sys.argv[1]))
began = time.monotonic()
report = observatory.verify_and_publish(full=True).report
peak = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line).split()[1])
print(json.dumps([report.days[0].verdict.proved, report.read, peak, time.monotonic() - began]))
"""


def test_many_small_files_and_some_of_a_gigabyte_are_verified_with_flat_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    observatory = Observatory(tmp_path)
    source = observatory.place("source")
    mtime = int(datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC).timestamp()) * 10**9
    for number in range(SMALL + LARGE):
        place = source / f"{number // 1000:03}" / f"met_{DAY:%Y%m%d}_{number:06}.csv"
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            file.write(b"%d\n" % number * 20)
            if number >= SMALL:
                file.truncate(10**9)  # sparse: what is not written is read as zeros
        os.utime(place, ns=(mtime, mtime))
    for side in ("local", "gws"):
        subprocess.run(["cp", "-al", f"{source}/.", f"{tmp_path}/copy.{side}"], check=True)
        target = tmp_path / ROOTS[side]
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"copy.{side}").rename(target)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    proved, read, peak, seconds = json.loads(done.stdout.splitlines()[-1])
    with capsys.disabled():
        print(f"\n{proved} files proved in three places, {read}, in {seconds:.1f} s; peak {peak / 1e3:.0f} MB")
    assert proved == SMALL + LARGE
    assert read == dict.fromkeys(ROOTS, SMALL + LARGE)
    assert peak < MOST_KB
