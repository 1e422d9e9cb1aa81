"""Plans the repair of a day: only files that are wrong, and only where the right version is proved.

A local file is right when a second witness agrees: the source, or the finalized manifest, has the same bytes. Where two
sides differ and there is no third witness, nothing is proved and nothing is done.
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


def plan_repair(verification: Verification, day: date) -> Iterator[RepairStep]:
    """Yield a step for each wrong file of a day, by the evidence in the database."""
    evidence, archive = verification.evidence, verification.archive
    clocks = Clocks.of(
        evidence.listings(verification.name, day), Bounds(local=archive.local_pending, archive=archive.pending)
    )
    records = verification.records_of(day)
    proved = records.finalized
    for compared, by_side in compare_day(evidence.files(verification.name, day), clocks, records):
        right = compared.right
        if compared.local in PROBLEMS:
            kind, why = _step_for_local(compared.local, by_side, proved.get(compared.path))
            if kind is RepairKind.TIME:
                right = proved.get(compared.path)
            yield RepairStep(compared.path, f"{compared.local} locally", kind, why, right.version if right else None)
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
    return (
        RepairKind.NONE,
        "the local copy is not proved right: the source does not have it, and its day was never complete",
    )


def _step_for_local(
    found: MatchClass, by_side: Mapping[Side, FixityRecord], finalized: FixityRecord | None
) -> tuple[RepairKind, str]:
    source, gws = by_side.get("source"), by_side.get("gws")
    if source is None:
        if found is MatchClass.MTIME and _has_finalized_bytes(by_side.get("local"), finalized):
            return RepairKind.TIME, "its bytes are those of the finalized version"
        return RepairKind.NONE, _BY_HAND if _has_finalized_bytes(gws, finalized) else _NO_GOOD_COPY
    if found is not MatchClass.CHECKSUM:
        return RepairKind.NONE, "the mirror copies it: `aurora sync`"
    if gws is not None and source.sha256 == gws.sha256:
        return RepairKind.FETCH, "source and archive have the same bytes, the local copy has others"
    if finalized is not None and source.sha256 == finalized.sha256:
        return RepairKind.FETCH, "the source has the finalized version, the local copy has not"
    if _has_finalized_bytes(gws, finalized):
        return RepairKind.NONE, "the archive has the finalized version, the source has not: inspect the file"
    return RepairKind.NONE, "source, local copy and archive all differ: inspect the file"


_NO_GOOD_COPY = "the source does not have it, and no good copy is known"
_BY_HAND = (
    "the source does not have it; the archive has the finalized version: move the local copy away and copy the "
    "archive's copy back"
)


def _has_finalized_bytes(record: FixityRecord | None, finalized: FixityRecord | None) -> bool:
    return record is not None and finalized is not None and record.sha256 == finalized.sha256
