"""A code location for the tests of the launcher: jobs that end at once, do not end, or ignore signals."""

import signal
import time

from dagster import Definitions, job, op


@op
def nothing() -> None: ...


@op
def sleep() -> None:
    time.sleep(3600)


@op
def hang() -> None:
    # Like a run that hangs in native code: it never handles the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    time.sleep(3600)


@job
def quick() -> None:
    nothing()


@job
def slow() -> None:
    sleep()


@job
def ignores_sigterm() -> None:
    hang()


defs = Definitions(jobs=[quick, slow, ignores_sigterm])
