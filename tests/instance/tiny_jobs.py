"""A code location for the tests of the launcher: a job that ends at once, one that does not end, and a deaf one."""

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
    # As one that is stuck in native code: it never gets to see the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    time.sleep(3600)


@job
def quick() -> None:
    nothing()


@job
def slow() -> None:
    sleep()


@job
def deaf() -> None:
    hang()


defs = Definitions(jobs=[quick, slow, deaf])
