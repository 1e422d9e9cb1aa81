"""Runs programs with bounds on time, output and locks.

:func:`run_program` starts a program by ``subprocess``, not by ``dagster-shell``: that forks with Python code to run
in the child (``preexec_fn``), and in a process with threads such a child can hang before the program, so before any
bound, begins. Seen with PyAV's threads; ``docs/decisions/0015-start-programs-with-subprocess.md`` tells the story.
``dagster-shell`` runs what an operator starts by itself, in a run that does nothing else
(:mod:`aurora_assets.tools_job`).
"""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from logging import Logger
from pathlib import Path

from aurora_platform.fs.locks import INHERITED
from aurora_platform.text import printable_text
from aurora_platform.transport.output import Output
from aurora_platform.transport.stall import READ_PROGRESS, Progress

# Exit codes of `timeout` and `flock` when their own bound was reached.
TIMED_OUT = 124
LOCKED = 75
STALLED = 30  # the exit code of rsync when it notices a stall itself
FLOODED = 76  # of none of them: the program said more than MOST_OUTPUT bytes
MOST_OUTPUT = 64 << 20
"""A program that says more than this (bytes) is ended: its messages about single files are long before that."""

ENDS_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")
_KILL_AFTER = 10  # s between SIGTERM and SIGKILL
_CHECKS_PER_STALL = 8  # how often to measure the progress within the stall time
_MEASURE_EVERY = 1.0  # s, at how much a program has said
# rsync and ssh need nothing else of our environment, so nothing else (credentials) is passed on.
_PASSED_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME")


def run_program(
    argv: Sequence[str],
    log: Logger,
    *,
    bound: timedelta,
    lock: Path,
    lock_wait: timedelta,
    stall: timedelta | None = None,
    progress: Progress = READ_PROGRESS,
    largest: int | None = None,
    matching: Sequence[re.Pattern[bytes]] = (),
) -> tuple[str, int]:
    """Run ``argv`` and return its combined output and its exit code, negative if a signal ended it.

    Only the beginning and the end of the output are kept (:mod:`aurora_platform.transport.output`). They are returned
    as the program wrote them, and logged in printable form. Every program has three bounds: it ends with the run that
    started it (also if SIGKILL ends that run), it ends after a given time, and it holds a lock file while it runs.

    Parameters
    ----------
    argv
        The program and its arguments.
    log
        Gets the output when the program has ended.
    bound
        The program is ended after this time; the exit code is then :data:`TIMED_OUT`.
    lock, lock_wait
        A file that the program holds locked while it runs, and how long to wait for it. The exit code is
        :data:`LOCKED` if the lock is not free by then.
    stall, progress
        The program is ended when it makes no progress for this time; the exit code is then :data:`STALLED`.
    largest
        The program cannot write more than this many bytes into a file; writing more fails with EFBIG.
    matching
        The first few lines of output that match each of these patterns are always kept.

    A program that says more than :data:`MOST_OUTPUT` is ended too; the exit code is then :data:`FLOODED`.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    seconds = [f"{d.total_seconds():.3f}" for d in (lock_wait, bound)]
    guarded = [
        *ENDS_WITH_PARENT,
        *("flock", "--no-fork", "--wait", seconds[0], "--conflict-exit-code", str(LOCKED), str(lock)),
        *("timeout", "--kill-after", str(_KILL_AFTER), seconds[1]),
        *(() if largest is None else ("prlimit", f"--fsize={largest}")),
        *argv,
    ]
    with Output(matching) as output:
        code = _run(guarded, output, Path(argv[0]).name, stall, progress)
    text = output.excerpt.text()
    log.info(printable_text(text))
    return text, code


def _run(argv: Sequence[str], output: Output, program: str, stall: timedelta | None, progress: Progress) -> int:
    """Run a program in a session of its own; end the program if this run is ended meanwhile."""
    env = {key: os.environ[key] for key in _PASSED_VARIABLES if key in os.environ} | {"LC_ALL": "C"}
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output.sink,
        stderr=subprocess.STDOUT,
        env=env,
        start_new_session=True,
        pass_fds=INHERITED.get(),
    )
    output.started()
    try:
        return _watch(process, program, output, None if stall is None else stall.total_seconds(), progress)
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_KILL_AFTER + 5)
    except subprocess.TimeoutExpired:
        process.kill()


def _watch(
    process: subprocess.Popen[bytes], program: str, output: Output, stall: float | None, progress: Progress
) -> int:
    """Wait for the end of ``process``; end it when it says too much, or when ``program`` makes no progress (s)."""
    last_moved, since = -1, time.monotonic()
    next_measurement = since + (stall / _CHECKS_PER_STALL if stall else 0)
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(min(_MEASURE_EVERY, stall / _CHECKS_PER_STALL if stall else _MEASURE_EVERY))
        if output.excerpt.total > MOST_OUTPUT:
            _end(process)
            return FLOODED
        now = time.monotonic()
        if stall is None or now < next_measurement:
            continue
        next_measurement, moved = now + stall / _CHECKS_PER_STALL, progress.bytes_moved(process.pid, program)
        if moved is None or abs(moved - last_moved) > progress.minimum_rate * (now - since):
            last_moved, since = -1 if moved is None else moved, now
        elif now - since >= stall:
            _end(process)
            return STALLED
