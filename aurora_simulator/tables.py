"""Makes the text files of weather station, flux station and power system: headers and all lines of a period.

A line depends only on the seed and its time, so a grown file begins with its former content. `growth.py` decides which
lines a file has at which time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from aurora_simulator.noise import noise

CACHED_FILES = 8  # their lines stay in memory; an hour of the fast sonic is 9 MB at scale 1
DAY_SECONDS = 86_400

VAISALA_LINES = 8640  # one per 10 s
LOGGER_LINES = 60  # one per minute
SONIC_LINES, FEWEST_SONIC_LINES = 72_000, 60  # at scale 1: 20 Hz
POWER_LINES = 1440  # one per minute

TOA5_REVISIONS = ("CPU:aurora_asfs.CR1X", "CPU:aurora_asfs_v2.CR1X")
"""Program of the logger in the header, first and after a revision."""

LOGGER_COLUMNS = (
    ("batt_volt", "Volts", "Smp"),
    ("panel_temp", "degC", "Avg"),
    ("air_temp", "degC", "Avg"),
    ("rel_hum", "%", "Avg"),
    ("pressure", "hPa", "Avg"),
    ("sw_down", "W/m^2", "Avg"),
    ("lw_down", "W/m^2", "Avg"),
    ("snow_depth", "m", "Smp"),
)
SONIC_COLUMNS = (
    ("sound_speed", "m/s", "Smp"),
    ("u", "m/s", "Smp"),
    ("v", "m/s", "Smp"),
    ("w", "m/s", "Smp"),
    ("sonic_temp", "degC", "Smp"),
)
POWER_HEADER = b"time_utc,battery_v,battery_a,solar_w,wind_w,load_w,charge_pct\n"

type Lines = tuple[bytes, ...]


@lru_cache(maxsize=CACHED_FILES)
def vaisala_lines(path: str, begin: datetime, seed: int) -> Lines:
    """Return a day of the weather station: a time and the composite message of the station, every 10 s."""
    rng, warm = noise(path, seed).standard_normal((5, VAISALA_LINES)), _warmth(begin, VAISALA_LINES, 10)
    columns = (
        (240 + 30 * rng[0]) % 360,
        np.abs(6 + 2 * rng[1]),
        4 + 3 * warm + 0.1 * rng[2],
        np.clip(80 - 8 * warm + rng[3], 0, 100),
        1003 + 0.2 * rng[4],
    )
    day = f"{begin:%Y-%m-%d}"
    return tuple(
        f"{day} {_clock(10 * index)},0R0,Dm={a:03.0f}D,Sm={b:.1f}M,Ta={c:.1f}C,Ua={d:.1f}P,Pa={e:.1f}H\n".encode()
        for index, (a, b, c, d, e) in enumerate(_rows(columns))
    )


def toa5_header(table: str, revision: int) -> bytes:
    """Return the four header lines of a TOA5 file: environment, names, units, processing.

    Layout: Campbell Scientific, LoggerNet manual, "TOA5". `revision` 1 is 3 bytes longer than 0.
    """
    columns = LOGGER_COLUMNS if table == "sci" else SONIC_COLUMNS
    environment = (
        "TOA5",
        "aurora_asfs",
        "CR1000X",
        "12345",
        "CR1000X.Std.06.00",
        TOA5_REVISIONS[revision],
        "48821",
        table,
    )
    names, units, processing = zip(*columns, strict=True)
    rows = [environment, ("TIMESTAMP", "RECORD", *names), ("TS", "RN", *units), ("", "", *processing)]
    return b"".join(",".join(f'"{value}"' for value in row).encode() + b"\r\n" for row in rows)


@lru_cache(maxsize=CACHED_FILES)
def logger_lines(path: str, begin: datetime, seed: int) -> Lines:
    """Return an hour of the logger of the flux station, every minute."""
    rng, warm = noise(path, seed).standard_normal((8, LOGGER_LINES)), _warmth(begin, LOGGER_LINES, 60)
    columns = (
        np.clip(12.8 + 0.05 * rng[0], 10, 14.99),  # as wide as a missing value, in every line
        8 + 3 * warm + 0.1 * rng[1],
        4 + 3 * warm + 0.1 * rng[2],
        np.clip(80 - 8 * warm + rng[3], 0, 100),
        1003 + 0.2 * rng[4],
        np.clip(300 * warm + 10 * rng[5], 0, None),
        290 + 5 * rng[6],
        np.abs(0.4 + 0.002 * rng[7]),
    )
    return _toa5_records(begin, columns, "%.2f,%.2f,%.2f,%.1f,%.1f,%.1f,%.1f,%.3f")


@lru_cache(maxsize=CACHED_FILES)
def sonic_lines(path: str, begin: datetime, seed: int, scale: float) -> Lines:
    """Return an hour of the sonic anemometer: 20 lines per second at scale 1, at least one per minute."""
    count = max(FEWEST_SONIC_LINES, round(SONIC_LINES * scale))
    rng = noise(path, seed).standard_normal((5, count), dtype=np.float32)
    columns = (
        np.clip(333.0 + 0.5 * rng[0], 300, 400),  # as wide as a missing value, in every line
        6 + rng[1],
        rng[2],
        0.3 * rng[3],
        4 + 0.3 * rng[4],
    )
    return _toa5_records(begin, columns, "%.1f,%.3f,%.3f,%.3f,%.2f")


def without_first_value(record: bytes) -> bytes:
    """Return the record with its first value missing and the same length."""
    time, number, value, rest = record.split(b",", 3)
    missing = b'"NAN"'
    assert len(value) == len(missing), value
    return b",".join((time, number, missing, rest))


@lru_cache(maxsize=CACHED_FILES)
def power_lines(path: str, begin: datetime, seed: int) -> Lines:
    """Return a day of the power system, every minute."""
    rng, warm = noise(path, seed).standard_normal((5, POWER_LINES)), _warmth(begin, POWER_LINES, 60)
    solar, wind = np.clip(400 * warm + 10 * rng[0], 0, None), np.abs(150 + 40 * rng[1])
    load = 180 + 5 * rng[2]
    columns = (
        25.6 + 0.4 * warm + 0.05 * rng[3],
        (solar + wind - load) / 25.6,
        solar,
        wind,
        load,
        np.clip(75 + 15 * warm + 0.1 * rng[4], 0, 100),
    )
    day = f"{begin:%Y-%m-%d}"
    return tuple(
        f"{day}T{_clock(60 * index)}Z,{a:.2f},{b:.2f},{c:.1f},{d:.1f},{e:.1f},{f:.1f}\n".encode()
        for index, (a, b, c, d, e, f) in enumerate(_rows(columns))
    )


def power_summary(begin: datetime, written: datetime, lines: Sequence[bytes]) -> bytes:
    """Return the first line of the power system's file; it changes with each new line."""
    loads = [float(line.split(b",")[5]) for line in lines]
    energy = sum(loads) / 60
    return f"# {begin:%Y-%m-%d} written {written:%H:%M:%S}Z rows {len(lines)} load_wh {energy:.1f}\n".encode()


def _toa5_records(begin: datetime, columns: Sequence[np.ndarray[Any, Any]], pattern: str) -> Lines:
    count = len(columns[0])
    first = int(begin.timestamp()) // 3600 * count % 2**31  # record numbers continue from file to file
    pattern = f'"{begin:%Y-%m-%d %H}:%02d:%s",%d,{pattern}\r\n'
    lines = []
    for index, row in enumerate(_rows(columns)):
        minute, ms = divmod(index * 3_600_000 // count, 60_000)
        seconds = f"{ms // 1000:02d}" + (f".{ms % 1000:03d}".rstrip("0") if ms % 1000 else "")
        lines.append((pattern % (minute, seconds, first + index, *row)).encode())
    return tuple(lines)


def _rows(columns: Sequence[np.ndarray[Any, Any]]) -> zip[tuple[float, ...]]:
    """Return the values as rows of Python numbers, which are much faster to format."""
    return zip(*(column.tolist() for column in columns), strict=True)


def _warmth(begin: datetime, count: int, seconds: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return -1 at midnight to 1 at noon."""
    start = (begin - begin.replace(hour=0)) // timedelta(seconds=1)
    return -np.cos((start + np.arange(count) * seconds) * 2 * np.pi / DAY_SECONDS)


def _clock(seconds: int) -> str:
    """Format a second of the day as HH:MM:SS."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
