"""Which instruments stand beside the camera, where their files lie, and what those are named.

Everything here is a pure function of an `InstrumentSpec`; what the files hold is in `growth.py`, the writing in
`instruments.py`. It is not a parser: readers of the tree have their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from aurora_simulator.spec import HOUR, LARGEST_SCALE, SpecError, mtime_ns

DAY = timedelta(days=1)
OLDEST_DAY = date(1971, 1, 1)  # modification times before 1970 are more trouble than they are worth
NEWEST_DAY = date(9999, 12, 1)  # leaves time for what is written after a day

CLOSING = HOUR
"""This long after the last day, every file of the tree is whole and its late records have come."""


@dataclass(frozen=True)
class Instrument:
    """One stream of the site: a directory of a host, and the files that appear in it.

    `names` are the files of one `period`, as `strftime` templates of its beginning, below `directory`. A file that
    comes as a whole is written `delay` after its period, each of several 1 s after the one before.
    """

    stream: str
    host: str
    source: str  # directory on the host
    directory: str  # the same directory below the root of a simulated tree
    period: timedelta
    names: tuple[str, ...]
    delay: timedelta = timedelta()

    @property
    def files_per_day(self) -> int:
        """How many files one whole day has."""
        return DAY // self.period * len(self.names)


_HOUR_OF_RADAR = "Y%Y/M%m/D%d/%y%m%d_%H%M%S_P01_ZEN"
_HOUR_OF_HATPRO = "Y%Y/M%m/D%d/HATPROG5-AURORA-ICELAND_%Y%m%d%H%M"
_ON_ASS = "/home/aurora/data"

INSTRUMENTS: dict[str, Instrument] = {
    instrument.stream: instrument
    for instrument in (
        Instrument(
            "cl61",
            "ass",
            f"{_ON_ASS}/cl61",
            "cl61",
            timedelta(minutes=5),
            ("gamb2le_depolarisation_lidar_ceilometer_aurora_%Y%m%d_%H%M%S.nc",),
            timedelta(seconds=4),
        ),
        Instrument(
            "radar",
            "ass",
            f"{_ON_ASS}/rpgfmcw94",
            "rpgfmcw94",
            HOUR,
            tuple(f"{_HOUR_OF_RADAR}.{suffix}" for suffix in ("HKD", "LV1", "LV0")),
            timedelta(seconds=8),
        ),
        Instrument(
            "hatpro",
            "ass",
            f"{_ON_ASS}/hatprog5",
            "hatprog5",
            HOUR,
            tuple(f"{_HOUR_OF_HATPRO}.{suffix}" for suffix in ("BLB", "BRT", "HKD", "IRT", "MET")),
            timedelta(seconds=20),
        ),
        Instrument(
            "vaisalamet",
            "ass",
            f"{_ON_ASS}/vaisalamet",
            "vaisalamet",
            DAY,
            ("vaisala_met_level0_%d-%m-%Y.dat",),
        ),
        Instrument(
            "asfs_logger",
            "ass",
            f"{_ON_ASS}/asfs/raw/crd",
            "asfs/raw/crd",
            HOUR,
            ("aurora_asfs_data_sci_%Y%m%d%H%M.dat",),
        ),
        Instrument(
            "asfs_fast_sonic",
            "ass",
            f"{_ON_ASS}/asfs/raw/crd",
            "asfs/raw/crd",
            HOUR,
            ("aurora_asfs_data_fast_sonic_%Y%m%d%H%M.dat",),
        ),
        Instrument(
            "power",
            "aps",
            "/data/power/level1",
            "power/level1",
            DAY,
            ("power_data_%Y%m%d.csv",),
            timedelta(seconds=3),
        ),
    )
}
"""Every stream of the site but the camera's. Source: the table of streams of the observatory's public documentation."""


@dataclass(frozen=True)
class DataFile:
    """One file of an instrument: `path` is relative to the root, `index` its place among those of its period."""

    instrument: Instrument
    begin: datetime
    index: int
    path: str

    @property
    def end(self) -> datetime:
        """End of the period that the file covers."""
        return self.begin + self.instrument.period

    @property
    def whole_at(self) -> datetime:
        """When a file that comes as a whole is written, to the second."""
        return self.end + self.instrument.delay + timedelta(seconds=self.index)

    @property
    def lag(self) -> timedelta:
        """The fraction of a second by which this file is written after the whole second, rounded up to the µs."""
        fraction = mtime_ns(datetime.fromtimestamp(0, UTC), self.path)
        return timedelta(microseconds=-(-fraction // 1000))


@dataclass(frozen=True)
class InstrumentSpec:
    """What the simulated instruments write.

    Parameters
    ----------
    root : Path
        Directory that gets `cl61/`, `rpgfmcw94/`, `hatprog5/`, `vaisalamet/`, `asfs/raw/crd/` and `power/level1/`, as
        `INSTRUMENTS` maps them; made when it does not exist.
    day : date
        First UTC day.
    days : int, optional
        Number of days; None for instruments that never end.
    streams : tuple of str
        Keys of `INSTRUMENTS`.
    scale : float
        Multiplies the sizes of the ceilometer's, radar's, radiometer's and fast sonic's files, as far as their formats
        go; 1.0 is about real, 3.8 GB a day. The other texts are small and always the same.
    seed : int
        Another seed is other weather.
    foreign : bool
        Whether to add files that belong to no stream, as found on real hosts.

    Raises
    ------
    SpecError
        If a value is out of range.
    """

    root: Path
    day: date
    days: int | None = 1
    streams: tuple[str, ...] = tuple(INSTRUMENTS)
    scale: float = 0.01
    seed: int = 0
    unexpected: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.streams) - set(INSTRUMENTS))
        problems = {
            f"day must be {OLDEST_DAY} or later, not {self.day}": self.day < OLDEST_DAY,
            f"days must be 1 or more, not {self.days}": self.days is not None and self.days < 1,
            f"scale must be above 0 and at most {LARGEST_SCALE}, not {self.scale}": not 0 < self.scale <= LARGEST_SCALE,
            f"seed must be 0 or more, not {self.seed}": self.seed < 0,
            "streams must name one at least": not self.streams,
            f"no such stream: {', '.join(unknown)}; known are {', '.join(INSTRUMENTS)}": bool(unknown),
        }
        for problem, is_wrong in problems.items():
            if is_wrong:
                raise SpecError(problem)
        if (self.days or 0) > (NEWEST_DAY - self.day).days:
            raise SpecError(f"the last day must be before {NEWEST_DAY}, not {self.days} days after {self.day}")

    @property
    def start(self) -> datetime:
        """Begin of the first day."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)

    @property
    def end(self) -> datetime | None:
        """End of the last day."""
        return None if self.days is None else self.start + self.days * DAY

    @property
    def instruments(self) -> list[Instrument]:
        """The instruments asked for, in the order of `INSTRUMENTS`."""
        return [instrument for stream, instrument in INSTRUMENTS.items() if stream in self.streams]

    def files(self, instrument: Instrument, first: datetime, last: datetime) -> Iterator[DataFile]:
        """The instrument's files whose periods overlap `[first, last]`, in order."""
        first, last = max(first, self.start), last if self.end is None else min(last, self.end)
        begin = self.start + (first - self.start) // instrument.period * instrument.period
        while begin <= last and (self.end is None or begin < self.end):
            for index, name in enumerate(instrument.names):
                yield DataFile(instrument, begin, index, f"{instrument.directory}/{begin.strftime(name)}")
            begin += instrument.period
