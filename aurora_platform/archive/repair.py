"""Plans the repair of a day: only files that are wrong, and only where the right version is proved.

A local file is right when a second witness agrees: the source, or the finalized manifest, has the same bytes. Where the
source does not have a file any more, the finalized manifest tells which version is right, and a local file that differs
is restored from the archive. Where two sides differ and there is no third witness, nothing is proved and nothing is
done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from aurora_platform.archive.compare import PROBLEMS, Bounds, Clocks, MatchClass, compare_day
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.verify_days import Verification
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import Side


class RepairKind(StrEnum):
    """The action that makes a file right."""

    SEND = "send again"
    FETCH = "fetch again"
    RESTORE = "restore from the archive"
    TIME = "set its mtime"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class RepairStep:
    """A file of a day that is wrong, local or in the archive, and the action that makes it right."""

    path: str
    wrong: str
    kind: RepairKind
    why: str
    right: FileVersion | None
    """The version that it should be; None where it is unknown."""
    sha256: str | None = None
    """The checksum of the version that it should be; None where it is unknown."""


def plan_repair(verification: Verification, day: date) -> Iterator[RepairStep]:
    """Yield a step for each wrong file of a day, by the evidence in the database."""
    evidence, archive = verification.evidence, verification.archive
    listings = evidence.listings(verification.name, day)
    clocks = Clocks.of(listings, Bounds(local=archive.local_pending, archive=archive.pending))
    is_source_seen = (listing := listings.get("source")) is not None and listing.error is None
    records = verification.records_of(day)
    proved = records.finalized
    for compared, by_side in compare_day(evidence.files(verification.name, day), clocks, records):
        right = compared.right
        if compared.local in PROBLEMS:
            source = by_side.get("source")
            is_source_right = is_source_seen and (source is None or not records.is_held(compared.path, source))
            last = proved.get(compared.path) or records.vanished.get(compared.path)
            kind, why = _step_for_local(compared.local, by_side, last, is_source_right=is_source_right)
            if kind in (RepairKind.TIME, RepairKind.RESTORE):
                right = last
            wrong = f"{compared.local} locally"
            sha256 = right.sha256 if right else None
            yield RepairStep(compared.path, wrong, kind, why, right.version if right else None, sha256)
        elif compared.archive in PROBLEMS:
            kind, why = _step_for_archive(by_side, proved.get(compared.path))
            wrong = f"{compared.archive} in the archive"
            yield RepairStep(compared.path, wrong, kind, why, right.version if right else None)


def _step_for_archive(by_side: Mapping[Side, FixityRecord], finalized: FixityRecord | None) -> tuple[RepairKind, str]:
    local = by_side.get("local")
    if local is None:
        return RepairKind.NONE, "there is no local copy to send"
    if local.sha256 is None:
        return RepairKind.NONE, f"the local copy could not be read ({local.error or 'not yet'})"
    source = by_side.get("source")
    if source is not None and source.sha256 == local.sha256:
        return RepairKind.SEND, "the source has the same bytes as the local copy"
    if finalized is not None and finalized.sha256 == local.sha256:
        return RepairKind.SEND, "the local copy is the finalized version"
    if finalized is not None:
        return RepairKind.NONE, "neither the local copy nor the archive has the finalized version: inspect the file"
    return RepairKind.NONE, "the local copy is not proved right: the source does not have its bytes"


def _step_for_local(
    found: MatchClass, by_side: Mapping[Side, FixityRecord], last: FixityRecord | None, *, is_source_right: bool
) -> tuple[RepairKind, str]:
    """``last`` is the finalized version, or the last one that the source had."""
    source, gws = by_side.get("source"), by_side.get("gws")
    if source is None or not is_source_right:
        if found is MatchClass.MTIME and _has_bytes(by_side.get("local"), last):
            return RepairKind.TIME, "its bytes are those of the finalized version"
        if _has_bytes(gws, last):
            return RepairKind.RESTORE, "the archive has the right version, the source does not (any more)"
        return RepairKind.NONE, _NO_GOOD_COPY if source is None else _HELD_BACK
    if found is not MatchClass.CHECKSUM:
        return RepairKind.NONE, "the mirror copies it: `aurora sync`"
    if gws is not None and source.sha256 == gws.sha256:
        return RepairKind.FETCH, "source and archive have the same bytes, the local copy has others"
    if last is not None and source.sha256 == last.sha256:
        return RepairKind.FETCH, "the source has the finalized version, the local copy has not"
    if _has_bytes(gws, last):
        return RepairKind.RESTORE, "the archive has the finalized version, the source has not"
    return RepairKind.NONE, "source, local copy and archive all differ: inspect the file"


_HELD_BACK = (
    "no good copy is known, and the source has another version, which is held back. Compare; then `aurora accept`"
)
_NO_GOOD_COPY = (
    "the source does not have it, and no good copy is known. If nobody can bring it back: `aurora accept --lost`"
)


def _has_bytes(record: FixityRecord | None, right: FixityRecord | None) -> bool:
    """Whether a side has the right bytes, by checksums that were both read."""
    return record is not None and right is not None and record.sha256 is not None and record.sha256 == right.sha256
