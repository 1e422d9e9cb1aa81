"""The mtime resolution of a raw directory's file system, and comparing mtimes by it.

A copy on a file system with a coarse resolution (:mod:`aurora_platform.fs.mtimes`) never has the mtime that its host
lists. When a pass finds a different mtime, it measures the resolution once, with a file of its own, and saves it for
read-only users (a sensor, `aurora status`). Nothing is saved if the file system keeps every nanosecond.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from aurora_platform.fs.atomic import nearest
from aurora_platform.fs.mtimes import ROUNDINGS, STEPS, MtimeResolution, explain_write_errors
from aurora_platform.fs.versions import FileVersion, same_mtime

RESOLUTION_FILE = ".mtimes"
"""Name of the JSON file with the measured resolution, in the directory of the work directories."""


def read_resolution(incoming: Path) -> MtimeResolution:
    """Read the resolution that a pass has saved in ``incoming``; full resolution if there is none."""
    try:
        saved = json.loads((incoming / RESOLUTION_FILE).read_bytes())
        step, rounding = saved["step_ns"], saved["way"]
    except (OSError, ValueError, KeyError, TypeError):
        return MtimeResolution()
    return MtimeResolution(step, rounding) if step in STEPS and rounding in ROUNDINGS else MtimeResolution()


def save_resolution(incoming: Path, resolution: MtimeResolution) -> None:
    """Save a measured resolution in ``incoming``.

    Raises
    ------
    TransferError
        If nothing can be written.
    """
    with explain_write_errors(incoming):
        if resolution.step_ns == 1:
            with suppress(FileNotFoundError):
                (incoming / RESOLUTION_FILE).unlink()
        elif read_resolution(incoming) != resolution:
            staged = incoming / f"{RESOLUTION_FILE}.{os.getpid()}"
            staged.write_text(json.dumps({"step_ns": resolution.step_ns, "way": resolution.rounding}))
            staged.replace(incoming / RESOLUTION_FILE)


class MtimeComparison:
    """Compares mtimes of local files with those that the host lists; finds the resolution at most once."""

    def __init__(self, incoming: Path, measure: Callable[[], MtimeResolution] | None = None) -> None:
        """``incoming`` is on the file system in question; without ``measure``, the saved resolution is used."""
        self._incoming = incoming
        self._measure = measure or (lambda: read_resolution(incoming))

    def is_version(self, local: os.stat_result, listed: FileVersion) -> bool:
        """Whether a local file is the version that its host lists."""
        size, listed_ns = listed
        if local.st_size != size:
            return False
        if local.st_mtime_ns == listed_ns:
            return True
        resolution = self.resolution
        # The resolution is not valid for a directory on another file system.
        if local.st_dev != self._device:
            return same_mtime(local.st_mtime_ns, listed_ns)
        return resolution.matches(local.st_mtime_ns, listed_ns)

    @cached_property
    def resolution(self) -> MtimeResolution:
        return self._measure()

    @cached_property
    def _device(self) -> int:
        return device_of(self._incoming)


def device_of(path: Path) -> int:
    """Return the device of a path, or the device on which it would be created."""
    return nearest(path).stat().st_dev
