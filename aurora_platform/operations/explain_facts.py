"""Collects what is known of one raw file: on its host, local, in the evidence, the ledger and the catalogue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from aurora_platform import cameras
from aurora_platform.archive import manifest
from aurora_platform.archive.change_rule import Decision
from aurora_platform.archive.compare import Bounds, Clocks, Compared, DayRecords, Verdict, compare_day
from aurora_platform.archive.finalization import Finalization
from aurora_platform.archive.finalization_guard import StreamGuard
from aurora_platform.archive.fixity_record import FixityRecord, ListingRecord
from aurora_platform.archive.ledger import Item, Row
from aurora_platform.archive.prune_plan import is_candidate, why_none
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.cameras.catalog import day_media, day_unreadable, open_readonly
from aurora_platform.cameras.filenames import CAMERAS
from aurora_platform.cameras.video_inputs import read_inputs, read_no_video_record
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.layout import DAILY_VIDEO, PIXELS, WXCAM, ArchiveLayout, Side, product_key
from aurora_platform.mirror.plan import DayPlan, EntryPlanner, Plan
from aurora_platform.operations.explain_answer import Context
from aurora_platform.streams.classify import Classification, Classifier, Directories
from aurora_platform.streams.state import DayAtSource, read_days_at_source
from aurora_platform.transport.listing import ListedEntry, LocalSource


@dataclass
class SourceFacts:
    """The file on its host, listed now."""

    clock_ns: int
    entry: ListedEntry | None = None
    plan: DayPlan | None = None
    """What a run of the mirror would do with it."""


@dataclass
class EvidenceFacts:
    """What the last verifications found of the file and of its day."""

    by_side: Mapping[Side, FixityRecord] = field(default_factory=dict)
    read_at: Mapping[Side, float] = field(default_factory=dict)
    listings: Mapping[Side, ListingRecord] = field(default_factory=dict)
    released: FixityRecord | None = None
    released_at: datetime | None = None
    vanished: FixityRecord | None = None
    change: Decision | None = None
    verdict: Verdict | None = None
    candidate: str = ""
    """Why the file may not be pruned on its host; empty where it may, or nobody knows."""
    is_candidate: bool = False


@dataclass
class CameraFacts:
    """What the camera's products say of the file."""

    is_catalogued: bool = False
    unreadable: str = ""
    excluded: dict[str, str] = field(default_factory=dict)
    """Product -> the reason."""
    no_catalog: bool = False


@dataclass
class FileFacts:
    """Everything that is known of a raw file."""

    name: str
    stream: Stream
    path: str
    day: date | None = None
    local: ListedEntry | None = None
    arrived_ns: int | None = None
    """ctime of the local file."""
    source: SourceFacts | None = None
    last_scan: DayAtSource | None = None
    """The last scan of the day on its host, by the sensor or the mirror."""
    evidence: EvidenceFacts = field(default_factory=EvidenceFacts)
    classified: Classification | None = None
    finalization: Finalization | None = None
    finalized: FixityRecord | None = None
    is_given_up: bool = False
    """Whether an operator has accepted that it is lost."""
    compared: Compared | None = None
    row: Row | None = None
    held: str = ""
    camera: CameraFacts | None = None

    @property
    def version(self) -> FileVersion | None:
        """Its version: at the source where it was listed now, else local, else as recorded."""
        entries = [self.source.entry if self.source else None, self.local]
        found = [entry.version for entry in entries if entry is not None]
        sides: tuple[Side, ...] = ("source", "local", "gws")
        found += [self.evidence.by_side[side].version for side in sides if side in self.evidence.by_side]
        found += [record.version for record in (self.evidence.released, self.finalized) if record is not None]
        return next(iter(found), None)

    @property
    def local_differs(self) -> bool:
        """Whether the local file is another version than the last verification listed."""
        recorded = self.evidence.by_side.get("local")
        return recorded is not None and self.local is not None and recorded.version != self.local.version


def collect(context: Context, name: str, path: str) -> FileFacts:
    """Collect the facts of a file; a part that cannot be read becomes a problem of the context."""
    stream = context.site.streams[name]
    facts = FileFacts(name, stream, path)
    _find_local(context, facts)
    records = ReadOnlyRecords(context.site)
    has_records, is_readable = context.site.archive is not None and _is_utf8(path), False
    if has_records:
        # First the records of the path alone: they may be the only ones that have an mtime, and so a day.
        is_readable = context.attempt("evidence", lambda: _read_records(records, facts), False, records.layout.fixity)
    _find_day(facts)
    _find_source(context, facts)
    _find_day(facts)
    _classify(context, facts)
    if facts.source is None and (day := facts.day) is not None:
        path_of_scans = context.layout.days_at_source(name)
        facts.last_scan = context.attempt("source", lambda: read_days_at_source(path_of_scans).get(day), None)
    if facts.day is not None and has_records:
        if is_readable:
            context.attempt("evidence", lambda: _read_day(context, records, facts), None, records.layout.fixity)
        context.attempt("finalization", lambda: _read_finalization(records, facts), None)
        context.attempt("ledger", lambda: _read_ledger(context, records, facts), None, records.layout.ledger)
        context.attempt("evidence", lambda: _ask_guard(context, records, facts), None, records.layout.fixity)
        _compare(context, facts)
    if name == WXCAM and facts.day is not None and _is_utf8(path):
        facts.camera = CameraFacts()
        context.attempt("catalogue", lambda: _read_catalog(context, facts), None, context.layout.camera.catalog)
        product = product_of(context, facts.path, facts.day)
        context.attempt("product", lambda: _read_exclusions(context, facts), None, product)
    return facts


def _is_utf8(path: str) -> bool:
    """Whether the databases can have the path; the classification refuses any other."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _local_path(context: Context, facts: FileFacts) -> str:
    return os.path.join(context.layout.raw_root(facts.name), facts.path)


def _find_local(context: Context, facts: FileFacts) -> None:
    def find() -> None:
        try:
            status = os.lstat(_local_path(context, facts))
        except (FileNotFoundError, NotADirectoryError):
            return
        facts.local = ScannedEntry.of(os.fsencode(facts.path), status)
        facts.arrived_ns = status.st_ctime_ns

    context.attempt("local copy", find, None)


def _read_records(records: ReadOnlyRecords, facts: FileFacts) -> bool:
    """Read the records of the path; returns whether there is evidence."""
    if not records.layout.fixity.exists():
        return False
    with records.evidence() as evidence:
        facts.evidence.by_side = evidence.records_of(facts.name, facts.path)
        facts.evidence.read_at = evidence.read_times(facts.name, facts.path)
    return True


def _find_day(facts: FileFacts) -> None:
    version = facts.version
    if version is not None or facts.stream.day != "mtime":
        mtime_ns = version.mtime_ns if version else 0
        facts.day = facts.stream.day_of(facts.path, mtime_ns) if 0 <= mtime_ns < 1 << 62 else None


def _find_source(context: Context, facts: FileFacts) -> None:
    """List the file on its host: directly where that is this machine, else its day where the caller allows it."""
    host = context.site.hosts[facts.stream.host]
    if host.is_local:
        clock_ns = int(context.now.timestamp() * 10**6) * 1000
        this_machine = LocalSource(lambda: clock_ns)
        # Without what is below: where the path is a directory it is not walked.
        listing = context.attempt(
            "source", lambda: this_machine.list(facts.stream.path, [facts.path], without=["*"]), None
        )
    elif context.source_of is not None:
        source = context.source_of(facts.name)
        directories = Directories(facts.stream, [facts.day] if facts.day else [])
        listing = context.attempt("source", lambda: directories.list_source(source, facts.stream.path), None)
    else:
        return
    if listing is None:
        return
    found = SourceFacts(listing.clock_ns)

    def search() -> None:
        wanted = os.fsencode(facts.path)
        for entry in listing.entries:
            if entry.path == wanted:
                found.entry = entry
                break
        listing.entries.close()
        facts.source = found

    context.attempt("source", search, None)
    if facts.source is not None and found.entry is not None:
        context.attempt("mirror", lambda: _plan(context, facts, found), None)


def _plan(context: Context, facts: FileFacts, found: SourceFacts) -> None:
    assert found.entry is not None
    _find_day(facts)
    if facts.day is None:
        return
    plan = Plan({facts.day: DayPlan(facts.day)})
    root = context.layout.raw_root(facts.name)
    planner = EntryPlanner(facts.stream, Directories(facts.stream, [facts.day]), found.clock_ns, root)
    planner.add_to(plan, found.entry)
    found.plan = plan.days[facts.day]


def _classify(context: Context, facts: FileFacts) -> None:
    version = facts.version or FileVersion(0, 0)
    entry = (facts.source.entry if facts.source else None) or facts.local
    entry = entry or ScannedEntry(os.fsencode(facts.path), version)
    clock_ns = facts.source.clock_ns if facts.source else int(context.now.timestamp() * 10**6) * 1000
    directories = Directories(facts.stream, [facts.day] if facts.day else [])
    facts.classified = Classifier(facts.stream, directories, clock_ns)(entry)


def _read_day(context: Context, records: ReadOnlyRecords, facts: FileFacts) -> None:
    assert facts.day is not None
    found = facts.evidence
    with records.evidence() as evidence:
        found.listings = evidence.listings(facts.name, facts.day)
        found.released = evidence.released(facts.name, facts.day).get(facts.path)
        found.released_at = evidence.released_at(facts.name, facts.path)
        found.vanished = evidence.vanished.expected(facts.name, facts.day).get(facts.path)
        found.change = evidence.changes.of_stream(facts.name).get(facts.path)
        text = evidence.verdict(facts.name, facts.day)
        found.verdict = Verdict.from_json(text) if text else None
        found.candidate = why_none(facts.name, facts.stream, records.archive, evidence, context.now) or ""
        found.is_candidate = not found.candidate and is_candidate(
            facts.name, records.archive, evidence, facts.path, facts.day, context.now
        )


def _read_finalization(records: ReadOnlyRecords, facts: FileFacts) -> None:
    assert facts.day is not None
    finalizations = records.finalizations(facts.name)
    facts.finalization = finalizations.read(facts.day)
    line = finalizations.lines(facts.day).get(facts.path)
    facts.is_given_up = line is not None and line.error == manifest.LOST
    facts.finalized = line if line is not None and manifest.is_listed(line) else None


def remote_path(context: Context, facts: FileFacts) -> str:
    """The path of the file in the archive."""
    assert context.site.archive is not None
    return f"{ArchiveLayout.of(context.site.archive).raw_root(facts.stream)}/{facts.path}"


def _read_ledger(context: Context, records: ReadOnlyRecords, facts: FileFacts) -> None:
    if not records.layout.ledger.exists():
        return
    with records.ledger() as ledger:
        facts.row = ledger.row(records.archive.name, remote_path(context, facts))


def _ask_guard(context: Context, records: ReadOnlyRecords, facts: FileFacts) -> None:
    if facts.local is None or not facts.local.is_regular:
        return
    item = Item(_local_path(context, facts), remote_path(context, facts), facts.local.version, facts.day)
    held = StreamGuard(records, facts.name).decide([item]).held
    facts.held = held[0][1] if held else ""


def _compare(context: Context, facts: FileFacts) -> None:
    """Compare as a verification does, with what is on this machine now in the place of what it was."""
    archive = context.site.archive
    assert archive is not None
    evidence = facts.evidence
    by_side = dict(evidence.by_side)
    if facts.local is None:
        by_side.pop("local", None)
    elif "local" not in by_side or facts.local_differs:
        by_side["local"] = FixityRecord(facts.local.version)
    if facts.source is not None:
        recorded = by_side.pop("source", None)
        if facts.source.entry is not None:
            version = facts.source.entry.version
            is_same = recorded is not None and recorded.version == version
            by_side["source"] = recorded if recorded is not None and is_same else FixityRecord(version)
    if not by_side and facts.finalized is None and evidence.vanished is None:
        return
    clocks = Clocks.of(evidence.listings, Bounds(archive.local_pending, archive.pending))
    records = DayRecords(
        finalized={facts.path: facts.finalized} if facts.finalized else {},
        released={facts.path: evidence.released} if evidence.released else {},
        vanished={facts.path: evidence.vanished} if evidence.vanished else {},
        changes={facts.path: evidence.change} if evidence.change else {},
    )
    for compared, _ in compare_day([(facts.path, by_side)], clocks, records):
        facts.compared = compared
        break


def _read_catalog(context: Context, facts: FileFacts) -> None:
    assert facts.day is not None
    assert facts.camera is not None
    layout = context.layout.camera
    if not layout.catalog.exists():
        facts.camera.no_catalog = True
        return
    raw_path = _local_path(context, facts)
    with open_readonly(layout.catalog) as db:
        facts.camera.is_catalogued = any(media.raw_path == raw_path for media in day_media(db, facts.day))
        if (row := day_unreadable(db, layout.raw, facts.day).get(raw_path)) is not None:
            facts.camera.unreadable = row.reason


def _read_exclusions(context: Context, facts: FileFacts) -> None:
    assert facts.day is not None
    assert facts.camera is not None
    camera = camera_of(facts.path)
    if camera is None:
        return
    workspace, product = CameraWorkspace.of(context.site), product_of(context, facts.path, facts.day)
    assert product is not None
    if product.suffix == ".mp4":
        inputs = read_inputs(product) or read_no_video_record(workspace, product)
        kind, excluded = DAILY_VIDEO, inputs.excluded if inputs else {}
    else:
        kind, excluded = PIXELS, cameras.pixels.published_inputs(product)[1]
    if facts.path in excluded:
        facts.camera.excluded[product_key(camera, kind)] = excluded[facts.path]


def product_of(context: Context, path: str, day: date) -> Path | None:
    """The product of a day that excludes files of this kind: the video for a clip, the pixels for an image."""
    camera, layout = camera_of(path), context.layout.camera
    if camera is None:
        return None
    return layout.video(camera, day) if path.lower().endswith(".mp4") else layout.pixels(camera, day)


def camera_of(path: str) -> str | None:
    """The camera of a raw file, by its tree."""
    return next((one.key for one in CAMERAS.values() if path.startswith(f"{one.tree}/")), None)
