"""Verifies a day of 100,000 small files and 20 files of 1 GB in three places with constant memory: two minutes.

``make soak-short`` uses fewer files, with the same memory.
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
MOST_KB = 300_000  # peak memory of the whole process
ROOT = Path(__file__).resolve().parents[2]
# VmHWM is the kernel's peak memory of the process since the start of the program.
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


def test_many_small_files_and_some_of_a_gigabyte_are_verified_with_constant_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    observatory = Observatory(tmp_path)
    source = observatory.place("source")
    mtime = int(datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC).timestamp()) * 10**9
    for number in range(SMALL + LARGE):
        path = source / f"{number // 1000:03}" / f"met_{DAY:%Y%m%d}_{number:06}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(b"%d\n" % number * 20)
            if number >= SMALL:
                file.truncate(10**9)  # sparse: unwritten bytes read as zeros
        os.utime(path, ns=(mtime, mtime))
    for side in ("local", "gws"):
        subprocess.run(["cp", "-al", f"{source}/.", f"{tmp_path}/copy.{side}"], check=True)
        target = tmp_path / ROOTS[side]
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"copy.{side}").rename(target)
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    proved, read, peak, seconds = json.loads(process.stdout.splitlines()[-1])
    with capsys.disabled():
        print(f"\n{proved} files verified in three places, {read}, in {seconds:.1f} s; peak {peak / 1e3:.0f} MB")
    assert proved == SMALL + LARGE
    assert read == dict.fromkeys(ROOTS, SMALL + LARGE)
    assert peak < MOST_KB
