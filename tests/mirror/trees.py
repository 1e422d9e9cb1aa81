"""Camera trees whose files are counted while they are made, and sources that say what a test wants said."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from hypothesis import strategies as st

from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.mirror.scan import DaySurvey, Survey
from aurora_platform.transport.listing import ListedEntry, Listing
from tests.mirror.parts import SETTLED, write

SECOND = 10**9
START = date(2026, 3, 1)
DAYS = [START + timedelta(days=n) for n in range(5)]
CLOCK = int(datetime(2026, 3, 9, 12, tzinfo=UTC).timestamp()) * SECOND
COUNTS = ("seen", "present", "missing", "unsettled", "refused")


@dataclass
class Tree:
    """A camera's tree and its copy here, made a file at a time; what a look must say of it is counted meanwhile."""

    far: Path
    near: Path
    clock_ns: int = CLOCK
    days: dict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    total: Counter[str] = field(default_factory=Counter)
    newest_ns: int = 0
    files: int = 0

    def add(self, kind: str, day: date) -> None:
        """Something of one of the ``KINDS``, with the day in its name."""
        self.files += 1
        lies, column = day, KINDS[kind]
        match kind:
            case "in the next day's directory":
                lies = day + timedelta(days=1)
            case "in a far day's directory":
                lies = date(2026, 1, 20)
            case "before the start":
                day = lies = START - timedelta(days=1)
            case "dated in the future":
                day = date(2099, 1, 1)
        name = f"FISH/{lies:%Y%m%d}/{self.files % 24:02}/HDR_{day:%Y%m%d}_{self.files:06}.jpg"
        name = name.replace("HDR", "LONG") if kind == "of another kind" else name
        name = name.replace(".jpg", "\n.jpg") if kind == "control character in its name" else name
        if kind == "symlink":
            (self.far / name).parent.mkdir(parents=True, exist_ok=True)
            (self.far / name).symlink_to("/etc/hostname")
            os.utime(self.far / name, ns=(0, 0), follow_symlinks=False)
        else:
            self._write(kind, name)
        self._count(day, column, self.files if (self.far / name).is_file() and column in LISTED else 0)

    def _write(self, kind: str, name: str) -> None:
        content = b"x" * self.files
        write(self.far, {name: content})
        mtime_ns = int(SETTLED.timestamp()) * SECOND + 500_000_000 + self.files
        if "still being written" in kind:
            mtime_ns = self.clock_ns - 299 * SECOND
        os.utime(self.far / name, ns=(mtime_ns, mtime_ns))
        if KINDS[kind] in LISTED:
            self.newest_ns = max(self.newest_ns, mtime_ns)
        if "here" in kind:
            write(self.near, {name: content[: -1 if "shorter" in kind else None]})
            mtime_ns -= "older" in kind
            os.utime(self.near / name, ns=(mtime_ns, mtime_ns))
        if kind == "its name is a directory's at home":
            (self.near / name).mkdir(parents=True)

    def _count(self, day: date, column: str, size: int) -> None:
        if column in ("present", "missing", "unsettled", "refused", "refused by name"):
            column = column.split()[0]
            self.days[day][column] += 1
            self.days[day]["seen"] += 1
            self.days[day]["bytes"] += size if column == "missing" else 0
        self.total[column] += 1
        self.total["files"] += size > 0
        self.total["bytes"] += size


# What there may be, and where it is counted.
KINDS = {
    "new": "missing",
    "here": "present",
    "here in an older version": "missing",
    "here, but shorter": "missing",
    "in the next day's directory": "missing",
    "still being written": "unsettled",
    "still being written, older here": "unsettled",
    "symlink": "refused by name",
    "control character in its name": "refused by name",
    "its name is a directory's at home": "refused",
    "in a far day's directory": "refused",
    "dated in the future": "refused, no day",
    "of another kind": "unexpected",
    "before the start": "before",
}
# Files of the stream, also those of other days; what is refused for its name alone is none.
LISTED = {"present", "missing", "unsettled", "refused", "before"}
TREES = st.lists(st.tuples(st.sampled_from([*KINDS]), st.sampled_from(DAYS)), max_size=25)
EVERYTHING = [(kind, day) for kind in KINDS for day in DAYS[::2]]


def tree_of(content: Sequence[tuple[str, date]], far: Path, near: Path, clock_ns: int = CLOCK) -> Tree:
    far.mkdir(exist_ok=True)
    tree = Tree(far, near, clock_ns)
    for kind, day in content:
        tree.add(kind, day)
    return tree


def counts(survey: Survey) -> dict[date, dict[str, int]]:
    found = {}
    for day in survey.days.values():
        assert isinstance(day, DaySurvey)
        numbers = (day.seen, day.present, day.missing, day.unsettled.total, day.refused_count)
        found[day.day] = {**dict(zip(COUNTS, numbers, strict=True)), "bytes": day.missing_bytes}
        assert day.seen == day.present + day.missing + day.unsettled.total + day.refused_count
    return found


@dataclass
class Said:
    """A source that says what a test wants said; it notes whether its listing was closed."""

    entries: Callable[[], Generator[ListedEntry]]
    is_closed: bool = False

    def list(self, root: str, below: Sequence[str]) -> Listing:
        return Listing(CLOCK, self._said())

    def _said(self) -> Generator[ListedEntry]:
        try:
            yield from self.entries()
        finally:
            self.is_closed = True


def file(path: str, size: int = 7, mtime_ns: int = int(SETTLED.timestamp()) * SECOND) -> ListedEntry:
    return ScannedEntry(os.fsencode(path), FileVersion(size, mtime_ns))


def said(entries: Sequence[ListedEntry]) -> Said:
    return Said(lambda: (entry for entry in entries))


def image(day: date, number: int) -> ListedEntry:
    return file(f"FISH/{day:%Y%m%d}/10/HDR_{day:%Y%m%d}_{number:06}.jpg", number)
