"""Instruments that write while one watches: sky time runs faster than the clock until it has caught up with it.

For soak tests and demonstrations of what reads the trees. What they write is that of `advance`; here it gets a clock.
Every `tick` the trees are brought to the sky time of the moment, so nothing is ever left out, and a slow machine makes
larger steps; of the versions of a file that is rewritten, only those that fall on a tick are seen.

Instruments that are stopped leave what is in flight half written, as those do that lost their power. Started again at a
later sky time they mend it, and leave alone what is right; started again with the same `begin` (a clock set back) they
first cut back what has grown since. They do not lock the tree: one process to a stream.
"""

from __future__ import annotations

import math
import time as wall_clock
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aurora_simulator.instrument_spec import CLOSING, InstrumentSpec
from aurora_simulator.instruments import InstrumentReport, advance
from aurora_simulator.live import Log, say
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
    log: Log = say,
    clock: Callable[[], float] = wall_clock.time,
    sleep: Callable[[float], None] = wall_clock.sleep,
) -> InstrumentReport:
    """Write the instruments' trees in real time, until their days are over or `KeyboardInterrupt` is raised.

    What they have written before `begin` is there at once, with the modification times of the instruments; from then
    on a file has the modification time of its writing.

    Parameters
    ----------
    spec : InstrumentSpec
        What to write, and where; without `days` it never ends.
    begin : datetime
        Sky time to begin with, UTC, not in the future and not before the first day.
    speed : float
        Seconds of sky time in one of the clock, until sky time has caught up with the clock; 1 from then on.
    flight : timedelta
        Clock time for which a write is half done.
    tick : timedelta
        Clock time between two looks at the clock.
    tell : callable
        Gets one line for each hour of sky time.
    clock : callable
        Gives the time, s since epoch.
    sleep : callable
        Waits so many seconds. A `KeyboardInterrupt` that it raises ends the run between two writes.

    Raises
    ------
    SpecError
        If a value is out of range.
    """
    started = clock()
    _check(spec, begin, speed, flight, tick, started)
    sky_clock = SkyClock(begin, speed, started)
    over = None if spec.end is None else max(begin, spec.end + CLOSING)
    report = InstrumentReport.of(advance(spec, begin))
    log(_line(started, begin, f"begins; {_so_far(report)} from before"))
    until = whole = begin  # all up to here is begun; and whole
    try:
        while over is None or whole < over:
            sleep(tick.total_seconds())
            now, hour = clock(), _hour(until)
            until = max(until, _at_most(sky_clock.sky(now), over))
            since, whole = whole, max(whole, _at_most(sky_clock.sky(now - flight.total_seconds()), over))
            report += InstrumentReport.of(advance(spec, until, since=since, flight=until - whole, mtimes="clock"))
            if _hour(until) > hour:
                log(_line(now, until, f"so far {_so_far(report)}"))
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


def _at_most(time: datetime, over: datetime | None) -> datetime:
    return time if over is None else min(time, over)


def _hour(time: datetime) -> int:
    return int(time.timestamp() // HOUR.total_seconds())


def _so_far(report: InstrumentReport) -> str:
    return f"{report.files} files, {report.appended} appends, {report.rewritten} rewrites ({report.bytes / 1e6:.1f} MB)"


def _line(now: float, sky_time: datetime, text: str) -> str:
    """One line with clock time and sky time, both UTC."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S}  sky {sky_time:%Y-%m-%d %H:%M:%S}  {text}"
