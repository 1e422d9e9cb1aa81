"""Defines the instruments other than the camera: their directories, file names and periods.

All functions are pure functions of an `InstrumentSpec`. `growth.py` has the content of the files, `instruments.py`
writes them. It is not a parser: readers of the tree have their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from aurora_simulator.spec import HOUR, LARGEST_SCALE, SpecError, mtime_ns

DAY = timedelta(days=1)
OLDEST_DAY = date(1971, 1, 1)  # modification times before 1970 are more trouble than they are worth
NEWEST_DAY = date(9999, 12, 1)  # leaves time for the writes after a day

CLOSING = HOUR
"""Time after the last day at which every file of the tree is complete, with its late records."""


@dataclass(frozen=True)
class Instrument:
    """One stream of the site: a directory of a host, and the files that appear in it.

    `names` are the files of one `period` below `directory`, as `strftime` templates of its begin. A file that is
    written as a whole is written `delay` after its period; several are written 1 s apart.
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
        """Number of files per full day."""
        return DAY // self.period * len(self.names)


_RADAR_FILE = "Y%Y/M%m/D%d/%y%m%d_%H%M%S_P01_ZEN"
_HATPRO_FILE = "Y%Y/M%m/D%d/HATPROG5-AURORA-ICELAND_%Y%m%d%H%M"
_ASS_DATA = "/home/aurora/data"

INSTRUMENTS: dict[str, Instrument] = {
    instrument.stream: instrument
    for instrument in (
        Instrument(
            "cl61",
            "ass",
            f"{_ASS_DATA}/cl61",
            "cl61",
            timedelta(minutes=5),
            ("gamb2le_depolarisation_lidar_ceilometer_aurora_%Y%m%d_%H%M%S.nc",),
            timedelta(seconds=4),
        ),
        Instrument(
            "radar",
            "ass",
            f"{_ASS_DATA}/rpgfmcw94",
            "rpgfmcw94",
            HOUR,
            tuple(f"{_RADAR_FILE}.{suffix}" for suffix in ("HKD", "LV1", "LV0")),
            timedelta(seconds=8),
        ),
        Instrument(
            "hatpro",
            "ass",
            f"{_ASS_DATA}/hatprog5",
            "hatprog5",
            HOUR,
            tuple(f"{_HATPRO_FILE}.{suffix}" for suffix in ("BLB", "BRT", "HKD", "IRT", "MET")),
            timedelta(seconds=20),
        ),
        Instrument(
            "vaisalamet",
            "ass",
            f"{_ASS_DATA}/vaisalamet",
            "vaisalamet",
            DAY,
            ("vaisala_met_level0_%d-%m-%Y.dat",),
        ),
        Instrument(
            "asfs_logger",
            "ass",
            f"{_ASS_DATA}/asfs/raw/crd",
            "asfs/raw/crd",
            HOUR,
            ("aurora_asfs_data_sci_%Y%m%d%H%M.dat",),
        ),
        Instrument(
            "asfs_fast_sonic",
            "ass",
            f"{_ASS_DATA}/asfs/raw/crd",
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
"""Every stream of the site except the camera. Source: the stream table in the observatory's public documentation."""


@dataclass(frozen=True)
class DataFile:
    """One file of an instrument: `path` is relative to the root, `index` its position in the files of its period."""

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
        """Time at which a file that is written as a whole is written, to the second."""
        return self.end + self.instrument.delay + timedelta(seconds=self.index)

    @property
    def lag(self) -> timedelta:
        """Fraction of a second from the full second to the write of this file, rounded up to the µs."""
        fraction = mtime_ns(datetime.fromtimestamp(0, UTC), self.path)
        return timedelta(microseconds=-(-fraction // 1000))


@dataclass(frozen=True)
class InstrumentSpec:
    """Describes the files that the simulated instruments write.

    Parameters
    ----------
    root : Path
        Directory that gets `cl61/`, `rpgfmcw94/`, `hatprog5/`, `vaisalamet/`, `asfs/raw/crd/` and `power/level1/`, as
        `INSTRUMENTS` maps them; made when it does not exist.
    day : date
        First UTC day.
    days : int, optional
        Number of days; None for no end.
    streams : tuple of str
        Keys of `INSTRUMENTS`.
    scale : float
        Multiplies the file sizes of ceilometer, radar, radiometer and fast sonic, as far as their formats allow; 1.0 is
        about real, 3.8 GB per day. The other files are small text files; their size does not change.
    seed : int
        Another seed gives other weather.
    unexpected : bool
        Whether to add unexpected files, which belong to no stream, as found on real hosts.

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
            "streams must name at least one stream": not self.streams,
            f"no such stream: {', '.join(unknown)}; choose from {', '.join(INSTRUMENTS)}": bool(unknown),
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
        """The requested instruments, in the order of `INSTRUMENTS`."""
        return [instrument for stream, instrument in INSTRUMENTS.items() if stream in self.streams]

    def files(self, instrument: Instrument, first: datetime, last: datetime) -> Iterator[DataFile]:
        """Yield the files of the instrument whose periods overlap `[first, last]`, in order."""
        first, last = max(first, self.start), last if self.end is None else min(last, self.end)
        begin = self.start + (first - self.start) // instrument.period * instrument.period
        while begin <= last and (self.end is None or begin < self.end):
            for index, name in enumerate(instrument.names):
                yield DataFile(instrument, begin, index, f"{instrument.directory}/{begin.strftime(name)}")
            begin += instrument.period
