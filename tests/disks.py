"""Mounts file systems that only one thread and its child processes see; they end with the thread.

It uses a thread, not a fork: the process of a test has threads, and a fork may wait for ever for a lock of a thread.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Sequence

import pytest


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


def tmpfs(directory: object, size: str) -> list[object]:
    """Return the mount arguments of a small disk; the directory must exist."""
    return ["-t", "tmpfs", "-o", f"size={size}", "none", directory]
