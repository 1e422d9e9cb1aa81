"""The file systems of tests: in memory, on the disk, another one, and mounts that only one thread sees.

`with_mounts` uses a thread, not a fork: the process of a test has threads, and a fork may wait for ever for a lock of a
thread. The mounts end with the thread.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
LEAST_MEMORY = 2 << 30  # the suite uses some 100 MB


def in_memory() -> Path | None:
    """Return where the files of tests may be in memory, if enough of it is free and the caller chose no other place.

    On a disk, every transaction of thousands of small SQLite files waits for that disk.
    """
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or not os.access(MEMORY, os.W_OK):
        return None
    available = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    free = min(shutil.disk_usage(MEMORY).free, int(available.split()[1]) << 10)
    return MEMORY if free >= LEAST_MEMORY else None


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def with_mounts[Result](mounts: Sequence[Sequence[object]], act: Callable[[], Result]) -> Result:
    """Call ``act`` in a thread that alone sees these mounts (arguments of ``mount``); return its result.

    It skips the test, with the reason, if it cannot make a mount namespace.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    reasons: list[str] = []

    def run() -> None:
        try:
            os.unshare(
                os.CLONE_NEWNS
            )  # only for this thread: a mount namespace belongs to a thread, not to the process
            mount("--make-rprivate", "/")
            for arguments in mounts:
                mount(*arguments)
        except (OSError, subprocess.CalledProcessError) as error:
            reasons.append(str(error))
            return
        try:
            results.append(act())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="with mounts")
    thread.start()
    thread.join()
    if reasons:
        pytest.skip(f"no mount namespace: {reasons[0]}")
    if errors:
        raise errors[0]
    return results[0]


def another_file_system(path: Path) -> Path:
    """Return a directory to write to on another file system than `path`; skip the test if there is none."""
    for directory in (MEMORY, Path(tempfile.gettempdir())):
        if os.access(directory, os.W_OK) and directory.stat().st_dev != path.stat().st_dev:
            return directory
    pytest.skip("there is only one file system to write to")


def tmpfs(directory: object, size: str) -> list[object]:
    """Return the mount arguments of a small disk; the directory must exist."""
    return ["-t", "tmpfs", "-o", f"size={size}", "none", directory]
