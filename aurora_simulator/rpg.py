"""Makes the binary files of two instruments of Radiometer Physics: a cloud radar and a microwave radiometer.

All numbers are little-endian; times are s since 2001-01-01. The radiometer's files have the layout of the manufacturer,
as public readers (https://github.com/actris-cloudnet/mwrpy, `rpg_bin.py`) expect it. The radar's files begin with the
manufacturer's file codes (https://github.com/actris-cloudnet/rpgpy), but the rest of the header is only a count of
samples and gates: they serve programs that copy files, not programs that read radar data.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aurora_simulator.noise import noise

EPOCH = int(datetime(2001, 1, 1, tzinfo=UTC).timestamp())
SECONDS = 3600  # per file
UTC_TIMES = 1

RADAR_CODES = {"LV0": 889346, "LV1": 889347, "HKD": 889349}
RADAR_SAMPLES, RADAR_GATES = 1200, 400  # at scale 1: one per 3 s; the spectra make 123 MB per hour of LV0
FEWEST = 4  # samples or gates
RADAR_NUMBERS = {"LV0": 64, "LV1": 6}  # floats per gate: spectrum bins, moments

RADIOMETER_SAMPLES = 3600  # at scale 1: one per s
FREQUENCIES = (22.24, 23.04, 23.84, 25.44, 26.24, 27.84, 31.4, 51.26, 52.28, 53.86, 54.94, 56.66, 57.3, 58.0)  # GHz
ELEVATIONS = (90.0, 30.0, 19.2, 14.4, 11.4, 8.4, 6.6, 5.4, 4.8, 4.2)  # degrees
ZENITH = 9000 * 100_000  # elevation and azimuth in one number, both in 0.01 degrees
ALL_HOUSEKEEPING = 63  # every group of values is present

type Numbers = np.ndarray[Any, np.dtype[Any]]


def radar(path: str, begin: datetime, seed: int, scale: float) -> bytes:
    """Return an hour of the radar: Doppler spectra (`.LV0`), their moments (`.LV1`), or housekeeping (`.HKD`).

    The counts of samples and of gates grow with the square root of `scale`, so the size grows with `scale`.
    """
    kind = path.rpartition(".")[2]
    samples, gates = (max(FEWEST, round(n * math.sqrt(scale))) for n in (RADAR_SAMPLES, RADAR_GATES))
    if kind == "HKD":
        samples, gates = SECONDS // 60, 1
    values = noise(path, seed).standard_normal((samples, gates * RADAR_NUMBERS.get(kind, 8)), dtype=np.float32)
    records = np.empty(
        samples,
        [("bytes", "<i4"), ("time", "<u4"), ("ms", "<i4"), ("quality", "i1"), ("values", "<f4", values.shape[1])],
    )
    records["bytes"] = records.dtype.itemsize - 4
    records["time"], records["ms"], records["quality"] = _times(begin, samples), 0, 0
    records["values"] = values
    start = _rpg_seconds(begin)
    rest = (
        struct.pack("<2I2i", start, start + SECONDS, 1, 0) + b"ZEN P01\0AURORA\0" + struct.pack("<5f", 94.0, *[0.5] * 4)
    )
    rest += struct.pack("<2i", gates, samples)
    return struct.pack("<2i", RADAR_CODES[kind], len(rest)) + rest + records.tobytes()


def radiometer(path: str, begin: datetime, seed: int, scale: float) -> bytes:
    """Return an hour of the radiometer; the suffix of `path` selects the product."""
    samples = max(FEWEST, round(RADIOMETER_SAMPLES * scale))
    return _PRODUCTS[path.rpartition(".")[2]](begin, samples, noise(path, seed))


def _brightness(begin: datetime, samples: int, rng: np.random.Generator) -> bytes:
    records = _records(begin, samples, ("values", "<f4", len(FREQUENCIES)), ("angle", "<i4"))
    records["values"] = 180 + 20 * rng.random((samples, len(FREQUENCIES)), np.float32)
    records["angle"] = ZENITH
    extremes = _floats(records["values"].min(axis=0)) + _floats(records["values"].max(axis=0))
    frequencies = _floats(np.array(FREQUENCIES))
    return struct.pack("<4i", 666000, samples, UTC_TIMES, len(FREQUENCIES)) + frequencies + extremes + records.tobytes()


def _scans(begin: datetime, samples: int, rng: np.random.Generator) -> bytes:
    samples = max(FEWEST, samples // 600)  # a scan takes 10 min
    shape = (len(FREQUENCIES), len(ELEVATIONS) + 1)  # the last value of each row is the temperature
    records = _records(begin, samples, ("values", "<f4", shape))
    records["values"] = 180 + 20 * rng.random((samples, *shape), np.float32)
    brightness = records["values"][:, :, :-1]
    content = struct.pack("<3i", 567845848, samples, len(FREQUENCIES))
    content += _floats(brightness.min(axis=(0, 2))) + _floats(brightness.max(axis=(0, 2)))
    content += struct.pack("<i", UTC_TIMES) + _floats(np.array(FREQUENCIES))
    return content + struct.pack("<i", len(ELEVATIONS)) + _floats(np.array(ELEVATIONS)) + records.tobytes()


def _housekeeping(begin: datetime, samples: int, rng: np.random.Generator) -> bytes:
    records = _records(begin, samples, ("values", "<f4", 8), ("flags", "<i4", 3))
    records["values"] = rng.random((samples, 8), np.float32)
    records["values"][:, :2] = -21.3, 64.1  # degrees east, north
    records["flags"] = 0
    return struct.pack("<4i", 837854832, samples, UTC_TIMES, ALL_HOUSEKEEPING) + records.tobytes()


def _infrared(begin: datetime, samples: int, rng: np.random.Generator) -> bytes:
    records = _records(begin, samples, ("values", "<f4", 1), ("angle", "<i4"))
    records["values"] = -40 + 10 * rng.random((samples, 1), np.float32)
    records["angle"] = ZENITH
    extremes = struct.pack("<2f", records["values"].min(), records["values"].max())
    content = struct.pack("<2i", 671112000, samples) + extremes + struct.pack("<2if", UTC_TIMES, 1, 11.1)
    return content + records.tobytes()


def _weather(begin: datetime, samples: int, rng: np.random.Generator) -> bytes:
    records = _records(begin, samples, ("values", "<f4", 3))
    records["values"] = np.array([1000.0, 278.0, 70.0]) + 5 * rng.random((samples, 3), np.float32)
    extremes = np.stack([records["values"].min(axis=0), records["values"].max(axis=0)], axis=1)
    content = struct.pack("<2ib", 599658944, samples, 0) + _floats(extremes)
    return content + struct.pack("<i", UTC_TIMES) + records.tobytes()


_PRODUCTS: dict[str, Callable[[datetime, int, np.random.Generator], bytes]] = {
    "BLB": _scans,
    "BRT": _brightness,
    "HKD": _housekeeping,
    "IRT": _infrared,
    "MET": _weather,
}


def _records(begin: datetime, samples: int, *fields: tuple[Any, ...]) -> Numbers:
    """Return packed records with a time and a flag before the given fields."""
    records: Numbers = np.empty(samples, [("time", "<i4"), ("flag", "i1"), *fields])
    records["time"], records["flag"] = _times(begin, samples), 0
    return records


def _times(begin: datetime, samples: int) -> Numbers:
    return _rpg_seconds(begin) + np.arange(samples) * SECONDS // samples


def _rpg_seconds(time: datetime) -> int:
    return int(time.timestamp()) - EPOCH


def _floats(values: Numbers) -> bytes:
    return values.astype("<f4").tobytes()
