"""Disks of our own: a file system that is mounted for one thread alone, and for what it starts; it ends with it.

Not for a fork: in a process with threads, as a test's is, a fork may wait for ever for a lock that another thread held.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Sequence

import pytest


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def with_mounts[Result](mounts: Sequence[Sequence[object]], act: Callable[[], Result]) -> Result:
    """What ``act`` returns in a thread that alone sees these mounts, each the arguments of ``mount``.

    It skips the test, with the reason, where no mount namespace can be made.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    reasons: list[str] = []

    def run() -> None:
        try:
            os.unshare(os.CLONE_NEWNS)  # of this thread: mount namespaces are the kernel's tasks', not a process's
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


def tmpfs(place: object, size: str) -> list[object]:
    """The mount of a small disk; the directory must be there."""
    return ["-t", "tmpfs", "-o", f"size={size}", "none", place]
