"""Repairing a day's copy in the archive: exactly the files that are wrong there, and only where the right one is known.

A file here is right when another place says so too: the source has the same bytes, or the manifest with which the day
was finalized. Two that differ, and nobody else, is no proof, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from aurora_platform.archive.compare import GAPS, Bounds, Class, Clocks, compare_day
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.verify_days import Verification
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import Side


class Cure(StrEnum):
    """What would make a file right."""

    SEND = "send again"
    FETCH = "fetch again"
    TIME = "set its mtime"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class Mend:
    """A file of a day that is not right in one of our two places."""

    path: str
    wrong: str
    cure: Cure
    why: str
    right: FileVersion | None
    """What it should be; None where nobody can tell."""


def plan_repair(verification: Verification, day: date) -> Iterator[Mend]:
    """What is wrong with a day's files, by the evidence of now, and what would cure it."""
    evidence, archive = verification.evidence, verification.archive
    clocks = Clocks.of(
        evidence.looks(verification.name, day), Bounds(here=archive.local_pending, archive=archive.pending)
    )
    proved = verification.finalizations.proved(day)
    for compared, places in compare_day(
        evidence.files(verification.name, day),
        clocks,
        finalized=proved,
        released=evidence.released(verification.name, day),
    ):
        right = compared.right
        if compared.here in GAPS:
            cure, why = _cure_here(compared.here, places, proved.get(compared.path))
            if cure is Cure.TIME:
                right = proved.get(compared.path)
            yield Mend(compared.path, f"{compared.here} here", cure, why, right.version if right else None)
        elif compared.archive in GAPS:
            cure, why = _cure_there(places, proved.get(compared.path))
            yield Mend(compared.path, f"{compared.archive} in the archive", cure, why, right.version if right else None)


def _cure_there(places: Mapping[Side, FixityRecord], finalized: FixityRecord | None) -> tuple[Cure, str]:
    local = places.get("local")
    if local is None:
        return Cure.NONE, "there is no copy here to send"
    if local.sha256 is None:
        return Cure.NONE, f"the copy here could not be read ({local.error or 'not yet'})"
    source = places.get("source")
    if source is not None and source.sha256 == local.sha256:
        return Cure.SEND, "the source has the same bytes as the copy here"
    if finalized is not None and finalized.sha256 == local.sha256:
        return Cure.SEND, "the copy here is what the day was finalized with"
    return Cure.NONE, "nobody vouches for the copy here: the source does not have it, and the day was never complete"


def _cure_here(found: Class, places: Mapping[Side, FixityRecord], finalized: FixityRecord | None) -> tuple[Cure, str]:
    source, gws = places.get("source"), places.get("gws")
    if source is None:
        if found is Class.MTIME and _has(places.get("local"), finalized):
            return Cure.TIME, "its bytes are those that the day was finalized with"
        return Cure.NONE, _BY_HAND if _has(gws, finalized) else "the source does not have it, and no good copy is known"
    if found is not Class.CHECKSUM:
        return Cure.NONE, "the mirror brings it: `aurora sync`"
    if gws is not None and source.sha256 == gws.sha256:
        return Cure.FETCH, "source and archive have the same bytes, other than the copy here"
    if finalized is not None and source.sha256 == finalized.sha256:
        return Cure.FETCH, "the source has what the day was finalized with, the copy here has not"
    if _has(gws, finalized):
        return Cure.NONE, "the archive has what the day was finalized with, the source has not: look at the file"
    return Cure.NONE, "of three places no two agree: look at the file"


_BY_HAND = (
    "the source does not have it; the archive has what the day was finalized with: move the copy here away and copy "
    "that one back"
)


def _has(place: FixityRecord | None, finalized: FixityRecord | None) -> bool:
    """Whether a place has the bytes that a day was finalized with."""
    return place is not None and finalized is not None and place.sha256 == finalized.sha256
