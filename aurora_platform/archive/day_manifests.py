"""Writes the manifest files of the days that a pass has compared or that have changed since; leaves all others alone.

``<manifests>/days/<stream>/<day>/<revision>_{source,local,gws}.tsv``, and ``<revision>_vanished.tsv`` where the source
has lost files of the day (:mod:`aurora_platform.archive.vanished_manifest`): a file never changes under its name. The
day records of the evidence say which revision is current. A killed pass leaves the current files of a day as they were,
and perhaps files of a revision that no record names; the next pass writes the day again and removes them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import date
from itertools import batched, chain
from pathlib import Path

from aurora_platform.archive import manifest, vanished_manifest
from aurora_platform.archive.compare import DIFFERENT, MatchClass, Verdict
from aurora_platform.archive.day_records import DayCounts, DayRecord, DayState
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.verdicts import read_verdict
from aurora_platform.fs.atomic import publish_file
from aurora_platform.fs.staging import Staging
from aurora_platform.layout import SIDES, ManifestLayout, Side

_BATCH = 100  # days per transaction


class DayManifests:
    """The manifests of the days of one stream."""

    def __init__(self, layout: ManifestLayout, staging: Staging, stream: str, evidence: Evidence) -> None:
        self._layout = layout
        self._staging = staging
        self._stream = stream
        self._evidence = evidence

    def update(
        self, finalizations: Finalizations, compared: Collection[date], uncompared: Collection[date] = ()
    ) -> list[date]:
        """Write the files and records of each day that has changed, where it has a verdict; returns these days.

        The caller holds the lock of the stream's verification. Days without a verdict keep their files and records,
        because their counts would not fit newer files.

        Parameters
        ----------
        finalizations
            Those of the stream.
        compared
            The days that the pass has compared; other days may have changed since the last pass too.
        uncompared
            The days whose comparison failed.
        """
        days = self._evidence.days
        changed = days.changed(self._stream)
        verdicts = self._evidence.verdicts(self._stream)
        states = days.states(self._stream, list(compared)) if compared else {}
        wanted = []
        for day in sorted(changed | set(compared)):
            if day in verdicts:
                fingerprint = finalizations.fingerprint(day) if day in compared else ""
                if day in changed or _differs(states.get(day), verdicts[day], fingerprint):
                    wanted.append((day, verdicts[day], fingerprint))
        revision = days.next_revision(self._stream)
        for part in batched(wanted, _BATCH):
            self._write_part(revision, part)
        days.withdraw(self._stream, revision, uncompared)
        return [day for day, _, _ in wanted]

    def sweep(self, days: Collection[date]) -> None:
        """Remove the files of other revisions of some days, which a pass has replaced, or a killed pass has left.

        A history that has a file keeps its own link to it.
        """
        written = self._evidence.days.of_stream(self._stream).files
        for day in days:
            directory = self._layout.day_manifests(self._stream, day)
            with suppress(FileNotFoundError):  # a day without files has no directory
                names, revision = os.listdir(directory), written.get(day, 0)
                current = {self._layout.day_manifest(self._stream, day, revision, side) for side in SIDES}
                current.add(self._layout.vanished_manifest(self._stream, day, revision))
                for path in (directory / name for name in names):
                    if path not in current:
                        path.unlink(missing_ok=True)

    def _write_part(self, revision: int, part: Sequence[tuple[date, str, str]]) -> None:
        days, records = self._evidence.days, dict[date, DayRecord]()
        days.begin(self._stream, [day for day, _, _ in part])
        with self._staging.claim(f"days.{self._stream}") as staged:
            staged.mkdir()
            for day, text, fingerprint in part:
                if (verdict := read_verdict(text)) is not None:
                    counts, is_written = self._write_day(day, revision, verdict, staged)
                    records[day] = DayRecord(revision if is_written else 0, text, fingerprint, counts)
        days.save(self._stream, revision, records)

    def _write_day(self, day: date, revision: int, verdict: Verdict, staged: Path) -> tuple[DayCounts, bool]:
        """Write the manifests of a day that has files, or had some at its source.

        Returns the counts of their lines and of the verdict, and whether the day has manifests.
        """
        lines, newest = dict.fromkeys(SIDES, 0), dict[Side, int]()
        rows, vanished = self._evidence.files(self._stream, day), self._evidence.vanished.of_day(self._stream, day)
        first = next(rows, None)
        if first is None and not vanished:
            return _counts(lines, newest, verdict), False
        if vanished:  # before the others: where a manifest of the source is, that of its vanished files is complete
            vanished_manifest.write(staged / "vanished", vanished)
            publish_file(staged / "vanished", self._layout.vanished_manifest(self._stream, day, revision))
        with ExitStack() as opened:
            files = {side: opened.enter_context((staged / side).open("wb")) for side in SIDES}
            for file in files.values():
                file.write(manifest.HEADER.encode())
            for path, by_side in chain([first] if first else [], rows):
                for side, record in by_side.items():
                    files[side].write(manifest.line_of(path, record))
                    lines[side] += 1
                    newest[side] = max(newest.get(side, record.version.mtime_ns), record.version.mtime_ns)
        for side in SIDES:
            publish_file(staged / side, self._layout.day_manifest(self._stream, day, revision, side))
        return _counts(lines, newest, verdict), True


def _differs(state: DayState | None, verdict: str, fingerprint: str) -> bool:
    return state is None or (state.verdict, state.finalization) != (verdict, fingerprint)


def _counts(lines: Mapping[Side, int], newest: Mapping[Side, int], verdict: Verdict) -> DayCounts:
    def total(classes: Mapping[str, int], *names: MatchClass) -> int:
        return sum(classes.get(name, 0) for name in names)

    return DayCounts(
        source_count=lines["source"],
        local_count=lines["local"],
        gws_count=lines["gws"],
        source_newest_ns=newest.get("source"),
        gws_newest_ns=newest.get("gws"),
        local_missing_count=total(verdict.local_classes, MatchClass.MISSING),
        local_mismatch_count=total(verdict.local_classes, *DIFFERENT),
        gws_missing_count=total(verdict.archive_classes, MatchClass.MISSING),
        gws_mismatch_count=total(verdict.archive_classes, *DIFFERENT),
        pending_count=verdict.pending,
        identical_count=verdict.proved,
        is_final=int(verdict.is_final),
    )
