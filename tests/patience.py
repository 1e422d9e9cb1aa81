"""How much longer this machine takes now than a quiet one: the one factor by which the tests' bounds in seconds grow.

Measured is work like the tests' own: on every core at once a fresh Python process that imports some modules and hashes
some bytes, three times over. The factor is the worst of the three, divided by what a quiet machine takes, as a whole
number from :data:`LEAST` to :data:`GREATEST`. A machine that is faster than that one gets no shorter bounds.

It is measured once, by the process that collects the tests, before any of them runs (``tests/conftest.py``); pytest's
workers and all that they start inherit it in the environment, so that all agree. ``AURORA_PATIENCE=6`` sets it instead,
for a machine that is known to become busy; that may be above the greatest.

Load may also begin later. So a bound of the tests has room for that besides: what it must tell apart from work (a wait
for ever, a second time-out, a minute's sleep) is far above it, and work on a quiet machine is far below.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

LEAST, GREATEST = 1, 10
"""The greatest is also what keeps a scaled ``limits.look`` within what a site file may have."""
QUIET = 0.5
"""In s: twice what one round takes on two cores that have nothing else to do."""
ROUNDS = 3
LASTS = timedelta(minutes=6)
"""All tests but the slow lanes, on a quiet machine."""
GIVEN = "AURORA_PATIENCE"
"""The variable of the environment by which somebody sets the factor."""
_MEASURED = "AURORA_PATIENCE_MEASURED"
_WORK = "import asyncio, decimal, email, hashlib, ssl, sqlite3; hashlib.sha256(bytes(30_000_000)).digest()"


def measure() -> int:
    """Measure the factor, unless it is known already, and tell it to all processes that are started from here on."""
    if GIVEN not in os.environ and _MEASURED not in os.environ:
        worst = max(_seconds_of_a_round() for _ in range(ROUNDS))
        os.environ[_MEASURED] = str(_factor_of(worst))
    return factor()


def factor() -> int:
    """The factor of this session; 1 in a process that nobody measured for."""
    return _whole(os.environ.get(GIVEN) or os.environ.get(_MEASURED) or str(LEAST))


def patient(seconds: float) -> float:
    """A bound that holds on a quiet machine, as long as it must be on this one now."""
    return seconds * factor()


def until(is_so: Callable[[], object]) -> None:
    """Wait for something to become true, for far longer than it takes."""
    deadline = time.monotonic() + patient(60)
    while not is_so():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.01)


def over_midnight(now: datetime, lasts: timedelta) -> float:
    """How many seconds to wait so that a run which lasts so long has one date from its beginning to its end.

    Tests of the newest days take today's date when they are collected, and the code under test asks the clock.
    """
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return (midnight - now).total_seconds() + 1 if now + lasts >= midnight else 0


def in_site_file(seconds: int) -> str:
    """The same as a site file has it: ``3s``."""
    return f"{seconds * factor()}s"


def _factor_of(seconds: float) -> int:
    return min(GREATEST, max(LEAST, -int(-seconds // QUIET)))


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST:
        raise ValueError(f"{GIVEN}={text}: the tests' patience is a whole number from {LEAST} on")
    return int(text)


def _seconds_of_a_round() -> float:
    began = time.monotonic()
    cores = len(os.sched_getaffinity(0))
    started = [subprocess.Popen([sys.executable, "-c", _WORK]) for _ in range(min(cores, 8))]
    for process in started:
        process.wait()
    return time.monotonic() - began
