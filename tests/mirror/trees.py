"""Camera trees whose files are counted while they are made, and sources with a scripted listing."""

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
    """A camera's tree and its local copy, made file by file; the expected counts of a scan are kept as well."""

    source_root: Path
    local_root: Path
    clock_ns: int = CLOCK
    days: dict[date, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    total: Counter[str] = field(default_factory=Counter)
    newest_ns: int = 0
    files: int = 0

    def add(self, kind: str, day: date) -> None:
        """Add an entry of one of the ``KINDS``, with the day in its name."""
        self.files += 1
        directory_day, column = day, KINDS[kind]
        match kind:
            case "in the next day's directory":
                directory_day = day + timedelta(days=1)
            case "in a distant day's directory":
                directory_day = date(2026, 1, 20)
            case "before the start":
                day = directory_day = START - timedelta(days=1)
            case "dated in the future":
                day = date(2099, 1, 1)
        name = f"FISH/{directory_day:%Y%m%d}/{self.files % 24:02}/HDR_{day:%Y%m%d}_{self.files:06}.jpg"
        name = name.replace("HDR", "LONG") if kind == "of another kind" else name
        name = name.replace(".jpg", "\n.jpg") if kind == "control character in its name" else name
        if kind == "symlink":
            (self.source_root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source_root / name).symlink_to("/etc/hostname")
            os.utime(self.source_root / name, ns=(0, 0), follow_symlinks=False)
        else:
            self._write(kind, name)
        self._count(day, column, self.files if (self.source_root / name).is_file() and column in LISTED else 0)

    def _write(self, kind: str, name: str) -> None:
        content = b"x" * self.files
        write(self.source_root, {name: content})
        mtime_ns = int(SETTLED.timestamp()) * SECOND + 500_000_000 + self.files
        if "still being written" in kind:
            mtime_ns = self.clock_ns - 299 * SECOND
        os.utime(self.source_root / name, ns=(mtime_ns, mtime_ns))
        if KINDS[kind] in LISTED:
            self.newest_ns = max(self.newest_ns, mtime_ns)
        if "present" in kind:
            write(self.local_root, {name: content[: -1 if "shorter" in kind else None]})
            mtime_ns -= "older" in kind
            os.utime(self.local_root / name, ns=(mtime_ns, mtime_ns))
        if kind == "its local name is a directory's":
            (self.local_root / name).mkdir(parents=True)

    def _count(self, day: date, column: str, size: int) -> None:
        if column in ("present", "missing", "unsettled", "refused", "refused by name"):
            column = column.split()[0]
            self.days[day][column] += 1
            self.days[day]["seen"] += 1
            self.days[day]["bytes"] += size if column == "missing" else 0
        self.total[column] += 1
        self.total["files"] += size > 0
        self.total["bytes"] += size


# Kind of entry -> the column that counts it.
KINDS = {
    "new": "missing",
    "present": "present",
    "present in an older version": "missing",
    "present, but shorter": "missing",
    "in the next day's directory": "missing",
    "still being written": "unsettled",
    "still being written, present in an older version": "unsettled",
    "symlink": "refused by name",
    "control character in its name": "refused by name",
    "its local name is a directory's": "refused",
    "in a distant day's directory": "refused",
    "dated in the future": "refused, no day",
    "of another kind": "unexpected",
    "before the start": "before",
}
# Columns of files of the stream, also of other days; an entry that is refused for its name alone is none.
LISTED = {"present", "missing", "unsettled", "refused", "before"}
TREES = st.lists(st.tuples(st.sampled_from([*KINDS]), st.sampled_from(DAYS)), max_size=25)
EVERYTHING = [(kind, day) for kind in KINDS for day in DAYS[::2]]


def tree_of(content: Sequence[tuple[str, date]], source_root: Path, local_root: Path, clock_ns: int = CLOCK) -> Tree:
    source_root.mkdir(exist_ok=True)
    tree = Tree(source_root, local_root, clock_ns)
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
class ScriptedSource:
    """A source with a scripted listing; it records whether the listing was closed."""

    entries: Callable[[], Generator[ListedEntry]]
    is_closed: bool = False

    def list(self, root: str, below: Sequence[str]) -> Listing:
        return Listing(CLOCK, self._scripted())

    def _scripted(self) -> Generator[ListedEntry]:
        try:
            yield from self.entries()
        finally:
            self.is_closed = True


def file(path: str, size: int = 7, mtime_ns: int = int(SETTLED.timestamp()) * SECOND) -> ListedEntry:
    return ScannedEntry(os.fsencode(path), FileVersion(size, mtime_ns))


def scripted(entries: Sequence[ListedEntry]) -> ScriptedSource:
    return ScriptedSource(lambda: (entry for entry in entries))


def image(day: date, number: int) -> ListedEntry:
    return file(f"FISH/{day:%Y%m%d}/10/HDR_{day:%Y%m%d}_{number:06}.jpg", number)
