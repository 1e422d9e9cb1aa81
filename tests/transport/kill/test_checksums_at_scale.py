"""A hundred thousand files are hashed in the memory of ten thousand."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

MEMORY = """
import json, sys
from collections.abc import Sequence
from pathlib import Path
from aurora_platform.transport.checksums import LocalHasher

class Names(Sequence):
    "Any number of names, each made on access, so that only the hasher's memory is measured."
    def __init__(self, count):
        self.count = count
    def __len__(self):
        return self.count
    def __getitem__(self, number):
        if not 0 <= number < self.count:
            raise IndexError
        return "large" if number == 0 else f"{number % 50:02}/{number:06}"

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

results = []
for count in (10_000, 100_000):
    checksums = LocalHasher().checksums(sys.argv[1], Names(count))
    results.append([sum(1 for checksum in checksums if checksum.sha256), peak()])
print(json.dumps([*results, "dagster" in sys.modules]))
"""


def test_a_hundred_thousand_files_take_no_more_memory_than_a_tenth_of_them(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    home = (shared if os.access(shared, os.W_OK) else tmp_path) / f"aurora-checksums-{os.getpid()}"
    try:
        for folder in range(50):
            (home / f"{folder:02}").mkdir(parents=True)
            handle = os.open(home / f"{folder:02}", os.O_RDONLY)
            for number in range(folder, 100_000, 50):
                os.mknod(f"{number:06}", 0o644, dir_fd=handle)
            os.close(handle)
        (home / "large").touch()
        os.truncate(home / "large", 1 << 30)
        command = [sys.executable, "-c", MEMORY, str(home)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    finally:
        shutil.rmtree(home, ignore_errors=True)
    few, many, has_dagster = json.loads(done.stdout)
    assert (few[0], many[0], has_dagster) == (10_000, 100_000, False)
    assert many[1] - few[1] < 2 * 1024
    assert many[1] < 100 * 1024
