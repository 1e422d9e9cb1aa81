"""Measures how much slower this machine is now than a quiet one: the factor for all time limits of the tests.

It measures work like that of the tests: a new Python process on every core imports some modules and hashes some bytes,
three times. The factor is the slowest round divided by the time of a quiet machine, as a whole number from
:data:`LEAST` to :data:`GREATEST`. A faster machine does not get shorter limits.

The process that collects the tests measures it once, before any test runs (``tests/conftest.py``). The workers of
pytest and their child processes inherit it in the environment, so that all use the same factor. ``AURORA_PATIENCE=6``
sets it instead, for a machine that will become busy; it may be above the greatest.

The load may also rise later, so every limit has a margin: work on a quiet machine takes much less, and the fault that
the limit must detect (an endless wait, a second time-out, a minute's sleep) takes much longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

LEAST, GREATEST = 1, 10
"""The greatest factor also keeps a scaled ``limits.look`` within the bounds of the site file."""
QUIET = 0.5
"""s: twice the time of one round on two idle cores."""
ROUNDS = 3
LASTS = timedelta(minutes=6)
"""Duration of all tests except the slow lanes, on a quiet machine."""
GIVEN = "AURORA_PATIENCE"
"""The environment variable that sets the factor."""
_MEASURED = "AURORA_PATIENCE_MEASURED"
_WORK = "import asyncio, decimal, email, hashlib, ssl, sqlite3; hashlib.sha256(bytes(30_000_000)).digest()"


def measure() -> int:
    """Measure the factor unless it is set, and pass it to all new processes; return it."""
    if GIVEN not in os.environ and _MEASURED not in os.environ:
        worst = max(_measure_round() for _ in range(ROUNDS))
        os.environ[_MEASURED] = str(_factor_of(worst))
    return factor()


def factor() -> int:
    """Return the factor of this session; 1 if it was not measured."""
    return _whole_number(os.environ.get(GIVEN) or os.environ.get(_MEASURED) or str(LEAST))


def patient(seconds: float) -> float:
    """Scale a time limit of a quiet machine to this machine."""
    return seconds * factor()


def until(condition: Callable[[], object], within: float = 60) -> None:
    """Wait until a condition is true, with a generous limit (s on a quiet machine)."""
    deadline = time.monotonic() + patient(within)
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)


def over_midnight(now: datetime, lasts: timedelta) -> float:
    """Return the seconds to wait so that a run of this duration has the same date from begin to end.

    Tests of the newest days use the date of their collection, and the code under test uses the clock.
    """
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return (midnight - now).total_seconds() + 1 if now + lasts >= midnight else 0


def in_site_file(seconds: int) -> str:
    """Scale a time limit and format it for a site file: ``3s``."""
    return f"{seconds * factor()}s"


def _factor_of(seconds: float) -> int:
    return min(GREATEST, max(LEAST, -int(-seconds // QUIET)))


def _whole_number(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST:
        raise ValueError(f"{GIVEN}={text}: the factor must be a whole number from {LEAST} on")
    return int(text)


def _measure_round() -> float:
    began = time.monotonic()
    cores = len(os.sched_getaffinity(0))
    started = [subprocess.Popen([sys.executable, "-c", _WORK]) for _ in range(min(cores, 8))]
    for process in started:
        process.wait()
    return time.monotonic() - began
