"""Simulates the instruments in real time: sky time runs faster than the clock until it catches up with the clock.

For soak tests and demonstrations of programs that read the trees. It calls `advance` at every `tick` with the current
sky time. So nothing is left out, and a slow machine makes larger steps. Of a file that is rewritten, only the versions
at a tick are written.

Stopped instruments leave the files in flight half written, as after a power loss. Started again at a later sky time
they complete them, and leave correct files alone. Started again with the same `begin` (a clock set back) they first
shorten the files that have grown since. They do not lock the tree: run one process per stream.
"""

from __future__ import annotations

import math
import time as wall_clock
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aurora_simulator.instrument_spec import CLOSING, InstrumentSpec
from aurora_simulator.instruments import InstrumentReport, advance
from aurora_simulator.live import Log, print_line
from aurora_simulator.live_spec import SkyClock
from aurora_simulator.spec import HOUR, SpecError

TICK = timedelta(seconds=0.5)


def run_instruments(
    spec: InstrumentSpec,
    begin: datetime,
    *,
    speed: float = 60.0,
    flight: timedelta = timedelta(seconds=1),
    tick: timedelta = TICK,
    log: Log = print_line,
    clock: Callable[[], float] = wall_clock.time,
    sleep: Callable[[float], None] = wall_clock.sleep,
) -> InstrumentReport:
    """Write the instruments' trees in real time, until their days are over or `KeyboardInterrupt` is raised.

    Files from before `begin` are written at once, with the modification times of the instruments; later files have the
    modification time of their last write.

    Parameters
    ----------
    spec : InstrumentSpec
        Describes the files and their root; without `days` it never ends.
    begin : datetime
        First sky time, UTC, not in the future and not before the first day.
    speed : float
        Seconds of sky time per second of clock time, until sky time has caught up with the clock; then 1.
    flight : timedelta
        Clock time during which a write is half done.
    tick : timedelta
        Clock time between two updates of the trees.
    log : callable
        Gets one line per hour of sky time.
    clock : callable
        Returns the time, s since epoch.
    sleep : callable
        Waits for this many seconds. A `KeyboardInterrupt` that it raises ends the run between two writes.

    Raises
    ------
    SpecError
        If a value is out of range.
    """
    started = clock()
    _check(spec, begin, speed, flight, tick, started)
    sky_clock = SkyClock(begin, speed, started)
    end = None if spec.end is None else max(begin, spec.end + CLOSING)
    report = InstrumentReport.of(advance(spec, begin))
    log(_line(started, begin, f"begins; already written: {_counts(report)}"))
    until = complete_until = begin  # sky times up to which all files are begun, and complete
    try:
        while end is None or complete_until < end:
            sleep(tick.total_seconds())
            now, hour = clock(), _hour(until)
            until = max(until, _at_most(sky_clock.sky(now), end))
            since = complete_until
            complete_until = max(since, _at_most(sky_clock.sky(now - flight.total_seconds()), end))
            in_flight = until - complete_until
            report += InstrumentReport.of(advance(spec, until, since=since, flight=in_flight, mtimes="clock"))
            if _hour(until) > hour:
                log(_line(now, until, f"so far {_counts(report)}"))
    except KeyboardInterrupt:
        log(_line(clock(), until, "stopped"))
    return report


def _check(spec: InstrumentSpec, begin: datetime, speed: float, flight: timedelta, tick: timedelta, now: float) -> None:
    if begin.utcoffset() != timedelta():
        raise SpecError(f"begin must be UTC (with a zone), not {begin}")
    problems = {
        f"begin must not be before the first day, {spec.day}, but is {begin}": begin < spec.start,
        f"begin must not be in the future: it is {datetime.fromtimestamp(now, UTC)} now": begin.timestamp() > now,
        f"speed must be a number above 0, not {speed}": not 0 < speed < math.inf,
        f"flight must be 0 or longer, not {flight}": flight < timedelta(),
        f"tick must be longer than 0, not {tick}": tick <= timedelta(),
    }
    for problem, is_wrong in problems.items():
        if is_wrong:
            raise SpecError(problem)


def _at_most(time: datetime, end: datetime | None) -> datetime:
    return time if end is None else min(time, end)


def _hour(time: datetime) -> int:
    return int(time.timestamp() // HOUR.total_seconds())


def _counts(report: InstrumentReport) -> str:
    return f"{report.files} files, {report.appended} appends, {report.rewritten} rewrites ({report.bytes / 1e6:.1f} MB)"


def _line(now: float, sky_time: datetime, text: str) -> str:
    """Return a log line with clock time and sky time, both UTC."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S}  sky {sky_time:%Y-%m-%d %H:%M:%S}  {text}"
