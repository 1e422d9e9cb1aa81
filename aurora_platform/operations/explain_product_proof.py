"""What the verifications know of a product: whether it is finalized, and what the archive has of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from aurora_platform.archive import manifest
from aurora_platform.archive.compare import EXPECT_ALL_NS, PROBLEMS, MatchClass, class_of
from aurora_platform.archive.fixity_record import FixityRecord, ListingRecord
from aurora_platform.archive.product_proof import UNDATED
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.archive.selection import camera_product_day, collection_of
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import OWN_LIST, WXCAM, WXCAM_PRODUCTS, FinalizedKey, Side, evidence_name
from aurora_platform.operations.explain_answer import Conclusion, Context, State, is_finalized_version, time_of, written


@dataclass(frozen=True)
class ProductRecords:
    """The records of a product in the evidence, and in the finalization of its day or list."""

    collection: str
    finalized: FixityRecord | None = None
    is_earlier: bool = False
    """Whether only an earlier revision of the finalization lists it."""
    by_side: Mapping[Side, FixityRecord] = field(default_factory=dict)
    read_at: Mapping[Side, float] = field(default_factory=dict)
    listing: ListingRecord | None = None
    """Of the archive."""

    @property
    def is_listed(self) -> bool:
        """Whether the archive was listed; else nobody knows what it has."""
        return self.listing is not None and self.listing.error is None

    @property
    def in_archive(self) -> MatchClass:
        """The finalized version compared with that of the archive."""
        assert self.finalized is not None
        return class_of(self.finalized, self.by_side.get("gws"), EXPECT_ALL_NS)

    def is_finalized(self, version: FileVersion | None, side: Side) -> bool | None:
        """Whether a copy is the finalized version; None where no version is finalized, or there is no copy."""
        return is_finalized_version(self.finalized, version, self.sha256(side, version))

    def sha256(self, side: Side, version: FileVersion | None) -> str | None:
        """The checksum of a copy, where this version was read."""
        record = self.by_side.get(side)
        is_current = record is not None and version is not None and record.version.same_as(version)
        return record.sha256 if record is not None and is_current else None

    def listed_at(self) -> datetime | None:
        """When the archive was listed."""
        return time_of(self.listing.at) if self.listing is not None else None


def read_product_records(context: Context, path: str) -> ProductRecords | None:
    """Read the records of a product; None where it belongs to no collection, or there is no archive.

    Parameters
    ----------
    context
        What was asked; gets a problem where the records cannot be read.
    path
        The path, relative to ``paths.products``.
    """
    collection = collection_of(path, context.site.streams) if context.site.archive is not None else None
    if collection is None:
        return None
    records = ReadOnlyRecords(context.site)
    own = path.removeprefix(f"{WXCAM}/") if collection == WXCAM_PRODUCTS else path
    day = camera_product_day(own) if collection == WXCAM_PRODUCTS else None
    key: FinalizedKey = day or OWN_LIST
    nothing = dict[str, FixityRecord]()
    line = context.attempt("finalization", lambda: records.finalizations(collection).lines(key), nothing).get(own)
    is_listed = line is not None and manifest.is_listed(line)
    found = ProductRecords(collection, line if is_listed else None, line is not None and not is_listed)
    if not records.layout.fixity.exists():
        return found

    def read() -> ProductRecords:
        stored_as = evidence_name(collection)
        with records.evidence() as evidence:
            return replace(
                found,
                by_side=evidence.records_of(stored_as, own),
                read_at=evidence.read_times(stored_as, own),
                listing=evidence.listings(stored_as, UNDATED).get("gws"),
            )

    return context.attempt("evidence", read, found, records.layout.fixity)


def conclude_proof(records: ProductRecords | None, version: FileVersion | None) -> Conclusion | None:
    """The verdict on a finalized product that is missing or different in a place; None where nothing is wrong."""
    if records is None or records.finalized is None or not records.is_listed:
        return None
    repair, found = f"aurora repair {records.collection}", records.in_archive
    listed = f"listed on {written(records.listed_at())}"
    if version is None and found is MatchClass.IDENTICAL:
        sentence = "finalized, and not on this machine any more; the archive has the finalized version"
        command = f"{repair}; if it was deleted on purpose: aurora accept {records.collection} --lost"
        return Conclusion(State.MISSING_LOCAL, sentence, True, command=command)
    if version is None and found in PROBLEMS:
        sentence = f"finalized, and not on this machine any more; {found} in the archive ({listed})"
        command = "look for it in archive.versions and in backups, or make it again"
        return Conclusion(State.LOST, sentence, True, command=command)
    if version is None or not records.finalized.version.same_as(version) or found not in PROBLEMS:
        return None
    state = State.MISSING_IN_ARCHIVE if found is MatchClass.MISSING else State.DIFFERENT
    return Conclusion(state, f"finalized, and {found} in the archive ({listed})", True, command=repair)
