"""The mtime resolution of a file system: how it stores an mtime, and how that is measured.

CIFS and NTFS keep 100 ns, CephFS before Linux 5.3 1 us, others 1 ms or 1 s, FAT 2 s. Some round, most cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from aurora_platform.errors import NO_SPACE, TransferError

_SECOND = 1_000_000_000
# Each step and rounding gives another triple of mtimes for these digits and seconds.
_PROBES = (1_700_000_001_678_567_678, 1_700_000_003_321_432_321, 1_700_000_004_321_432_321)
STEPS = (*(10**digits for digits in range(10)), 2 * _SECOND)

Rounding = Literal["down", "near", "up"]
ROUNDINGS: tuple[Rounding, ...] = ("down", "near", "up")


class MtimeResolution(NamedTuple):
    """How a file system stores an mtime: as a multiple of a step (ns), and rounded in which direction."""

    step_ns: int = 1
    rounding: Rounding = "down"

    def apply(self, mtime_ns: int) -> int:
        """Return the mtime that the file system stores for ``mtime_ns``."""
        offset = {"down": 0, "near": self.step_ns // 2, "up": self.step_ns - 1}[self.rounding]
        return (mtime_ns + offset) // self.step_ns * self.step_ns

    def matches(self, local_ns: int, source_ns: int) -> bool:
        """Whether ``local_ns`` is the stored form of ``source_ns``.

        Whole seconds of ``source_ns`` match as well: an rsync before 3.1 transfers no more. And if the host lists whole
        seconds only, the seconds of the copy have to be the same.
        """
        whole = source_ns // _SECOND * _SECOND
        return local_ns in (self.apply(source_ns), self.apply(whole)) or (
            whole == source_ns == local_ns // _SECOND * _SECOND
        )

    def __str__(self) -> str:
        units = ((_SECOND, "s"), (10**6, "ms"), (10**3, "us"), (1, "ns"))
        size, unit = next((size, unit) for size, unit in units if self.step_ns >= size)
        return f"{self.step_ns // size} {unit}"


def measure_resolution(directory: Path) -> MtimeResolution:
    """Measure the mtime resolution of the file system of ``directory``, with a file that is made and removed there.

    Raises
    ------
    TransferError
        If the file system stores mtimes in no known way: a copy could not be told from another version of the file.
        Also if nothing can be written.
    """
    with explain_write_errors(directory):
        stored = _set_and_read_back(directory)
    for step in STEPS:
        for rounding in ROUNDINGS:
            if stored == [MtimeResolution(step, rounding).apply(mtime_ns) for mtime_ns in _PROBES]:
                return MtimeResolution(step, rounding)
    raise TransferError(
        f"{directory}: this file system keeps no mtimes: a file with the mtime {_PROBES[0]} (ns) was read back with "
        f"{stored[0]}. A copy could not be told from another version. Keep paths.raw on ext4, xfs or btrfs.",
        transient=False,
    )


def _set_and_read_back(directory: Path) -> list[int]:
    """Give a file the mtimes of the probes, and return the mtimes that it has then."""
    directory.mkdir(parents=True, exist_ok=True)
    probe = directory / f".mtimes.{os.getpid()}"
    stored = []
    try:
        probe.touch()
        for mtime_ns in _PROBES:
            os.utime(probe, ns=(mtime_ns, mtime_ns))
            stored.append(probe.stat().st_mtime_ns)
    finally:
        probe.unlink(missing_ok=True)
    return stored


@contextmanager
def explain_write_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransferError(
            f"{directory}: cannot write a test file to measure the mtime resolution ({error.strerror}). Check "
            f"`df -i {directory.parent}`, how that disk is mounted, and who owns the directory.",
            is_full=error.errno in NO_SPACE,
        ) from None
