"""What a file of an instrument holds at a given sky time, and when it was last written: pure functions of time.

There are four ways in which files come about:

- whole: `cl61`, `radar` and `hatpro` write a file once, a few seconds after its period;
- appended: `vaisalamet` gets a line every 10 s, all day;
- appended and later changed in place: each hour of `asfs_logger` and `asfs_fast_sonic` has one record whose first value
  comes `LATE_VALUE` after the hour, of the same length, and the header of each day's first file is written anew
  `REVISION` after that hour, 3 bytes longer;
- rewritten: `power` replaces the whole file each minute, and its first line is never the same.

Times of writing are whole seconds (fractions for the fast sonic) and a fraction that depends on the file's path, so
a state of `until` has been written at `until` at the latest. `flight` is how long a write takes: until then a file that
comes as a whole or is rewritten is half there, and so is the newest line of one that is appended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aurora_simulator.instrument_spec import DAY, DataFile, Instrument, InstrumentSpec
from aurora_simulator.netcdf import ceilometer
from aurora_simulator.rpg import radar, radiometer
from aurora_simulator.tables import (
    POWER_HEADER,
    logger_lines,
    power_lines,
    power_summary,
    sonic_lines,
    toa5_header,
    vaisala_lines,
    without_first_value,
)

LATE_VALUE = timedelta(minutes=5)
REVISION = 3 * DAY
MINUTE = timedelta(minutes=1)
LONGEST_REWRITE = MINUTE / 3
"""A longer `flight` is cut to this for the file that is rewritten each minute: else it would never be whole."""

AT_ONCE = timedelta()
_LONGEST_LAG = timedelta(seconds=1)


@dataclass(frozen=True)
class State:
    """A file's bytes, and when the last of them was written, to the second."""

    content: bytes
    written: datetime


def state(file: DataFile, spec: InstrumentSpec, until: datetime, flight: timedelta = AT_ONCE) -> State | None:
    """What a file holds at sky time `until`; None when it is not there yet.

    Parameters
    ----------
    file : DataFile
        One of `spec.files`.
    spec : InstrumentSpec
        For its seed and scale.
    until : datetime
        Sky time, UTC.
    flight : timedelta
        Sky time that a write takes.
    """
    return _STATES[file.instrument.stream](file, spec, until - file.lag, flight)


def may_change(file: DataFile, since: datetime, until: datetime) -> bool:
    """Whether the file's state at `until` may be another than at `since`; never False when it is another."""
    return any(first <= until and since <= last + _LONGEST_LAG for first, last in _busy_times(file))


def last_change(instrument: Instrument) -> timedelta:
    """How long after its begin a file of the instrument may still change, at most."""
    after = REVISION if instrument.stream in _TOA5 else instrument.delay + len(instrument.names) * _LONGEST_LAG
    return instrument.period + after + _LONGEST_LAG


def _busy_times(file: DataFile) -> list[tuple[datetime, datetime]]:
    stream = file.instrument.stream
    if stream in _WHOLE:
        return [(file.whole_at, file.whole_at)]
    if stream in _TOA5:
        times = [(file.begin, file.end + LATE_VALUE)]
        return [*times, (file.end + REVISION,) * 2] if _is_revised(file) else times
    return [(file.begin, file.whole_at)]


_WHOLE: dict[str, Callable[[str, datetime, int, float], bytes]] = {
    "cl61": ceilometer,
    "radar": radar,
    "hatpro": radiometer,
}
_TOA5 = {"asfs_logger": "sci", "asfs_fast_sonic": "fast_sonic"}


def _whole(file: DataFile, spec: InstrumentSpec, seen: datetime, flight: timedelta) -> State | None:
    if seen < file.whole_at:
        return None
    content = _WHOLE[file.instrument.stream](file.path, file.begin, spec.seed, spec.scale)
    return _in_flight(State(content, file.whole_at), seen, flight)


def _vaisala(file: DataFile, spec: InstrumentSpec, seen: datetime, flight: timedelta) -> State | None:
    return _grown(file, b"", vaisala_lines(file.path, file.begin, spec.seed), seen, flight)


def _toa5(file: DataFile, spec: InstrumentSpec, seen: datetime, flight: timedelta) -> State | None:
    if seen < file.begin:
        return None
    table = _TOA5[file.instrument.stream]
    lines = (
        logger_lines(file.path, file.begin, spec.seed)
        if table == "sci"
        else sonic_lines(file.path, file.begin, spec.seed, spec.scale)
    )
    if seen < file.end + LATE_VALUE:
        late = len(lines) // 2
        lines = (*lines[:late], without_first_value(lines[late]), *lines[late + 1 :])
        return _grown(file, toa5_header(table, 0), lines, seen, flight)
    is_revised = _is_revised(file) and seen >= file.end + REVISION
    written = file.end + (REVISION if is_revised else LATE_VALUE)
    return State(toa5_header(table, int(is_revised)) + b"".join(lines), written)


def _is_revised(file: DataFile) -> bool:
    return file.begin.hour == 0


def _power(file: DataFile, spec: InstrumentSpec, seen: datetime, flight: timedelta) -> State | None:
    lines = power_lines(file.path, file.begin, spec.seed)
    count = min(len(lines), (seen - file.instrument.delay - file.begin) // MINUTE)
    if count < 1:
        return None
    written = file.begin + count * MINUTE + file.instrument.delay
    content = power_summary(file.begin, written, lines[:count]) + POWER_HEADER + b"".join(lines[:count])
    return _in_flight(State(content, written), seen, min(flight, LONGEST_REWRITE))


def _in_flight(whole: State, seen: datetime, flight: timedelta) -> State:
    """The first half of a state while its writing lasts, and then all of it."""
    if seen < whole.written + flight:
        return State(whole.content[: len(whole.content) // 2], whole.written)
    return State(whole.content, whole.written + flight)


def _grown(file: DataFile, header: bytes, lines: Sequence[bytes], seen: datetime, flight: timedelta) -> State | None:
    """A file to which lines are appended evenly over its period; the header comes with the first of them."""
    period, total = file.instrument.period, len(lines)

    def count(time: datetime) -> int:
        """Number of lines whose times are not after `time`."""
        return 0 if time < file.begin else min(total, (time - file.begin) * total // period + 1)

    begun, whole = count(seen), count(seen - flight)
    if begun == 0:
        return None
    content = header + b"".join(lines[:whole])
    if begun > whole:
        return State(content + lines[whole][: len(lines[whole]) // 2], file.begin + period * whole / total)
    return State(content, file.begin + period * (whole - 1) / total + flight)


_STATES: dict[str, Callable[[DataFile, InstrumentSpec, datetime, timedelta], State | None]] = {
    **dict.fromkeys(_WHOLE, _whole),
    **dict.fromkeys(_TOA5, _toa5),
    "vaisalamet": _vaisala,
    "power": _power,
}
