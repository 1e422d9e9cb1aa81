"""The camera's raw tree, a UTC day at a time: only the day's own directories are looked into."""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from aurora_platform.cameras.filenames import CAMERAS, Camera, parse_name
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import compact


class RawFile(NamedTuple):
    """A file of a day as it lies in the raw tree."""

    camera: Camera
    scanned: ScannedEntry[str]
    raw_path: str
    name: str
    """Its own, without directories."""


def around(raw: Path, day: date) -> Iterator[tuple[Camera, int, str]]:
    """Each camera's directories of a day and of its neighbours: the last clip of a day may be named by its end."""
    for camera in CAMERAS.values():
        for step in (-1, 0, 1):
            yield camera, step, os.path.join(raw, camera.tree, compact(day + timedelta(days=step)))


def belongs(filename: str, camera: Camera, day: date, step: int) -> bool:
    """Whether a file is of ``day``: by its name, or by its directory where the name tells nothing that can be true."""
    try:
        named = parse_name(filename, camera).day
    except ValueError:
        return step == 0
    return named == day or (step == 0 and is_misplaced(named, day))


def is_misplaced(named: date, directory: date) -> bool:
    """Whether a file's own day is so far from its directory's that no pass over its own day would find it."""
    return abs((named - directory).days) > 1


def scan_day(raw: Path, day: date) -> Iterator[RawFile]:
    """The files of a UTC day in the raw tree."""
    below, named = len(os.path.join(raw, "")), compact(day)
    usual = f"HDR_{named}_"
    for camera, step, directory in around(raw, day):
        # By far the most of a neighbour's names do not have the day in them; they are not even handed on.
        for item in _files_below(directory, named if step else ""):
            # Names are taken apart where their beginning does not tell: hardly ever in the day's own directory.
            if (not step and item.name.startswith(usual)) or belongs(item.name, camera, day, step):
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # gone since the directory was listed
                yield RawFile(camera, ScannedEntry.of(item.path[below:], status), item.path, item.name)


_name = attrgetter("name")


def _files_below(directory: str, part: str) -> Iterator[os.DirEntry[str]]:
    """The files in a directory and those in it whose names have ``part`` in them."""
    pending = [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                kept = [item for item in found if part in item.name or item.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            continue
        kept.sort(key=_name)
        for item in kept:
            if item.is_dir(follow_symlinks=False):
                pending.append(item.path)
            else:
                yield item
