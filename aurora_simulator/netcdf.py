"""Writes NetCDF classic files without a library, and the ceilometer's files.

The layout is that of the NetCDF classic format specification (CDF-1: https://docs.unidata.ucar.edu/nug/, File Format
Specifications); all numbers are big-endian. It supports only the needs of the simulator: fixed dimensions, text
attributes, variables of float and double. It is not a reader.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np

from aurora_simulator.noise import noise

_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 0x0A, 0x0B, 0x0C
_CHAR = 2
_TYPES = {np.dtype(">f4"): 5, np.dtype(">f8"): 6}

PROFILES = 30  # of 10 s each in a file of 5 min
GATES = 3276  # range gates of 4.8 m at scale 1; gives 1.57 MB per file
GATE = 4.8  # m
FEWEST_GATES = 8
FIELDS = {
    "beta_att": "1/(m sr)",
    "p_pol": "1/(m sr)",
    "x_pol": "1/(m sr)",
    "linear_depol_ratio": "1",
}


@dataclass(frozen=True)
class Variable:
    """A variable: names of its dimensions, type and text attributes."""

    name: str
    dimensions: tuple[str, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, str] = field(default_factory=dict)


def header(dimensions: Mapping[str, int], variables: Sequence[Variable], attributes: Mapping[str, str]) -> bytes:
    """Return the bytes before the data; the data of the variables follow in their order, without padding.

    Parameters
    ----------
    dimensions : mapping
        Length of each dimension.
    variables : sequence of Variable
        In the order of their data. Sizes of 4 and 8 bytes need no padding.
    attributes : mapping
        Global attributes.
    """
    sizes = [v.dtype.itemsize * int(np.prod([dimensions[name] for name in v.dimensions])) for v in variables]
    length = len(_header(dimensions, variables, attributes, sizes, 0))  # the length does not depend on the offset
    return _header(dimensions, variables, attributes, sizes, length)


def _header(
    dimensions: Mapping[str, int],
    variables: Sequence[Variable],
    attributes: Mapping[str, str],
    sizes: Sequence[int],
    offset: int,
) -> bytes:
    numbers = {name: number for number, name in enumerate(dimensions)}
    parts = [b"CDF\x01", _integers(0)]  # no records
    parts.append(_integers(_DIMENSIONS, len(dimensions)))
    parts.extend(_text(name) + _integers(size) for name, size in dimensions.items())
    parts.append(_attributes(attributes))
    parts.append(_integers(_VARIABLES, len(variables)))
    for variable, size in zip(variables, sizes, strict=True):
        parts.append(_text(variable.name) + _integers(len(variable.dimensions)))
        parts.append(_integers(*(numbers[name] for name in variable.dimensions)))
        parts.append(_attributes(variable.attributes) + _integers(_TYPES[variable.dtype], size, offset))
        offset += size
    return b"".join(parts)


def _attributes(attributes: Mapping[str, str]) -> bytes:
    if not attributes:
        return _integers(0, 0)
    texts = (_text(name) + _integers(_CHAR) + _text(value) for name, value in attributes.items())
    return _integers(_ATTRIBUTES, len(attributes)) + b"".join(texts)


def _text(value: str) -> bytes:
    """Encode length and characters, padded to a multiple of 4 bytes."""
    raw = value.encode("ascii")
    return _integers(len(raw)) + raw + bytes(-len(raw) % 4)


def _integers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}i", *values)


def ceilometer(path: str, begin: datetime, seed: int, scale: float) -> bytes:
    """Return a file of the CL61: 30 profiles of attenuated backscatter and depolarisation; `scale` sets the gates."""
    gates = max(FEWEST_GATES, round(GATES * scale))
    time = int(begin.timestamp()) + np.arange(PROFILES) * 10
    height = np.arange(gates) * GATE
    values = np.abs(noise(path, seed).standard_normal((len(FIELDS), PROFILES, gates), dtype=np.float32)) * 1e-6
    axes = (
        time.astype(">f8").tobytes() + height.astype(">f4").tobytes()
    )  # arithmetic returns the byte order of the machine
    return _ceilometer_header(gates) + axes + values.astype(">f4").tobytes()


@lru_cache(maxsize=4)
def _ceilometer_header(gates: int) -> bytes:
    double, single = np.dtype(">f8"), np.dtype(">f4")
    variables = [
        Variable("time", ("time",), double, {"units": "seconds since 1970-01-01 00:00:00", "calendar": "standard"}),
        Variable("range", ("range",), single, {"units": "m"}),
        *(Variable(name, ("time", "range"), single, {"units": units}) for name, units in FIELDS.items()),
    ]
    title = {"title": "CL61 ceilometer, simulated", "source": "aurora simulator"}
    return header({"time": PROFILES, "range": gates}, variables, title)
