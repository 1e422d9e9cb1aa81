"""List the camera's raw tree, one UTC day at a time. Only the directories of the day and its neighbours are read."""

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
    """A file of a day in the raw tree."""

    camera: Camera
    scanned: ScannedEntry[str]
    raw_path: str
    name: str
    """File name without directories."""


def directories_around(raw: Path, day: date) -> Iterator[tuple[Camera, int, str]]:
    """List each camera's directories of a day and of its neighbours: a day's last clip may be named by its end."""
    for camera in CAMERAS.values():
        for step in (-1, 0, 1):
            yield camera, step, os.path.join(raw, camera.tree, compact(day + timedelta(days=step)))


def belongs_to_day(filename: str, camera: Camera, day: date, step: int) -> bool:
    """Whether a file belongs to ``day``: by its name, or by its directory if the name is invalid or misplaced."""
    try:
        named = parse_name(filename, camera).day
    except ValueError:
        return step == 0
    return named == day or (step == 0 and is_misplaced(named, day))


def is_misplaced(named: date, directory: date) -> bool:
    """Whether the day in a file's name is so far from its directory's that no scan of that day finds the file."""
    return abs((named - directory).days) > 1


def scan_day(raw: Path, day: date) -> Iterator[RawFile]:
    """Scan the files of a UTC day in the raw tree."""
    prefix_length, compact_day = len(os.path.join(raw, "")), compact(day)
    usual_prefix = f"HDR_{compact_day}_"
    for camera, step, directory in directories_around(raw, day):
        # Most names in a neighbour's directory do not contain the day: _files_below filters them out early.
        for item in _files_below(directory, compact_day if step else ""):
            # Only names without the usual prefix are parsed: very few in the day's own directory.
            if (not step and item.name.startswith(usual_prefix)) or belongs_to_day(item.name, camera, day, step):
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # deleted since the directory was listed
                yield RawFile(camera, ScannedEntry.of(item.path[prefix_length:], status), item.path, item.name)


_entry_name = attrgetter("name")


def _files_below(directory: str, name_part: str) -> Iterator[os.DirEntry[str]]:
    """List the files in a directory, and in its subdirectories, whose names contain ``name_part``."""
    pending = [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                kept = [item for item in found if name_part in item.name or item.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            continue
        kept.sort(key=_entry_name)
        for item in kept:
            if item.is_dir(follow_symlinks=False):
                pending.append(item.path)
            else:
                yield item
