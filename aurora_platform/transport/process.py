"""Running programs, each with its bounds.

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

from aurora_platform.text import printable_text
from aurora_platform.transport.output import Output
from aurora_platform.transport.stall import READS, Life

# What `timeout` and `flock` end with when their own bound was hit.
TIMED_OUT = 124
LOCKED = 75
STALLED = 30  # what rsync itself ends with, where it notices

ENDS_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")
_KILL_AFTER = 10  # s between SIGTERM and SIGKILL
_LOOKS_A_STALL = 8  # how often to look in the time after which nothing read is a stall
# Nothing of our own environment is needed by rsync and ssh, so none of it (credentials) is passed on.
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME")


def run_program(
    argv: Sequence[str],
    log: Logger,
    *,
    bound: timedelta,
    lock: Path,
    lock_wait: timedelta,
    stall: timedelta | None = None,
    life: Life = READS,
    largest: int | None = None,
    matching: Sequence[re.Pattern[bytes]] = (),
) -> tuple[str, int]:
    """Run ``argv`` and return its combined output and its exit code, negative where a signal ended it.

    Of the output, the beginning and the end (:mod:`aurora_platform.transport.output`): as the program wrote it
    here, and printable in the log. Every program gets three bounds: it dies with the run that started it (also when
    that is killed by SIGKILL), it ends after a given time, and it holds a lock file for as long as it lives.

    Parameters
    ----------
    argv
        The program and its arguments.
    log
        Where its output goes when it has ended.
    bound
        After this time it is ended; the exit code is then :data:`TIMED_OUT`.
    lock, lock_wait
        A file that it holds locked while it lives, and how long to wait for it; :data:`LOCKED` if in vain.
    stall, life
        When it has shown no life for that long it is ended; the exit code is then :data:`STALLED`.
    largest
        So many bytes it can write into a file, and no more: that is an error to it (EFBIG).
    matching
        The first few lines of its output that match each of these are kept, wherever they stand.
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
        code = _run(guarded, output, Path(argv[0]).name, stall, life)
    said = output.ends.text()
    log.info(printable_text(said))
    return said, code


def _run(argv: Sequence[str], output: Output, program: str, stall: timedelta | None, life: Life) -> int:
    """Run a program in a session of its own; if this run is ended meanwhile, so is the program."""
    env = {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | {"LC_ALL": "C"}
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=output.sink, stderr=subprocess.STDOUT, env=env, start_new_session=True
    )
    output.started()
    try:
        return process.wait() if stall is None else _watch(process, program, stall.total_seconds(), life)
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_KILL_AFTER + 5)
    except subprocess.TimeoutExpired:
        process.kill()


def _watch(process: subprocess.Popen[bytes], program: str, stall: float, life: Life) -> int:
    """Wait for the end of ``process``, but end it when ``program``, which it runs, shows no life for ``stall`` s."""
    seen, since = -1, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(stall / _LOOKS_A_STALL)
        moved, now = life.moved(process.pid, program), time.monotonic()
        if moved is None or abs(moved - seen) > life.least * (now - since):
            seen, since = -1 if moved is None else moved, now
        elif now - since >= stall:
            _end(process)
            return STALLED
