"""Writes the files of one stream of a publication, for ``latest/`` and for ``history/``, from the files of its days.

The manifest of a side is the files of its days one after the other, oldest day first, with one header. The kernel
copies the bytes, so a publication costs little more than writing them. In ``history/`` each day stays a file of its
own, a hard link: publications share the days that did not change between them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from aurora_platform.archive import manifest
from aurora_platform.archive.stream_content import StreamContent, Written
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.atomic import flush
from aurora_platform.fs.disk_errors import naming
from aurora_platform.fs.links import link_or_copy
from aurora_platform.layout import CANDIDATES, SIDES, ManifestLayout, history_manifest, side_manifest

CANDIDATES_HEADER = "relpath\n"


class MissingDayError(EvidenceError):
    """A manifest file of a day does not exist: a pass has just replaced it, or somebody deleted it."""

    def __init__(self, day: date, path: Path) -> None:
        super().__init__(f"{path}: does not exist; the next verification of the stream writes it again")
        self.day = day


def link_days(layout: ManifestLayout, content: StreamContent, target: Path) -> None:
    """Link the manifest files of all days of a stream below ``target``: from then on nobody can remove them.

    Raises
    ------
    MissingDayError
        Where a file does not exist.
    """
    for side in SIDES:
        (target / side).mkdir(parents=True)
        for day, written in content.days.files.items():
            source = layout.day_manifest(content.name, day, written, side)
            try:
                link_or_copy(source, target / history_manifest(side, day))
            except FileNotFoundError:
                raise MissingDayError(day, source) from None


def write_stream(content: StreamContent, linked: Path, staged: Path, earlier: Path | None) -> Written:
    """Write the manifests and candidates of a stream into ``staged``; returns what is to be said of the candidates.

    Parameters
    ----------
    content, linked
        What to write, and the directory of :func:`link_days`.
    staged
        The new directory.
    earlier
        The stream's directory of the last publication, whose files are linked where they are the same.
    """
    staged.mkdir()
    for side in SIDES:
        target = staged / side_manifest(side)
        if earlier is not None and content.is_unchanged:
            link_or_copy(earlier / target.name, target)
        else:
            _concatenate((linked / history_manifest(side, day) for day in content.days.files), target)
    if content.candidates is None and earlier is not None:
        link_or_copy(earlier / CANDIDATES, staged / CANDIDATES)
        written = Written()
    else:
        written = write_candidates(staged / CANDIDATES, content.candidates or ())
    flush(staged)
    return written


def write_candidates(target: Path, candidates: Iterable[tuple[str, int, float]]) -> Written:
    """Write a list of candidates: path, bytes and oldest checksum (s since epoch) of each."""
    count, size, oldest = 0, 0, math.inf
    with target.open("w") as file:
        file.write(CANDIDATES_HEADER)
        for path, of_file, read_at in candidates:
            file.write(f"{path}\n")
            count, size, oldest = count + 1, size + of_file, min(oldest, read_at)
    flush(target)
    return Written(count, size, oldest if count else 0.0)


def stream_files() -> Iterator[str]:
    """Return the names of the files in a stream's directory of ``latest/``."""
    yield from map(side_manifest, SIDES)
    yield CANDIDATES


def _concatenate(parts: Iterable[Path], target: Path) -> None:
    header = manifest.HEADER.encode()
    with naming(target), target.open("wb", buffering=0) as out:
        out.write(header)
        for path in parts:
            with path.open("rb", buffering=0) as part:
                offset, end = len(header), os.fstat(part.fileno()).st_size
                while offset < end and (sent := os.sendfile(out.fileno(), part.fileno(), offset, end - offset)):
                    offset += sent
    flush(target)
