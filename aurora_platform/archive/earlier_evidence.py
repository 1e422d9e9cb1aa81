"""What a lost evidence database had recorded of the source, taken over from the files that it has left of each day.

A new database must not take a day for complete whose source has lost files that only the lost database had recorded.
So before the first listing of a day, its newest ``<revision>_source.tsv`` becomes the last listing of the source, and
``<revision>_vanished.tsv`` and the lost files of its finalization become its vanished files. The listing then finds
what is missing, and whether to trust it, as it would have with the lost database.

Their checksums count only for files that are gone: what a listing has is read again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from aurora_platform.archive import manifest, vanished_manifest
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.vanished_files import Acceptance
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.sqlite import Tables

DayOf = Callable[[str, int], date | None]
"""The day of a path and an mtime (ns since epoch)."""

_UNRECORDED = """
SELECT value FROM json_each(:days)
WHERE value NOT IN (SELECT day FROM day_manifest WHERE stream = :stream)
AND value NOT IN (SELECT day FROM look WHERE stream = :stream AND side = 'source' AND error IS NULL)
"""
_ADD_LISTED = """
INSERT OR IGNORE INTO file (stream, path, day, size, mtime_ns, sha256, side) VALUES (?, ?, ?, ?, ?, ?, 'source')
"""
_ADD_VANISHED = """
INSERT OR IGNORE INTO vanished (stream, path, day, size, mtime_ns, sha256, since, accepted)
VALUES (?, ?, ?, ?, ?, ?, unixepoch(), nullif(?, ''))
"""
type _Row = tuple[str, str, str, int, int, str | None]
_NAME = re.compile(r"([0-9]{1,18})_(source|vanished)\.tsv")


class EarlierEvidence(Tables):
    """Takes days over into the tables of open evidence."""

    def take_over(
        self, stream: str, days: Sequence[date], finalizations: Finalizations, day_of: DayOf
    ) -> dict[date, str]:
        """Take over the days of which this database has recorded nothing yet.

        Returns day -> why it cannot be taken over. The next verification tries it again.
        """
        errors = dict[date, str]()
        rows = self._db.execute(_UNRECORDED, {"stream": stream, "days": json.dumps([str(day) for day in days])})
        for day in [date.fromisoformat(text) for (text,) in rows]:
            try:
                self._take_over(stream, day, finalizations, day_of)
            except EvidenceError as error:
                errors[day] = str(error)
        return errors

    def _take_over(self, stream: str, day: date, finalizations: Finalizations, day_of: DayOf) -> None:
        newest, rows = _newest_files(finalizations.layout.day_manifests(stream, day)), _Rows(stream, day, day_of)
        lost = [*rows.lost(finalizations)]
        if not newest and not lost:
            return
        try:
            with self._writing() as db:  # where a line is damaged, nothing of the day is taken over
                if (file := newest.get("vanished")) is not None:
                    db.executemany(_ADD_VANISHED, rows.vanished(file))
                db.executemany(_ADD_VANISHED, lost)
                if (file := newest.get("source")) is not None:
                    db.executemany(_ADD_LISTED, rows.listed(file))
        except EvidenceError as error:
            raise EvidenceError(
                f"{error}. A lost evidence database has left this file. Replace it by its backup; or move it away, and "
                "verify the day again: then files that the source had lost before are not expected any more."
            ) from None


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a day that is taken over; :class:`EvidenceError` where a file is damaged, or of another day."""

    stream: str
    day: date
    day_of: DayOf

    def listed(self, file: Path) -> Iterator[_Row]:
        """Yield the files that the source had at its last listing."""
        for path, record in vanished_manifest.read_side(file):
            yield self._row(file, path, record)

    def vanished(self, file: Path) -> Iterator[tuple[*_Row, str]]:
        """Yield the files that it had lost before."""
        for vanished in vanished_manifest.read(file):
            yield *self._row(file, vanished.path, vanished.record), vanished.accepted

    def lost(self, finalizations: Finalizations) -> Iterator[tuple[*_Row, str]]:
        """Yield the files that an operator has accepted as lost, by the finalization; most days have none."""
        finalization = finalizations.read(self.day)
        if finalization is None or not finalization.lost:
            return
        finalizations.proved(self.day)  # raises where the manifest is damaged
        file = finalizations.manifest(self.day, finalization.revision)
        for path, record in manifest.read(file):
            if record.error == manifest.LOST:
                yield *self._row(file, path, record), Acceptance.LOST.value

    def _row(self, file: Path, path: str, record: FixityRecord) -> _Row:
        if not vanished_manifest.is_storable(record) or self.day_of(path, record.version.mtime_ns) != self.day:
            raise EvidenceError(f"{file}: {path} is no file of {self.day}")
        return self.stream, path, str(self.day), *record.version, record.sha256


def _newest_files(directory: Path) -> dict[str, Path]:
    """Find the newest manifest of the source, and the file of the vanished files unless it is older."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise EvidenceError(f"{directory}: {error.strerror}") from None
    newest = dict[str, tuple[int, Path]]()
    for match in filter(None, map(_NAME.fullmatch, names)):
        found = int(match[1]), directory / match[0]
        newest[match[2]] = max(newest.get(match[2], found), found)
    # A manifest of the source without a file of vanished files beside it: the day had none any more.
    if newest.get("vanished", (0,))[0] < newest.get("source", (0,))[0]:
        newest.pop("vanished", None)
    return {kind: path for kind, (_, path) in newest.items()}
