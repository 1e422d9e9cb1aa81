"""Tidies up after a retention run: directories that it emptied, and what killed pushes left on this machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path, PurePosixPath

from aurora_platform.archive.stores import Records
from aurora_platform.errors import BusyError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.staging import Staging
from aurora_platform.layout import OUTGOING, mirror_lock

_NO_WAIT = timedelta(0)


def remove_emptied_directories(records: Records, stream: str, deleted: Collection[str]) -> int:
    """Remove the directories of deleted files that are empty now; returns their number.

    Only directories above a deleted file are removed, never the stream's own. Nothing is done while the mirror works on
    the stream: it may be about to publish a file in one of them.
    """
    root = records.layout.raw_root(stream)
    removed = 0
    with suppress(BusyError), ExitStack() as locks:
        for lane in (stream, f"{stream}.history"):
            locks.enter_context(hold_lock(records.layout.locks, mirror_lock(lane), _NO_WAIT))
        for directory in _directories_above(deleted):
            with suppress(OSError):  # not empty, gone already, or a symlink to another disk
                os.rmdir(root / directory)
                removed += 1
    return removed


def _directories_above(paths: Collection[str]) -> Iterator[str]:
    """Yield the directories above some relative paths, the deepest first."""
    directories = {str(parent) for path in paths for parent in PurePosixPath(path).parents} - {"."}
    yield from sorted(directories, key=lambda directory: directory.count("/"), reverse=True)


def sweep_leftovers(records: Records) -> int:
    """Remove the upload trees and private directories of killed runs; returns their number."""
    paths, camera = records.site.paths, records.layout.camera
    places: list[Path] = [paths.raw, paths.products, paths.manifests, camera.products]
    wait = records.site.limits.lock
    return sum(Staging(place / OUTGOING, records.layout.locks, wait).sweep() for place in places)
