"""Comparing a day in its three places, path by path: what is identical, and what is not, and whether that is a gap.

Two questions are asked of each file. Is it **here** as the source has it? Is it in the **archive** as it is here? Of a
file that the source or this machine no longer has, what is known to have been right stands in: the finalized manifest,
and the record of working copies that were released.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import StrEnum

from aurora_platform.archive.fixity_record import FixityRecord, Look
from aurora_platform.fs.versions import as_ns
from aurora_platform.layout import Side
from aurora_platform.text import MOST_NAMED, printable


class Class(StrEnum):
    """What a path is in one place, held against another."""

    IDENTICAL = "identical"  # size, mtime and SHA-256, all three read
    MISSING = "missing"
    SIZE = "different size"
    MTIME = "different mtime"
    CHECKSUM = "different checksum"
    UNREAD = "not readable"
    PENDING = "pending"  # younger than the bound up to which nobody expects it, or not read yet
    EXTRA = "extra"  # where it should have come from does not have it (any more)


GAPS = (Class.MISSING, Class.SIZE, Class.MTIME, Class.CHECKSUM, Class.UNREAD)
_ALL = 1 << 63  # as a newest mtime: every file is expected
DIFFERENT = (Class.SIZE, Class.MTIME, Class.CHECKSUM, Class.UNREAD)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Files younger than that, by the source's clock, are on their way and no gap."""

    here: timedelta
    archive: timedelta


@dataclass(frozen=True, slots=True)
class Compared:
    """A path of a day: what it is here and in the archive, and the version that should be there."""

    path: str
    here: Class
    archive: Class
    right: FixityRecord | None
    """The version that the archive should have; None where nobody can tell."""
    is_vouched: bool = True
    """Whether that is what the source has, or once had, as far as anybody knows."""

    @property
    def is_proved(self) -> bool:
        """Whether the archive has the right version, and that was read."""
        return self.archive is Class.IDENTICAL and self.is_vouched


@dataclass
class Verdict:
    """A day, counted."""

    files: int = 0
    bytes: int = 0
    source: int = 0
    local: int = 0
    gws: int = 0
    here: dict[str, int] = field(default_factory=dict)
    archive: dict[str, int] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    """The first of them, with what is wrong."""
    proved: int = 0
    """Files of which the archive has the right version, all read."""
    strays: int = 0
    """Files that only the archive has, and of which nobody knows what they should be."""
    refused: int = 0
    """Files that the source has and nobody may copy, for their names, say: the archive cannot have them."""
    first_refused: str = ""

    is_final: bool = False
    """Whether the day is said to be complete (:mod:`aurora_platform.archive.finalize`)."""

    @property
    def gap_count(self) -> int:
        return sum(self.here.get(gap, 0) + self.archive.get(gap, 0) for gap in GAPS)

    @property
    def pending(self) -> int:
        return self.here.get(Class.PENDING, 0) + self.archive.get(Class.PENDING, 0)

    @property
    def is_whole(self) -> bool:
        """Whether every file of the day is proved to be in the archive."""
        return 0 < self.proved == self.files - self.strays and not self.pending and not self.refused

    @property
    def has_all(self) -> bool:
        """Whether nothing that the source has is missing here or in the archive, or different, or on its way."""
        return not (self.gap_count or self.pending or self.refused)

    @property
    def first_reason(self) -> str:
        """Why the day is not whole, in few words."""
        if self.gaps:
            return self.gaps[0]
        return f"refused: {self.first_refused}" if self.refused else f"{self.pending} files are pending"

    def add(self, compared: Compared, places: Mapping[Side, FixityRecord]) -> None:
        self.files += 1
        self.bytes += compared.right.version.size if compared.right else 0
        self.source += "source" in places
        self.local += "local" in places
        self.gws += "gws" in places
        self.here[compared.here] = self.here.get(compared.here, 0) + 1
        self.archive[compared.archive] = self.archive.get(compared.archive, 0) + 1
        self.proved += compared.is_proved
        self.strays += compared.right is None
        for where, found in (("here", compared.here), ("in the archive", compared.archive)):
            if found in GAPS and len(self.gaps) < MOST_NAMED:
                self.gaps.append(f"{printable(compared.path)}: {found} {where}")

    def sentence(self) -> str:
        """The line that an operator reads."""
        if not self.files and not self.refused:
            return "no files"
        parts = [f"{count} {name}" for name, count in sorted(self.archive.items())]
        behind = [f"{count} {name}" for name, count in sorted(self.here.items()) if name != Class.IDENTICAL]
        text = f"{self.files} files, {self.bytes} bytes; in the archive: {', '.join(parts)}"
        text += f"; here: {', '.join(behind)}" if behind else ""
        return text + (f"; {self.refused} refused, the first {self.first_refused}" if self.refused else "")

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Clocks:
    """The newest mtimes (ns since epoch) of what is expected here, and in the archive, by now."""

    here_ns: int
    archive_ns: int

    @classmethod
    def of(cls, looks: Mapping[Side, Look], bounds: Bounds) -> Clocks:
        """By the clock of the host that stamped the files where it was seen, else by ours.

        In a place that could not be seen nothing is expected: what is not known to be there is not missing.
        """
        look = looks.get("source") or looks.get("local")
        now = look.clock_ns if look else 0
        unseen = {side for side, look in looks.items() if look.error is not None}
        return cls(
            -1 if "local" in unseen else now - as_ns(bounds.here),
            -1 if "gws" in unseen else now - as_ns(bounds.archive),
        )


def compare_day(
    files: Iterable[tuple[str, Mapping[Side, FixityRecord]]],
    clocks: Clocks,
    *,
    finalized: Mapping[str, FixityRecord],
    released: Mapping[str, FixityRecord],
) -> Iterator[tuple[Compared, Mapping[Side, FixityRecord]]]:
    """Compare each path of a day, in the order of ``files``, then those that only the finalized manifest has.

    ``finalized`` is what was proved to be in the archive when the day was complete, ``released`` what was deleted here.
    """
    seen = set()
    for path, places in files:
        if path in finalized:
            seen.add(path)
        yield _compare(path, places, clocks, finalized.get(path), released.get(path)), places
    for path, known in finalized.items():
        if path not in seen:
            yield _compare(path, {}, clocks, known, released.get(path)), {}


def _compare(
    path: str,
    places: Mapping[Side, FixityRecord],
    clocks: Clocks,
    finalized: FixityRecord | None,
    released: FixityRecord | None,
) -> Compared:
    source, local, gws = (places.get(side) for side in ("source", "local", "gws"))
    mine = local or released
    if source is None and finalized is not None and mine is not None:
        # Nobody is left but the manifest to say what is right, so age excuses no difference.
        altered = _class(finalized, mine, expected_ns=_ALL)
        if altered in DIFFERENT:
            here = altered if local is not None and clocks.here_ns >= 0 else Class.EXTRA
            return Compared(path, here, _class(finalized, gws, clocks.archive_ns), finalized)
    reference = source or finalized
    here = Class.EXTRA if source is None else _class(source, mine, clocks.here_ns)
    # Where the bytes here are the odd ones out of three, they are not what the archive should have.
    outvoted = here is Class.CHECKSUM and gws is not None and reference is not None and gws.sha256 == reference.sha256
    right = reference if mine is None or outvoted else mine
    if right is None:
        return Compared(path, here, Class.EXTRA, None)
    vouched = right is reference or here in (Class.IDENTICAL, Class.EXTRA)
    return Compared(path, here, _class(right, gws, clocks.archive_ns), right, vouched)


def _class(right: FixityRecord, other: FixityRecord | None, expected_ns: int) -> Class:
    """What ``other`` is, held against the version that it should be."""
    young = right.version.mtime_ns > expected_ns
    if other is None:
        return Class.PENDING if young else Class.MISSING
    if right.version.size != other.version.size:
        found = Class.SIZE
    elif not right.version.same_as(other.version):
        found = Class.MTIME
    elif right.sha256 and other.sha256:
        found = Class.IDENTICAL if right.sha256 == other.sha256 else Class.CHECKSUM
    elif right.error or other.error:
        found = Class.UNREAD
    else:
        return Class.PENDING
    return Class.PENDING if young and found in (Class.SIZE, Class.MTIME, Class.UNREAD) else found
