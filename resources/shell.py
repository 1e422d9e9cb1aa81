"""Running a program from inside a Dagster run.

``dagster-shell`` stands behind this file alone: its last release is retired upstream, and this one file changes on the
day it goes. It runs a script in bash, in a process group of its own, and on termination ends only bash itself; so the
script begins with ``exec``, which makes bash *become* the program, and is quoted by ``shlex.join``, never formatted.

Every program gets three bounds: it dies with the run that started it (also when that is killed by SIGKILL), it ends
after a given time, and it holds a lock file for as long as it lives.
"""

import os
import shlex
import warnings
from collections.abc import Sequence
from datetime import timedelta
from logging import Logger
from pathlib import Path

from dagster import ConfigurableResource

with warnings.catch_warnings():
    # Its version is not Dagster's any more, which Dagster says at every start; requirements.lock is what we tested.
    warnings.simplefilter("ignore")
    from dagster_shell import execute_shell_script

# What `timeout` and `flock` end with when their own bound was hit.
TIMED_OUT = 124
LOCKED = 75

ENDS_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")
_KILL_AFTER = "10"  # s between SIGTERM and SIGKILL
# Nothing of our own environment is needed by rsync and ssh, so none of it (credentials) is passed on.
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME")


class ShellResource(ConfigurableResource):
    """Runs one program to its end and returns its output and exit code."""

    def run(
        self, argv: Sequence[str], log: Logger, *, script: Path, bound: timedelta, lock: Path, lock_wait: timedelta
    ) -> tuple[str, int]:
        """Run ``argv`` and return its combined output and its exit code.

        Parameters
        ----------
        argv
            The program and its arguments.
        log
            Where its output goes.
        script
            Where the one-line script for bash is written; in a work directory, so that no killed run leaves it about.
        bound
            After this time it is ended; the exit code is then :data:`TIMED_OUT`.
        lock, lock_wait
            A file that it holds locked while it lives, and how long to wait for it; :data:`LOCKED` if in vain.
        """
        lock.parent.mkdir(parents=True, exist_ok=True)
        seconds = [f"{d.total_seconds():.3f}" for d in (lock_wait, bound)]
        guarded = [
            *ENDS_WITH_PARENT,
            *("flock", "--no-fork", "--wait", seconds[0], "--conflict-exit-code", str(LOCKED), str(lock)),
            *("timeout", "--kill-after", _KILL_AFTER, seconds[1]),
            *argv,
        ]
        env = {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | {"LC_ALL": "C"}
        # Through a file: a pipe would be read until the last grandchild closes it, and only if it is all UTF-8.
        output = script.with_suffix(".out")
        script.write_text(f"exec {shlex.join(guarded)} >{shlex.quote(str(output))} 2>&1\n")
        _, code = execute_shell_script(str(script), output_logging="NONE", log=log, env=env, log_shell_command=False)
        said = output.read_text(errors="replace")
        log.info(said)
        return said, code
