"""Disks of our own: a file system that is mounted for one process alone, which ends with it."""

import os
import pickle
import subprocess
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import pytest

fork = get_context("fork")


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def with_mounts[Result](mounts: Sequence[Sequence[object]], act: Callable[[], Result]) -> Result:
    """What ``act`` returns in a process that alone sees these mounts, each the arguments of ``mount``.

    It skips the test, with the reason, where no mount namespace can be made.
    """
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_run, args=(mounts, act, theirs))
    process.start()
    theirs.close()
    try:
        kind, result = pickle.loads(ours.recv_bytes())
    finally:
        process.join()
    if kind == "skip":
        pytest.skip(f"no mount namespace: {result}")
    assert kind == "done", result
    return result  # type: ignore[no-any-return]


def _run(mounts: Sequence[Sequence[object]], act: Callable[[], Any], answer: Connection) -> None:
    try:
        try:
            os.unshare(os.CLONE_NEWNS)
            mount("--make-rprivate", "/")
            for arguments in mounts:
                mount(*arguments)
        except (OSError, subprocess.CalledProcessError) as error:
            said: tuple[str, Any] = ("skip", str(error))
        else:
            said = ("done", act())
    except BaseException:
        said = ("failed", traceback.format_exc())
    answer.send_bytes(pickle.dumps(said))


def tmpfs(place: object, size: str) -> list[object]:
    """The mount of a small disk; the directory must be there."""
    return ["-t", "tmpfs", "-o", f"size={size}", "none", place]
