"""Compares a file of a collection of products, local with the archive; a finalization says which version is right.

Two places have no third witness. So a file with its finalized version is compared with the finalization, on each side;
a new version is compared between the two sides: products are made again by our own runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from aurora_platform.archive.compare import EXPECT_ALL_NS, Compared, MatchClass, class_of
from aurora_platform.archive.fixity_record import FixityRecord

# Reading failed because the file was written or replaced meanwhile: the next listing has its new version.
_WRITTEN = ("changed since it was listed", "changed while it was read", "not there")


@dataclass(frozen=True)
class ProductClocks:
    """What is not expected in the archive yet."""

    expected_ns: int
    """The newest mtime (ns since epoch) of files that are expected."""
    queued: Collection[str]
    """Paths of the files that wait for the next push."""


def compare_product(
    path: str,
    local: FixityRecord | None,
    archived: FixityRecord | None,
    finalized: FixityRecord | None,
    clocks: ProductClocks,
    *,
    is_needed: bool,
    is_database: bool = False,
) -> Compared:
    """Compare one file.

    Parameters
    ----------
    local, archived, finalized
        Its record in each place, and in the finalization; at least one is there.
    is_needed
        Whether a finalized file must be on this machine; a registered one is its program's to delete.
    is_database
        Whether its local size is not that of a backup: the size of the same version may differ.
    """
    if local is None:
        wrong = MatchClass.MISSING if is_needed and finalized is not None else MatchClass.EXTRA
        found = MatchClass.EXTRA if finalized is None else class_of(finalized, archived, EXPECT_ALL_NS)
        return Compared(path, wrong, found, finalized)
    # Other bytes, or another size, with the finalized mtime: nobody has made it again, so it is damaged.
    has_its_mtime = finalized is not None and finalized.version.mtime_ns == local.version.mtime_ns and not is_database
    if finalized is not None and (has_its_mtime or finalized.version.same_as(local.version)):
        right, own = finalized, _unless_written(class_of(finalized, local, EXPECT_ALL_NS), local)
    else:  # the local file is what the archive is compared with
        right, own = local, MatchClass.IDENTICAL if local.error in (None, *_WRITTEN) else MatchClass.UNREAD
    found = _unless_written(class_of(right, archived, clocks.expected_ns), archived)
    if own is MatchClass.UNREAD or (local.error in _WRITTEN and right is local):
        found = MatchClass.MISSING if found is MatchClass.MISSING else MatchClass.PENDING
    # A finalized version was in the archive once: the queue does not excuse that it is gone.
    is_on_its_way = right is local and path in clocks.queued
    if is_on_its_way and found in (MatchClass.MISSING, MatchClass.SIZE, MatchClass.MTIME):
        found = MatchClass.PENDING
    return Compared(path, own, found, right)


def _unless_written(found: MatchClass, record: FixityRecord | None) -> MatchClass:
    is_written = found is MatchClass.UNREAD and record is not None and record.error in _WRITTEN
    return MatchClass.PENDING if is_written else found
