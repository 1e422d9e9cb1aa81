"""Computes the content of an instrument's file at a sky time, and when it was last written: pure functions of time.

Instruments write files in four ways:

- whole: `cl61`, `radar` and `hatpro` write a file once, a few seconds after its period;
- appended: `vaisalamet` appends a line every 10 s, all day;
- appended and later changed in place: each hour of `asfs_logger` and `asfs_fast_sonic` has one record whose first value
  comes `LATE_VALUE` after the hour, with the same length; the header of the first file of each day is rewritten
  `REVISION` after that hour, 3 bytes longer;
- rewritten: `power` rewrites the file each minute, and its first line changes each time.

Write times are whole seconds (fractions for the fast sonic) plus a fraction that depends on the path of the file. So
a state of `until` was written at `until` at the latest. `flight` is the duration of a write: during it, a whole or
rewritten file is half written, and so is the newest line of an appended file.
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
"""A longer `flight` is cut to this for the file that is rewritten each minute: else it would never be complete."""

INSTANT = timedelta()
_LONGEST_LAG = timedelta(seconds=1)


@dataclass(frozen=True)
class State:
    """The bytes of a file, and when the last byte was written, to the second."""

    content: bytes
    written: datetime


def compute_state(file: DataFile, spec: InstrumentSpec, until: datetime, flight: timedelta = INSTANT) -> State | None:
    """Return the content of a file at sky time `until`; None before its first byte.

    Parameters
    ----------
    file : DataFile
        One of `spec.files`.
    spec : InstrumentSpec
        Gives seed and scale.
    until : datetime
        Sky time, UTC.
    flight : timedelta
        Sky time that a write takes.
    """
    return _STATES[file.instrument.stream](file, spec, until - file.lag, flight)


def may_change(file: DataFile, since: datetime, until: datetime) -> bool:
    """Return whether the state of the file may differ between `since` and `until`; never False when it differs."""
    return any(first <= until and since <= last + _LONGEST_LAG for first, last in _write_times(file))


def last_change(instrument: Instrument) -> timedelta:
    """Return how long after its begin a file of the instrument may still change, at most."""
    after = REVISION if instrument.stream in _TOA5 else instrument.delay + len(instrument.names) * _LONGEST_LAG
    return instrument.period + after + _LONGEST_LAG


def _write_times(file: DataFile) -> list[tuple[datetime, datetime]]:
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


def _whole(file: DataFile, spec: InstrumentSpec, until: datetime, flight: timedelta) -> State | None:
    if until < file.whole_at:
        return None
    content = _WHOLE[file.instrument.stream](file.path, file.begin, spec.seed, spec.scale)
    return _in_flight(State(content, file.whole_at), until, flight)


def _vaisala(file: DataFile, spec: InstrumentSpec, until: datetime, flight: timedelta) -> State | None:
    return _appended(file, b"", vaisala_lines(file.path, file.begin, spec.seed), until, flight)


def _toa5(file: DataFile, spec: InstrumentSpec, until: datetime, flight: timedelta) -> State | None:
    if until < file.begin:
        return None
    table = _TOA5[file.instrument.stream]
    lines = (
        logger_lines(file.path, file.begin, spec.seed)
        if table == "sci"
        else sonic_lines(file.path, file.begin, spec.seed, spec.scale)
    )
    if until < file.end + LATE_VALUE:
        late = len(lines) // 2
        lines = (*lines[:late], without_first_value(lines[late]), *lines[late + 1 :])
        return _appended(file, toa5_header(table, 0), lines, until, flight)
    is_revised = _is_revised(file) and until >= file.end + REVISION
    written = file.end + (REVISION if is_revised else LATE_VALUE)
    return State(toa5_header(table, int(is_revised)) + b"".join(lines), written)


def _is_revised(file: DataFile) -> bool:
    return file.begin.hour == 0


def _power(file: DataFile, spec: InstrumentSpec, until: datetime, flight: timedelta) -> State | None:
    lines = power_lines(file.path, file.begin, spec.seed)
    count = min(len(lines), (until - file.instrument.delay - file.begin) // MINUTE)
    if count < 1:
        return None
    written = file.begin + count * MINUTE + file.instrument.delay
    content = power_summary(file.begin, written, lines[:count]) + POWER_HEADER + b"".join(lines[:count])
    return _in_flight(State(content, written), until, min(flight, LONGEST_REWRITE))


def _in_flight(whole: State, until: datetime, flight: timedelta) -> State:
    """Return the first half of a state during its write, and all of it afterwards."""
    if until < whole.written + flight:
        return State(whole.content[: len(whole.content) // 2], whole.written)
    return State(whole.content, whole.written + flight)


def _appended(
    file: DataFile, header: bytes, lines: Sequence[bytes], until: datetime, flight: timedelta
) -> State | None:
    """Return the state of a file that grows by lines evenly over its period; the header comes with the first line."""
    period, total = file.instrument.period, len(lines)

    def count(time: datetime) -> int:
        """Return the number of lines up to `time`."""
        return 0 if time < file.begin else min(total, (time - file.begin) * total // period + 1)

    begun, complete = count(until), count(until - flight)
    if begun == 0:
        return None
    content = header + b"".join(lines[:complete])
    if begun > complete:
        return State(content + lines[complete][: len(lines[complete]) // 2], file.begin + period * complete / total)
    return State(content, file.begin + period * (complete - 1) / total + flight)


_STATES: dict[str, Callable[[DataFile, InstrumentSpec, datetime, timedelta], State | None]] = {
    **dict.fromkeys(_WHOLE, _whole),
    **dict.fromkeys(_TOA5, _toa5),
    "vaisalamet": _vaisala,
    "power": _power,
}
