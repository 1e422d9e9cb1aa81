"""Compares a day on its three sides, path by path: identical, missing, different or pending.

Each file is compared twice: the **local** copy with the source, and the **archive** copy with the local one. Where the
source or the local file no longer exists, the record of the right version takes its place: the finalized manifest, or
the record of deleted local copies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from aurora_platform.archive.change_rule import ChangeState, Decision
from aurora_platform.archive.fixity_record import FixityRecord, ListingRecord
from aurora_platform.fs.versions import as_ns
from aurora_platform.layout import Side
from aurora_platform.report_fields import BYTES, RARE, SHOWN, Show
from aurora_platform.text import MOST_NAMED, counted, human_size, printable


class MatchClass(StrEnum):
    """The result of comparing a path on one side with another."""

    IDENTICAL = "identical"  # size, mtime and SHA-256, all three read
    MISSING = "missing"
    SIZE = "different size"
    MTIME = "different mtime"
    CHECKSUM = "different checksum"
    UNREAD = "not readable"
    PENDING = "pending"  # younger than the bound for its arrival, or not read yet
    EXTRA = "extra"  # the side that it comes from does not have it (any more)
    LISTED = "same size and mtime"  # where the source is not read (verify.source: size)
    HELD = "held back"  # the source has another version than the finalized one, and no operator has accepted it


PROBLEMS = (MatchClass.MISSING, MatchClass.SIZE, MatchClass.MTIME, MatchClass.CHECKSUM, MatchClass.UNREAD)
EXPECT_ALL_NS = 1 << 63
"""As a newest mtime: every file is expected."""
DIFFERENT = (MatchClass.SIZE, MatchClass.MTIME, MatchClass.CHECKSUM, MatchClass.UNREAD)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Younger files, by the source's clock, are still on their way and count as pending."""

    local: timedelta
    archive: timedelta


@dataclass(frozen=True, slots=True)
class Compared:
    """A path of a day: the comparison of its local and archive copies, and the version that the archive should have."""

    path: str
    local: MatchClass
    archive: MatchClass
    right: FixityRecord | None
    """The version that the archive should have; None where it is unknown."""
    is_vouched: bool = True
    """Whether the source has, or once had, this version, by all evidence."""
    is_finalized_locally: bool = False
    """Whether the source has another version, and the local copy is still the one that was finalized."""

    @property
    def is_proved(self) -> bool:
        """Whether the archive has the right version, by a checksum that was read."""
        return self.archive is MatchClass.IDENTICAL and self.is_vouched


@dataclass
class Verdict:
    """The comparison of a day as counts. The field names are the keys of its JSON, except :data:`_JSON_KEYS`."""

    files: Annotated[int, Show(rank=4)] = 0
    bytes: Annotated[int, BYTES] = 0
    source: Annotated[int, Show("source_files")] = 0
    local: Annotated[int, Show("local_files")] = 0
    gws: Annotated[int, Show("archive_files")] = 0
    local_classes: dict[str, int] = field(default_factory=dict)
    archive_classes: dict[str, int] = field(default_factory=dict)
    gaps: Annotated[list[str], Show("gaps_first")] = field(default_factory=list)
    """The first files that are missing or different, each with what is wrong."""
    proved: Annotated[int, Show(rank=3)] = 0
    """Files of which the archive has the right version, all read."""
    strays: Annotated[int, Show("only_in_the_archive", rare=True)] = 0
    """Files that only the archive has, whose right version is unknown."""
    refused: Annotated[int, RARE] = 0
    """Files of the source that may not be copied, for example because of their names: the archive cannot have them."""
    first_refused: str = ""
    held: Annotated[int, Show("held_back", rare=True)] = 0
    """Finalized files that have changed at the source; the archive keeps the finalized version."""
    first_held: str = ""

    is_final: Annotated[bool, Show(rank=2)] = False
    """Whether the day is finalized as complete (:mod:`aurora_platform.archive.finalize`)."""

    @property
    def problem_count(self) -> Annotated[int, Show("gaps")]:
        return sum(self.local_classes.get(name, 0) + self.archive_classes.get(name, 0) for name in PROBLEMS)

    @property
    def pending(self) -> Annotated[int, SHOWN]:
        return self.local_classes.get(MatchClass.PENDING, 0) + self.archive_classes.get(MatchClass.PENDING, 0)

    @property
    def is_whole(self) -> bool:
        """Whether every file of the day is proved to be in the archive."""
        return 0 < self.proved == self.files - self.strays and not self.pending and not self.refused

    @property
    def has_all(self) -> bool:
        """Whether no file is missing, different or pending, local or in the archive, and none refused or held back."""
        return not (self.problem_count or self.pending or self.refused or self.held)

    @property
    def first_reason(self) -> str:
        """A short reason why the day is not complete."""
        if self.gaps:
            return self.gaps[0]
        if self.held:
            return f"held back: {self.first_held}"
        return f"refused: {self.first_refused}" if self.refused else f"{counted(self.pending, 'file')} pending"

    def add(self, compared: Compared, by_side: Mapping[Side, FixityRecord]) -> None:
        self.files += 1
        self.bytes += compared.right.version.size if compared.right else 0
        self.source += "source" in by_side
        self.local += "local" in by_side
        self.gws += "gws" in by_side
        self.local_classes[compared.local] = self.local_classes.get(compared.local, 0) + 1
        self.archive_classes[compared.archive] = self.archive_classes.get(compared.archive, 0) + 1
        self.proved += compared.is_proved
        self.strays += compared.right is None
        if compared.local is MatchClass.HELD:
            self.held += 1
            self.first_held = self.first_held or printable(compared.path)
        for side, found in (("locally", compared.local), ("in the archive", compared.archive)):
            if found in PROBLEMS and len(self.gaps) < MOST_NAMED:
                self.gaps.append(f"{printable(compared.path)}: {found} {side}")

    def sentence(self) -> str:
        """The comparison in one line, for the operator."""
        if not self.files and not self.refused:
            return "no files"
        parts = [f"{count} {name}" for name, count in sorted(self.archive_classes.items())]
        behind = [
            f"{count} {name}" for name, count in sorted(self.local_classes.items()) if name != MatchClass.IDENTICAL
        ]
        text = f"{counted(self.files, 'file')}, {human_size(self.bytes)}; in the archive: {', '.join(parts)}"
        text += f"; locally: {', '.join(behind)}" if behind else ""
        return text + (f"; {self.refused} refused, the first {self.first_refused}" if self.refused else "")

    def as_json(self) -> str:
        """The verdict as it is stored, and as the data version of its day.

        What is held back is left out where nothing is: so the days of a site do not all change at an update.
        """
        values = asdict(self)
        if not self.held:
            del values["held"], values["first_held"]
        return json.dumps({_JSON_KEYS.get(name, name): value for name, value in values.items()})

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        data = json.loads(text)
        return cls(**{_FIELDS.get(key, key): value for key, value in data.items()})


_JSON_KEYS = {"local_classes": "here", "archive_classes": "archive"}
_FIELDS = {key: name for name, key in _JSON_KEYS.items()}


@dataclass(frozen=True, slots=True)
class Clocks:
    """The newest mtimes (ns since epoch) of the files that are expected by now, local and in the archive."""

    local_ns: int
    archive_ns: int

    @classmethod
    def of(cls, listings: Mapping[Side, ListingRecord], bounds: Bounds) -> Clocks:
        """By the clock of the host that stamped the files, where it was listed, else by the local clock.

        On a side that could not be listed no file is expected, so none counts as missing.
        """
        listing = listings.get("source") or listings.get("local")
        now = listing.clock_ns if listing else 0
        unlisted = {side for side, listing in listings.items() if listing.error is not None}
        return cls(
            -1 if "local" in unlisted else now - as_ns(bounds.local),
            -1 if "gws" in unlisted else now - as_ns(bounds.archive),
        )


@dataclass(frozen=True)
class DayRecords:
    """What is recorded of a day, besides the files that were listed."""

    finalized: dict[str, FixityRecord] = field(default_factory=dict)
    """The files that were proved in the archive when the day was last complete."""
    moved: Set[str] = frozenset()
    """Files that were finalized on this day, and are of another one since they were written again."""
    released: Mapping[str, FixityRecord] = field(default_factory=dict)
    """The local copies that were deleted."""
    vanished: Mapping[str, FixityRecord] = field(default_factory=dict)
    """The files that the source had and has no longer, unless an operator has accepted that."""
    changes: Mapping[str, Decision] = field(default_factory=dict)
    """The finalized files that have changed at the source, of the whole stream."""
    is_source_read: bool = True
    """Whether files of the source are read; otherwise size and mtime alone are compared."""

    def is_held(self, path: str, source: FixityRecord) -> bool:
        """Whether this version of the source is held back."""
        decision = self.changes.get(path)
        return (
            decision is not None
            and decision.state is ChangeState.HELD
            and decision.change.version.same_as(source.version)
        )


def compare_day(
    files: Iterable[tuple[str, Mapping[Side, FixityRecord]]],
    clocks: Clocks,
    records: DayRecords,
) -> Iterator[tuple[Compared, Mapping[Side, FixityRecord]]]:
    """Compare each path of a day, in the order of ``files``, then those that are only in ``records``."""
    on_no_side = {**records.vanished, **records.finalized}
    for path, by_side in files:
        on_no_side.pop(path, None)
        yield _compare(path, by_side, clocks, records), by_side
    for path in on_no_side:
        yield _compare(path, {}, clocks, records), {}


def _compare(path: str, by_side: Mapping[Side, FixityRecord], clocks: Clocks, records: DayRecords) -> Compared:
    source, local, gws = (by_side.get(side) for side in ("source", "local", "gws"))
    finalized = records.finalized.get(path)
    own = local or records.released.get(path)
    if finalized is not None and source is not None and records.is_held(path, source):
        local_class = _class_of_held(finalized, source, own, clocks)
        return Compared(path, local_class, class_of(finalized, gws, clocks.archive_ns), finalized)
    if source is None and (last := finalized or _last_seen(records.vanished.get(path), own)) is not None:
        # Only the record still tells the right version, so a young file counts as different too, not as pending.
        altered = MatchClass.MISSING if own is None else class_of(last, own, expected_ns=EXPECT_ALL_NS)
        is_local_seen = clocks.local_ns >= 0 and (local is not None or own is None)
        if altered in PROBLEMS:
            local_class = altered if is_local_seen else MatchClass.EXTRA
            return Compared(path, local_class, class_of(last, gws, clocks.archive_ns), last)
    reference = source or finalized
    local_class = MatchClass.EXTRA if source is None else class_of(source, own, clocks.local_ns)
    if not records.is_source_read and local_class is MatchClass.PENDING and _is_listed(source, own):
        local_class = MatchClass.LISTED
    # Where only the local bytes differ from those of the other two sides, the archive should not get them.
    is_outvoted = (
        local_class is MatchClass.CHECKSUM
        and gws is not None
        and reference is not None
        and gws.sha256 == reference.sha256
    )
    right = reference if own is None or is_outvoted else own
    if right is None:
        return Compared(path, local_class, MatchClass.EXTRA, None)
    is_vouched = right is reference or local_class in (MatchClass.IDENTICAL, MatchClass.EXTRA, MatchClass.LISTED)
    is_finalized = (
        right is own and finalized is not None and class_of(finalized, own, EXPECT_ALL_NS) is MatchClass.IDENTICAL
    )
    return Compared(path, local_class, class_of(right, gws, clocks.archive_ns), right, is_vouched, is_finalized)


def _is_listed(source: FixityRecord | None, own: FixityRecord | None) -> bool:
    """Whether the local copy was read, and has the size and mtime of the file at the source."""
    return source is not None and own is not None and own.sha256 is not None and source.version.same_as(own.version)


def _class_of_held(
    finalized: FixityRecord, source: FixityRecord, own: FixityRecord | None, clocks: Clocks
) -> MatchClass:
    """Compare the local copy of a file whose change is held back: it may have either version."""
    found = class_of(finalized, own, EXPECT_ALL_NS if own is not None else clocks.local_ns)
    if found in (MatchClass.IDENTICAL, MatchClass.PENDING):
        return MatchClass.HELD if own is not None else found
    is_new_version = own is not None and found is not MatchClass.CHECKSUM and own.version.same_as(source.version)
    return MatchClass.HELD if is_new_version else found


def _last_seen(vanished: FixityRecord | None, own: FixityRecord | None) -> FixityRecord | None:
    """The version that the source had last, where a file is gone from it; None where the local copy is newer."""
    if vanished is None or own is None or own.version.mtime_ns <= vanished.version.mtime_ns:
        return vanished
    return None


def class_of(right: FixityRecord, other: FixityRecord | None, expected_ns: int) -> MatchClass:
    """Compare ``other`` with the version that it should be; what is newer than ``expected_ns`` is on its way."""
    is_young = right.version.mtime_ns > expected_ns
    if other is None:
        return MatchClass.PENDING if is_young else MatchClass.MISSING
    if right.version.size != other.version.size:
        found = MatchClass.SIZE
    elif not right.version.same_as(other.version):
        found = MatchClass.MTIME
    elif right.sha256 and other.sha256:
        found = MatchClass.IDENTICAL if right.sha256 == other.sha256 else MatchClass.CHECKSUM
    elif right.error or other.error:
        found = MatchClass.UNREAD
    else:
        return MatchClass.PENDING
    return MatchClass.PENDING if is_young and found in (MatchClass.SIZE, MatchClass.MTIME, MatchClass.UNREAD) else found
