"""The answer of ``aurora explain``: plain frozen data, in the order in which an operator reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.health.alert_rules import read_snapshot
from aurora_platform.health.models import Snapshot
from aurora_platform.layout import Layout
from aurora_platform.text import printable_text
from aurora_platform.transport.protocols import Source

Place = Literal["source", "local", "archive"]


class State(StrEnum):
    """The state of a file, a product or a partition, in one or two words."""

    NOT_OF_STREAM = "not of a stream"
    REFUSED = "refused"
    NOT_BEGUN = "before the stream begins"
    IN_FUTURE = "in the future"
    NOT_FOUND = "not found"
    UNSETTLED = "still being written"
    MISSING_LOCAL = "missing local"
    PARKED = "parked"
    HELD_BACK = "held back"
    DIFFERENT = "different"
    UNREADABLE = "unreadable"
    LOST = "lost"
    RETIRED = "retired"
    PRUNED = "pruned on its host"
    COPIED = "copied"
    QUEUED = "queued for the archive"
    MISSING_IN_ARCHIVE = "missing in the archive"
    PUSHED = "copied, not verified yet"
    VERIFIED = "copied and verified"
    EXCLUDED = "copied, excluded from a product"
    MADE = "made"
    OUTDATED = "made from other inputs"
    NOT_MADE = "not made"
    INCOMPLETE = "incomplete"
    COMPLETE = "complete"
    NO_FILES = "no files"
    LISTED = "listed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Subject:
    """What the question is about."""

    kind: Literal["file", "product", "asset"]
    lines: tuple[str, ...]
    stream: str | None = None
    day: date | None = None
    camera: str | None = None
    asset: str | None = None
    partition: str | None = None
    path: str | None = None
    """Of a raw file: relative to its stream. Of a product: relative to ``paths.products``."""


@dataclass(frozen=True)
class Conclusion:
    """The state, why, and whether an operator should act."""

    state: State
    sentence: str
    needs_operator: bool = False
    remarks: tuple[str, ...] = ()
    command: str = ""
    """What the operator should run or do."""


@dataclass(frozen=True)
class Copy:
    """A place of a file, or of all files of a partition. Times are UTC."""

    place: Place
    location: str
    """Host and path."""
    is_present: bool | None = None
    """None: nobody knows."""
    files: int | None = None
    """Of a partition: how many files it has in this place."""
    size: int | None = None
    """bytes"""
    mtime: datetime | None = None
    mtime_ns: int | None = None
    """ns since epoch, UTC"""
    sha256: str | None = None
    listed_at: datetime | None = None
    read_at: datetime | None = None
    """When the SHA-256 was read last."""
    is_finalized: bool | None = None
    """Whether it is the version of the day's finalization; None where the finalization does not have the file."""
    note: str = ""

    @classmethod
    def of_version(cls, place: Place, location: str, version: FileVersion | None, **more: Any) -> Copy:
        """The copy of one file, with the size and times of its version, where there is one."""
        if version is None:
            return cls(place, location, **more)
        mtime = time_of_ns(version.mtime_ns)
        return cls(place, location, size=version.size, mtime=mtime, mtime_ns=version.mtime_ns, **more)


def is_finalized_version(
    finalized: FixityRecord | None, version: FileVersion | None, sha256: str | None
) -> bool | None:
    """Whether a copy is the finalized version; None where no version is finalized, or there is no copy.

    ``sha256`` is that of the copy; None where it was not read in this version.
    """
    if finalized is None or version is None:
        return None
    return finalized.version.same_as(version) and sha256 in (None, finalized.sha256)


@dataclass(frozen=True)
class Product:
    """What a product was made from."""

    path: str
    size: int | None = None
    data_version: str = ""
    inputs: int | None = None
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Input -> why it is not in the product."""


@dataclass(frozen=True)
class DayFinalization:
    """Whether a day is complete in the archive."""

    is_complete: bool
    revision: int | None = None
    since: datetime | None = None
    """When it was finalized, or when the finalization was withdrawn."""
    file: str = ""
    manifest: str = ""
    why_not: str = ""
    """What keeps the day from being complete."""
    comparison: str = ""
    """The counts of the last verification."""
    lost: int = 0
    """Files that an operator has accepted as lost."""


@dataclass(frozen=True)
class RunFacts:
    """A run of Dagster."""

    run_id: str
    job: str
    state: str
    started_by: str
    """``sensor arrivals_cl61``, ``schedule push_cl61``, ``backfill ...``, or ``an operator``."""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True)
class FailedCheckFacts:
    """The newest result of an asset check, where it failed."""

    name: str
    sentence: str
    severity: str
    found_at: datetime | None = None
    run_id: str | None = None
    partition: str | None = None
    """The partition or range that was checked; None: the run had none, and the result may be about any day."""


@dataclass(frozen=True)
class DagsterFacts:
    """What Dagster has recorded of a partition."""

    asset: str
    partition: str | None
    materialized_at: datetime | None = None
    data_version: str = ""
    made_by: RunFacts | None = None
    """The run of the newest materialization or observation."""
    newest_run: RunFacts | None = None
    """The newest run that was to make it, if that is another one."""
    failed_checks: tuple[FailedCheckFacts, ...] = ()
    missing: str = ""
    """Why nothing is known, and how to get it."""


class RunRecords(Protocol):
    """Dagster's records of a site; ``aurora_assets.instance.explain_records`` implements it."""

    def facts(self, asset: str, partition: str | None) -> DagsterFacts:
        """Return what is recorded of a partition, or of an asset without partitions."""
        ...


@dataclass(frozen=True)
class NoRunRecords:
    """Where Dagster's records cannot be opened, with the reason and how to get them."""

    why: str
    is_broken: bool = False
    """Whether the records exist, and an operator should mend what keeps them from being opened."""

    def facts(self, asset: str, partition: str | None) -> DagsterFacts:
        return DagsterFacts(asset, partition, missing=self.why)


@dataclass(frozen=True)
class Problem:
    """A section that could not be filled, with the reason."""

    section: str
    message: str


@dataclass(frozen=True)
class Answer:
    """Everything that is known about a file, a product or a partition."""

    asked: str
    at: datetime
    subject: Subject
    conclusion: Conclusion
    copies: tuple[Copy, ...] = ()
    product: Product | None = None
    finalization: DayFinalization | None = None
    dagster: tuple[DagsterFacts, ...] = ()
    next_steps: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def needs_operator(self) -> bool:
        """Whether an operator should act."""
        return self.conclusion.needs_operator or bool(self.problems)


@dataclass
class Context:
    """What an explanation may use, and the sections that could not be filled so far."""

    site: Site
    now: datetime
    runs: RunRecords
    source_of: Callable[[str], Source] | None = None
    """Lists the source of a stream; None: nothing may connect to a host."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        return Layout.of(self.site)

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The last health snapshot, of whatever age; None where there is none that can be read."""
        return read_snapshot(self.layout.health.snapshot).snapshot

    def attempt[T](self, section: str, work: Callable[[], T], default: T, file: Path | None = None) -> T:
        """Do a part of the work; where it fails the answer says so, with the ``file``, and the other parts go on."""
        try:
            return work()
        except Exception as error:
            message = describe(error)
            is_named = file is None or str(file) in message
            self.problems.append(Problem(section, message if is_named else f"{file}: {message}"))
            return default


def describe(error: Exception) -> str:
    """Describe an error in one line, with its file if it has one."""
    if isinstance(error, AuroraError):
        text = str(error)
    elif isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{printable_text(str(error.filename))}: {error.strerror}"
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def time_of(seconds: float | None) -> datetime | None:
    """Seconds since epoch as a time, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def time_of_text(text: str | None) -> datetime | None:
    """A time of the ledger, ISO 8601; UTC where it names no zone. None where there is none."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=time.tzinfo or UTC)


def time_of_ns(nanoseconds: int) -> datetime | None:
    """Nanoseconds since epoch as a time, UTC, without the fraction; None where it is impossible."""
    try:
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def written(time: datetime | None) -> str:
    """A time as the answer writes it: to the second, UTC."""
    return "never" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
