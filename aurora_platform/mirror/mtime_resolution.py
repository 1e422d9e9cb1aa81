"""What the file system of a raw directory keeps of the mtimes that files are given, and comparing by it.

CIFS and NTFS keep 100 ns, CephFS before Linux 5.3 1 us, others 1 ms or 1 s, FAT 2 s; some round, most cut off. A copy
on such a file system never has the mtime that its host lists. A pass learns what is kept from a file of its own, once,
where it meets a difference, and writes it down for whoever only looks (a sensor, `aurora status`). Nothing is written
where all of an mtime is kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from aurora_platform.errors import NO_SPACE, TransferError
from aurora_platform.fs.atomic import nearest
from aurora_platform.fs.versions import FileVersion, same_mtime

RECORD = ".mtimes"
"""In the directory of the work directories: what was learnt, as JSON."""

_SECOND = 1_000_000_000
# Digits and seconds by which each step and way of rounding gives another triple of mtimes.
_PROBES = (1_700_000_001_678_567_678, 1_700_000_003_321_432_321, 1_700_000_004_321_432_321)
_STEPS = (*(10**digits for digits in range(10)), 2 * _SECOND)

Way = Literal["down", "near", "up"]
_WAYS: tuple[Way, ...] = ("down", "near", "up")


class Kept(NamedTuple):
    """What a file system keeps of an mtime: multiples of a step (ns), and which one of them."""

    step_ns: int = 1
    way: Way = "down"

    def of(self, mtime_ns: int) -> int:
        """The mtime that a file has here that was given this one."""
        more = {"down": 0, "near": self.step_ns // 2, "up": self.step_ns - 1}[self.way]
        return (mtime_ns + more) // self.step_ns * self.step_ns

    def is_same(self, here_ns: int, there_ns: int) -> bool:
        """Whether ``here_ns`` is what is kept of ``there_ns``.

        Or of its whole seconds, which is all that an rsync before 3.1 hands on; or, where the host says no more than
        whole seconds (now), whether they are those of the copy.
        """
        whole = there_ns // _SECOND * _SECOND
        return here_ns in (self.of(there_ns), self.of(whole)) or (whole == there_ns == here_ns // _SECOND * _SECOND)

    def __str__(self) -> str:
        units = ((_SECOND, "s"), (10**6, "ms"), (10**3, "us"), (1, "ns"))
        size, unit = next((size, unit) for size, unit in units if self.step_ns >= size)
        return f"{self.step_ns // size} {unit}"


def learn(directory: Path) -> Kept:
    """Find out what the file system of ``directory`` keeps, by a file that is made there and removed.

    Raises
    ------
    TransferError
        Where it keeps none of what is known: nobody could tell a copy from another version of the file. And where
        nothing can be written.
    """
    with _writing(directory):
        found = _tried(directory)
    for step in _STEPS:
        for way in _WAYS:
            if found == [Kept(step, way).of(mtime_ns) for mtime_ns in _PROBES]:
                return Kept(step, way)
    raise TransferError(
        f"{directory}: a file that was given the mtime {_PROBES[0]} (ns) has {found[0]}: this file system keeps no "
        "mtimes, so no copy could be told from another version. Keep paths.raw on ext4, xfs or btrfs.",
        transient=False,
    )


def _tried(directory: Path) -> list[int]:
    """The mtimes that a file has here that was given those of the probes."""
    directory.mkdir(parents=True, exist_ok=True)
    probe = directory / f"{RECORD}.{os.getpid()}"
    found = []
    try:
        probe.touch()
        for mtime_ns in _PROBES:
            os.utime(probe, ns=(mtime_ns, mtime_ns))
            found.append(probe.stat().st_mtime_ns)
    finally:
        probe.unlink(missing_ok=True)
    return found


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransferError(
            f"{directory}: nothing can be written here to find out which mtimes are kept ({error.strerror}). Look at "
            f"`df -i {directory.parent}`, at how that disk is mounted, and at whose directory it is.",
            is_full=error.errno in NO_SPACE,
        ) from None


def recorded(incoming: Path) -> Kept:
    """What a pass has learnt and written down in ``incoming``; all is kept where nothing is written there."""
    try:
        said = json.loads((incoming / RECORD).read_bytes())
        step, way = said["step_ns"], said["way"]
    except (OSError, ValueError, KeyError, TypeError):
        return Kept()
    return Kept(step, way) if step in _STEPS and way in _WAYS else Kept()


def record(incoming: Path, kept: Kept) -> None:
    """Write down what was learnt.

    Raises
    ------
    TransferError
        Where nothing can be written.
    """
    with _writing(incoming):
        if kept.step_ns == 1:
            with suppress(FileNotFoundError):
                (incoming / RECORD).unlink()
        elif recorded(incoming) != kept:
            made = incoming / f"{RECORD}.{os.getpid()}"
            made.write_text(json.dumps(kept._asdict()))
            made.replace(incoming / RECORD)


class Mtimes:
    """Compares mtimes of files here with those that their host lists; what is kept is asked for once, if at all."""

    def __init__(self, incoming: Path, find: Callable[[], Kept] | None = None) -> None:
        """``incoming`` is on the file system in question; ``find`` learns anew, else what is recorded there counts."""
        self._incoming = incoming
        self._find = find or (lambda: recorded(incoming))

    def is_version(self, here: os.stat_result, there: FileVersion) -> bool:
        """Whether a file here is the version that its host lists."""
        size, there_ns = there
        if here.st_size != size:
            return False
        if here.st_mtime_ns == there_ns:
            return True
        kept = self.kept
        # Of a directory on another file system nothing was learnt.
        if here.st_dev != self._device:
            return same_mtime(here.st_mtime_ns, there_ns)
        return kept.is_same(here.st_mtime_ns, there_ns)

    @cached_property
    def kept(self) -> Kept:
        return self._find()

    @cached_property
    def _device(self) -> int:
        return device_of(self._incoming)


def device_of(path: Path) -> int:
    """The device on which a path is, or would be made."""
    return nearest(path).stat().st_dev
