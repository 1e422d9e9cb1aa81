"""Finalizations: files, local and in the archive, which say that a UTC day is complete in the archive.

``<manifests>/finalized/<stream>/<day>_<stream>_finalized.yaml`` has ``complete: true``, the number of files and bytes,
the sub-directories, and the name and checksum of the day's manifest beside it. When a late file reopens the day, or the
archive no longer has a proved file, the same file has ``complete: false`` and the reason, until the day is complete
again. It is never deleted, neither local nor in the archive: readers of the archive check ``complete``. Each revision
has a manifest of its own name, so a finalization never stands beside a manifest of another revision.

Products have the same files, below the name of their collection. Those without a day are in one list of their own:
``list_<collection>_finalized.yaml``.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from aurora_platform.archive import manifest
from aurora_platform.archive.finalization import (
    DAMAGE,
    MAX_BYTES,
    MOST,
    Finalization,
    newest_revisions,
    parse_finalization,
)
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.atomic import publish_file
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.staging import Staging
from aurora_platform.layout import COLLECTIONS, FinalizedKey, ManifestLayout, read_finalized_key
from aurora_platform.text import printable

_DAMAGED_REVISION = MOST
_NEXT_STEP = (
    "Move it away, and verify the day again: that fetches its copy and the manifest back from archive.manifests."
)
_REVISION = re.compile(rb"^revision: ([0-9]{1,9})$", re.MULTILINE)


class Finalizations:
    """The finalizations of one stream, or of one collection of products."""

    def __init__(
        self,
        layout: ManifestLayout,
        stream: str,
        instance: str,
        archive_root: str,
        staging: Staging,
        published: Callable[[], Mapping[FinalizedKey, int]] = dict,
    ) -> None:
        """Open the finalizations.

        Parameters
        ----------
        archive_root
            The stream's directory in the archive; the paths in the manifests are relative to it.
        published
            Returns the newest revision of each finalization that was ever published, by other records than its file; 0
            where none was copied to the archive.
        """
        self.layout = layout
        self.directory = layout.finalized(stream)
        self.stream = stream
        self.instance = instance
        self.archive_root = archive_root
        self.staging = staging
        self._read_published = published

    @cached_property
    def _published(self) -> Mapping[FinalizedKey, int]:
        return self._read_published()

    def file(self, day: FinalizedKey) -> Path:
        return self.layout.finalization(self.stream, day)

    def all_keys(self) -> Iterator[FinalizedKey]:
        """Yield the days that have a finalization, and the own list of a collection, in the order of the names."""
        end = f"_{self.stream}_finalized.yaml"
        for file in sorted(self.directory.glob(f"*{end}")):
            key = file.name.removesuffix(end)
            with suppress(ValueError):  # not of ours
                yield read_finalized_key(key)

    def manifest(self, day: FinalizedKey, revision: int) -> Path:
        return self.layout.manifest(self.stream, day, revision)

    def read(self, day: FinalizedKey) -> Finalization | None:
        """Read the finalization of a day; None without one; :class:`EvidenceError` where it cannot be read."""
        try:
            with self.file(day).open("rb") as file:
                return parse_finalization(file.read(MAX_BYTES))
        except FileNotFoundError:
            return None
        except DAMAGE as error:
            raise EvidenceError(f"{self.file(day)}: not a finalization ({_in_one_line(error)}). {_NEXT_STEP}") from None

    def files(self, day: FinalizedKey) -> list[Path]:
        """Return the files to copy to the archive: the manifest first, then the finalization that names it.

        Raises
        ------
        EvidenceError
            Where one of them is damaged: the archive's copies may be the only good ones.
        """
        finalization = self.read(day)
        if finalization is None:
            return []
        self._require_manifest(day, finalization)
        return [self.manifest(day, finalization.revision), self.file(day)]

    def earlier_manifests(self, day: FinalizedKey) -> list[Path]:
        """Return the manifests of earlier revisions."""
        finalization = self.read(day)
        newest = finalization.revision if finalization is not None else 0
        files = self.directory.glob(f"{day}_{self.stream}_manifest_r*.tsv")
        revisions = ((newest_revisions(self.stream, [file.name]).get(day, 0), file) for file in files)
        return [file for number, file in sorted(revisions) if 0 < number < newest]

    def why_missing(self, day: FinalizedKey) -> str:
        """The next step where a finalization was published, and is missing on this machine or older; else empty."""
        if day not in self._published or self._local_revision(day) >= max(1, self._published[day]):
            return ""
        option = f" --day {day}" if isinstance(day, date) and self.stream not in COLLECTIONS else ""
        return (
            f"the finalization of its {'day' if isinstance(day, date) else 'list'} is missing here, or older than that "
            f"of the archive. The next verification fetches {self.file(day).name} and its manifest back from "
            f"archive.manifests; where it cannot: aurora accept {self.stream}{option}"
        )

    def _local_revision(self, day: FinalizedKey) -> int:
        """The revision of a finalization on this machine; 0 without one. One that is damaged is reported by others."""
        try:
            revision = _REVISION.search(self.file(day).read_bytes())
        except FileNotFoundError:
            return 0
        except OSError:
            return _DAMAGED_REVISION
        return int(revision[1]) if revision is not None else _DAMAGED_REVISION

    @property
    def has_any(self) -> bool:
        """Whether any finalization was ever published."""
        return bool(self._published)

    def missing_keys(self, keys: Collection[FinalizedKey] | None = None) -> list[FinalizedKey]:
        """Return which of these finalizations, or of all, were published and are missing on this machine, or older."""
        return [key for key in self._published if (keys is None or key in keys) and self.why_missing(key)]

    def is_superseded(self, day: FinalizedKey, revision: int) -> bool:
        """Whether a newer revision than this one was published."""
        return revision < self._published.get(day, 0)

    def archived_path(self, file: Path) -> str:
        """Return the path of a finalization, or of a manifest, in the archive, relative to ``archive.manifests``."""
        return str(file.relative_to(self.layout.root))

    def proved(self, day: FinalizedKey) -> dict[str, FixityRecord]:
        """Return the files that were proved in the archive when the day was last complete.

        Raises
        ------
        EvidenceError
            Where the finalization is damaged, or missing on this machine: what it vouches for is unknown.
        """
        return {path: record for path, record in self.lines(day).items() if manifest.is_listed(record)}

    def lines(self, day: FinalizedKey) -> dict[str, FixityRecord]:
        """Return all lines of the newest manifest of a day: also files that are lost, and those of earlier revisions.

        See :meth:`proved` for its errors.
        """
        if why := self.why_missing(day):
            raise EvidenceError(why)
        finalization = self.read(day)
        if finalization is None:
            return {}
        self._require_manifest(day, finalization)
        path = self.manifest(day, finalization.revision)
        try:
            return dict(manifest.read(path))
        except DAMAGE as error:
            raise self._manifest_error(day, finalization, _in_one_line(error)) from None

    def _require_manifest(self, day: FinalizedKey, finalization: Finalization) -> None:
        """Raise :class:`EvidenceError` where the manifest of a finalization is missing or damaged.

        A finalization is published after its manifest, never without; so another program changed the manifest.
        """
        try:
            is_intact = manifest.sha256_of(self.manifest(day, finalization.revision)) == finalization.manifest_sha256
        except OSError as error:
            raise self._manifest_error(day, finalization, _in_one_line(error)) from None
        if not is_intact:
            raise self._manifest_error(day, finalization)

    def _manifest_error(self, day: FinalizedKey, finalization: Finalization, why: str = "") -> EvidenceError:
        return EvidenceError(
            f"{self.manifest(day, finalization.revision)}: not the manifest that {self.file(day).name} was written for"
            f"{f' ({why})' if why else ''}. {_NEXT_STEP}"
        )

    def fingerprint(self, day: FinalizedKey) -> str:
        """Return a SHA-256 over the bytes of a day's finalization and of its manifest; empty without one.

        It is equal only as long as both files are. No file is parsed: a damaged one has another fingerprint.
        """
        try:
            text = self.file(day).read_bytes()
            revision = _REVISION.search(text)
            number = int(revision[1]) if revision is not None else 0
            return hashlib.sha256(text + bytes.fromhex(manifest.sha256_of(self.manifest(day, number)))).hexdigest()
        except OSError:
            return ""

    def complete(
        self,
        day: FinalizedKey,
        files: Iterable[tuple[str, FixityRecord]],
        lost: Iterable[tuple[str, FixityRecord]] = (),
        *,
        is_sent: Callable[[], bool] = lambda: False,
        replaced: Collection[str] = (),
        why_not: str = "",
    ) -> bool:
        """Publish that a day is complete, or with ``why_not`` only its files; returns whether that changed anything.

        Parameters
        ----------
        day, files
            What is complete, and its files.
        lost
            The files of the source that are in no place any more, as an operator has accepted.
        is_sent
            Whether a push has sent some of these files since they were listed, or is sending them; nothing is published
            then. Called under the lock of :meth:`locked`.
        replaced
            Paths of which the archive was proved to have a newer version. Each other file of the revision before that
            is not among the files stays in the manifest as :data:`manifest.EARLIER`.
        why_not
            Why it is not complete, although all these files are vouched for.

        Raises
        ------
        EvidenceError
            Where the revision before is damaged or missing: what it vouches for is unknown.
        """
        listed = list(files)
        gone = [(path, replace(record, error=manifest.LOST)) for path, record in lost]
        others = {path for path, _ in (*listed, *gone)}.union(replaced)
        before = ((path, record) for path, record in self.lines(day).items() if path not in others)
        gone += [(path, replace(record, sha256=None, error=manifest.EARLIER)) for path, record in before]
        earlier = self.read(day)
        # Most days are complete as before: then nothing is written, and no lock is taken.
        sha256 = manifest.sha256_of_files([*listed, *gone])
        if earlier is not None and earlier.complete is not bool(why_not) and earlier.manifest_sha256 == sha256:
            return False
        with self.locked(), self.staging.claim(f"finalized.{self.stream}.{day}") as staged:
            if is_sent():
                return False
            self._publish_revision(staged, day, listed, gone, _withdrawn(why_not) if why_not else {"complete": True})
        return True

    def remake(
        self,
        day: FinalizedKey,
        files: Iterable[tuple[str, FixityRecord]],
        why: str,
        earlier: Iterable[tuple[str, FixityRecord]] = (),
    ) -> None:
        """Publish a finalization that is not complete, in the place of a lost one: it only vouches for some files.

        ``earlier``: files that may have been in the lost one, and of which no checksum is known.
        """
        unread = [(path, replace(record, sha256=None, error=manifest.EARLIER)) for path, record in earlier]
        with self.locked(), self.staging.claim(f"finalized.{self.stream}.{day}") as staged:
            self._publish_revision(staged, day, list(files), unread, _withdrawn(why))

    def put_back(self, day: FinalizedKey, finalization: Path, fetched_manifest: Path, revision: int) -> None:
        """Publish a finalization and its manifest that were fetched from the archive, unless this one is newer."""
        with self.locked():
            if self._local_revision(day) < revision:
                publish_file(fetched_manifest, self.manifest(day, revision))
                publish_file(finalization, self.file(day))

    def _publish_revision(
        self,
        staged: Path,
        day: FinalizedKey,
        listed: Sequence[tuple[str, FixityRecord]],
        gone: Sequence[tuple[str, FixityRecord]],
        state: Mapping[str, Any],
    ) -> None:
        """Publish a new revision: its manifest, then the finalization that names it."""
        earlier = self.read(day)
        staged.mkdir()
        count, sha256 = manifest.write(staged / "manifest", [*listed, *gone])
        # Never a name that the archive has already, also where the earlier files are lost here.
        revision = max(earlier.revision if earlier else 0, self._published.get(day, 0)) + 1
        publish_file(staged / "manifest", self.manifest(day, revision))
        data = {
            "stream": self.stream,
            **({"day": day.isoformat()} if isinstance(day, date) else {}),
            "complete": True,
            "files": count,
            **({"lost": lost} if (lost := sum(record.error == manifest.LOST for _, record in gone)) else {}),
            "bytes": sum(record.version.size for _, record in listed),
            "sub_directories": sorted({os.path.dirname(path) for path, _ in listed} - {""}),
            "manifest": self.manifest(day, revision).name,
            "manifest_sha256": sha256,
            "directory": self.archive_root,
            "instance": self.instance,
            "finalized_at": _now(),
            "revision": revision,
        }
        self._publish(staged, day, data | dict(state))

    def withdraw(self, day: FinalizedKey, why: str) -> bool:
        """Publish that a day is not complete any more; returns whether that changed anything."""
        earlier = self.read(day)
        if earlier is None or not earlier.complete:
            return False
        with self.staging.claim(f"finalized.{self.stream}.{day}") as staged:
            staged.mkdir()
            data = yaml.safe_load(self.file(day).read_bytes())
            self._publish(staged, day, data | _withdrawn(why))
        return True

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lock under which finalizations are published: :mod:`aurora_platform.archive.sending`."""
        return hold_lock(self.staging.locks, f"finalizing.{self.stream}", self.staging.wait)

    def _publish(self, staged: Path, day: FinalizedKey, data: dict[str, Any]) -> None:
        path = staged / "finalization"
        path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
        publish_file(path, self.file(day))


def _withdrawn(why: str) -> dict[str, object]:
    return {"complete": False, "why": why, "withdrawn_at": _now()}


def _in_one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(text.split()) or type(error).__name__)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
