"""Finalizations: the word, here and in the archive, that a UTC day is complete there, with its manifest.

``<manifests>/finalized/<stream>/<day>_<stream>_finalized.yaml`` says ``complete: true`` with the number of files and
bytes, the sub-directories, and the name and digest of the day's manifest beside it. When a late file reopens the day,
or the archive no longer has what was proved, the same file says ``complete: false`` and why, until the day is complete
again. It is never deleted, here or there: whoever reads the archive reads ``complete``. Each revision has a manifest of
its own name, so no word ever stands beside a manifest that it was not written for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml

from aurora_platform.archive import manifest
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.atomic import Staging, publish_file
from aurora_platform.layout import ManifestLayout
from aurora_platform.text import printable

_MAX_BYTES = 1 << 22
# What reading a file may end in that somebody else has written, or that a disk has damaged.
_DAMAGE = (
    *(yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError),
    OSError,
)


@dataclass(frozen=True, slots=True)
class Finalization:
    """What is said of a day."""

    complete: bool
    manifest_sha256: str
    files: int
    revision: int
    why: str = ""


class Finalizations:
    """The finalizations of one stream."""

    def __init__(self, layout: ManifestLayout, stream: str, instance: str, there: str, staging: Staging) -> None:
        """``there`` is the stream's directory in the archive, below which the manifests' paths are."""
        self.layout = layout
        self.directory = layout.finalized(stream)
        self.stream = stream
        self.instance = instance
        self.there = there
        self.staging = staging

    def file(self, day: date) -> Path:
        return self.layout.finalization(self.stream, day)

    def manifest(self, day: date, revision: int) -> Path:
        return self.layout.manifest(self.stream, day, revision)

    def of(self, day: date) -> Finalization | None:
        """What is said of a day; :class:`EvidenceError` where that cannot be read."""
        try:
            with self.file(day).open("rb") as file:
                data = yaml.safe_load(file.read(_MAX_BYTES))
            return Finalization(
                complete=bool(data["complete"]),
                manifest_sha256=str(data["manifest_sha256"]),
                files=int(data["files"]),
                revision=int(data["revision"]),
                why=str(data.get("why", "")),
            )
        except FileNotFoundError:
            return None
        except _DAMAGE as error:
            raise EvidenceError(
                f"{self.file(day)}: not a finalization ({_in_one_line(error)}). Put the archive's copy in its place, "
                "or move it away, and verify the day again."
            ) from None

    def files(self, day: date) -> list[Path]:
        """What there is to copy to the archive: the manifest first, then the word about it."""
        said = self.of(day)
        if said is None:
            return []
        if not self.manifest(day, said.revision).is_file():
            raise self._not_its_manifest(day, said)
        return [self.manifest(day, said.revision), self.file(day)]

    def proved(self, day: date) -> dict[str, FixityRecord]:
        """The files that were proved to be in the archive when the day was last complete."""
        said = self.of(day)
        if said is None:
            return {}
        place = self.manifest(day, said.revision)
        try:
            # Published after its manifest and never without; so somebody else has been at it.
            if manifest.digest_of(place) != said.manifest_sha256:
                raise self._not_its_manifest(day, said)
            return dict(manifest.read(place))
        except _DAMAGE as error:
            raise self._not_its_manifest(day, said, _in_one_line(error)) from None

    def _not_its_manifest(self, day: date, said: Finalization, why: str = "") -> EvidenceError:
        return EvidenceError(
            f"{self.manifest(day, said.revision)}: not the manifest that {self.file(day).name} was written for"
            f"{f' ({why})' if why else ''}. Put the archive's copy in its place, or move both away, and verify the day "
            "again."
        )

    def complete(self, day: date, files: Iterable[tuple[str, FixityRecord]]) -> bool:
        """Say that a day is complete; returns whether that was news."""
        said = self.of(day)
        with self.staging.claim(f"finalized.{self.stream}.{day}") as place:
            place.mkdir()
            listed = list(files)
            count, sha256 = manifest.write(place / "manifest", listed)
            if said is not None and said.complete and said.manifest_sha256 == sha256:
                return False
            revision = said.revision + 1 if said else 1
            publish_file(place / "manifest", self.manifest(day, revision))
            data = {
                "stream": self.stream,
                "day": day.isoformat(),
                "complete": True,
                "files": count,
                "bytes": sum(record.version.size for _, record in listed),
                "sub_directories": sorted({os.path.dirname(path) for path, _ in listed} - {""}),
                "manifest": self.manifest(day, revision).name,
                "manifest_sha256": sha256,
                "directory": self.there,
                "instance": self.instance,
                "finalized_at": _now(),
                "revision": revision,
            }
            self._say(place, day, data)
        return True

    def withdraw(self, day: date, why: str) -> bool:
        """Say that a day is not complete any more; returns whether that was news."""
        said = self.of(day)
        if said is None or not said.complete:
            return False
        with self.staging.claim(f"finalized.{self.stream}.{day}") as place:
            place.mkdir()
            data = yaml.safe_load(self.file(day).read_bytes())
            self._say(place, day, data | {"complete": False, "why": why, "withdrawn_at": _now()})
        return True

    def _say(self, place: Path, day: date, data: dict[str, Any]) -> None:
        staged = place / "word"
        staged.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
        publish_file(staged, self.file(day))


def _in_one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(text.split()) or type(error).__name__)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
