"""Verifies days of a stream: lists the three places, reads new files, compares them, and finalizes complete days.

Observe only: it writes evidence about files, and never a file of a stream. A place that cannot be listed is reported,
and proves nothing.

The three places are arguments. The asset in :mod:`aurora_assets.archive.assets` only calls :class:`Verification`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from aurora_platform.archive.absence import find_suspect_days, require_nonempty_source
from aurora_platform.archive.compare import PROBLEMS, Bounds, Clocks, Compared, MatchClass, Verdict, compare_day
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.fixity_record import FixityRecord, ListingRecord
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.reports import DayVerdict, VerifyReport
from aurora_platform.archive.unchanged_days import unchanged_verdicts
from aurora_platform.config.archive import Archive
from aurora_platform.config.streams import Stream
from aurora_platform.errors import EvidenceError, HostError
from aurora_platform.fs.versions import ScannedEntry, as_ns
from aurora_platform.layout import SIDE_NAMES, SIDES, Side, raw_group
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.text import Count, printable
from aurora_platform.transport.listing import ListedEntry, Listing
from aurora_platform.transport.protocols import Hasher, Source

_COPIES: tuple[Side, Side] = ("local", "gws")
_LEDGER_BATCH = 1000  # rows that go into the ledger in one transaction


@dataclass(frozen=True)
class Place:
    """Access to one of the three places: the root of a tree, the stream's directory in it, and clients to read it."""

    host: str
    """The name of the host, for the report."""
    source: Source
    hasher: Hasher
    root: str
    """Must exist: a missing root means an unmounted disk, and does not prove that files are missing."""
    below: str = ""
    """The stream's directory below the root, where it need not exist yet."""

    def list(self, directories: Sequence[str], named: Sequence[str] = ()) -> Listing:
        """List the stream's files below the root, relative to the stream's own directory."""
        if not self.below:
            return self.source.list(self.root, directories, named=named)
        prefix = f"{self.below}/"
        # With a trailing slash: the directory may be a symlink to another disk.
        listing = self.source.list(
            self.root, [prefix + directory for directory in directories] or [prefix], named=named
        )
        return replace(listing, entries=_below(listing.entries, prefix.encode()))

    @property
    def base(self) -> str:
        """The stream's own directory."""
        return f"{self.root.rstrip('/')}/{self.below}".rstrip("/")


def _unreadable(listing: Listing) -> str | None:
    """Describe the directories that a consumed listing could not read; None without any."""
    unreadable = listing.unreadable
    return f"{unreadable.total} directories not readable: {unreadable.first[0]}" if unreadable.total else None


def _below(entries: Generator[ListedEntry], prefix: bytes) -> Generator[ListedEntry]:
    with closing(entries):
        for entry in entries:
            if entry.path.startswith(prefix) and entry.path != prefix:
                yield ScannedEntry(entry.path[len(prefix) :], entry.version, entry.kind)


class Verification:
    """The verification of one stream, with its three places and the stores of its evidence."""

    def __init__(
        self,
        name: str,
        stream: Stream,
        archive: Archive,
        places: dict[Side, Sequence[Place]],
        evidence: Evidence,
        finalizations: Finalizations,
        ledger: Ledger,
        log: Callable[[str], None] = lambda text: None,
        accept_loss: bool = False,
    ) -> None:
        """``places`` has one entry per side, or several for the archive, in order of preference.

        With ``accept_loss`` a source is trusted that is empty, or has lost most of its files.
        """
        self.name = name
        self.stream = stream
        self.archive = archive
        self.places = places
        self.evidence = evidence
        self.finalizations = finalizations
        self.ledger = ledger
        self.log = log
        self.accept_loss = accept_loss

    def verify_days(self, days: Sequence[date], *, full: bool = False) -> VerifyReport:
        """Verify some days of the stream.

        Parameters
        ----------
        days
            UTC days; one listing per side serves all of them.
        full
            Read every file again, also those that were read recently.
        """
        began = time.time()
        report = VerifyReport()
        self.evidence.clear_verdicts(self.name, days)
        for side in SIDES:
            self._list(side, days, report)
        for side in SIDES:
            if side not in report.errors:
                self._read(side, days, began if full else 0.0, report)
        unchanged = {} if full else self._find_unchanged(days, report)
        for day in sorted(days):
            try:
                found = unchanged.get(day)
                report.days.append(self._compare(day, report) if found is None else DayVerdict(day, found))
            except EvidenceError as error:  # the finalization of one day is damaged: the other days go on
                report.unverified_days[day] = str(error)
                report.days.append(DayVerdict(day, Verdict(), error=str(error)))
        report.compared_days = [day.day for day in report.days if not day.error and day.day not in unchanged]
        # A day that was not compared gets no verdict, so that no file is pruned on it.
        verdicts = {day.day: day.verdict.as_json() for day in report.days if not day.error}
        self.evidence.save_verdicts(self.name, verdicts)
        report.seconds = time.time() - began
        return report

    def _list(self, side: Side, days: Sequence[date], report: VerifyReport) -> None:
        if not self._try_places(side, "listed", lambda place: self._list_place(side, place, days, report), report):
            record = ListingRecord(time.time(), time.time_ns(), "", 0, report.errors[side])
            self.evidence.save_listings(self.name, side, dict.fromkeys(days, record))

    def _try_places(self, side: Side, done: str, work: Callable[[Place], None], report: VerifyReport) -> bool:
        """Try the places of a side in turn until one works; where none does, the report gets the errors of all."""
        errors = []
        for place in self.places[side]:
            try:
                work(place)
            except HostError as error:
                errors.append(str(error))
            else:
                return True
        report.errors[side] = "; ".join(errors)
        self.log(f"{SIDE_NAMES[side]} could not be {done}: {report.errors[side]}")
        return False

    def _list_place(self, side: Side, place: Place, days: Sequence[date], report: VerifyReport) -> None:
        directories = Directories(self.stream, days)
        # The source is listed without the patterns of the days' names: files of other names must be reported, because
        # they are never mirrored. The two copies cannot have such files, so they are listed with the patterns.
        listing = place.list(directories.below, () if side == "source" else directories.name_patterns)
        classify = Classifier(self.stream, directories, listing.clock_ns)
        refused: dict[date, int] = {}
        wanted = set(days)
        is_empty = True

        def files() -> Iterator[tuple[date, ScannedEntry[str]]]:
            nonlocal is_empty
            for entry in listing.entries:
                is_empty &= entry.path == b"."
                if classify.is_of_another_day(entry, wanted):
                    continue
                classified = classify(entry)
                if side == "source" and classified.reason is not None and (day := self._day_by_name(entry)) in wanted:
                    left_out = report.left_out.setdefault(day, Count())
                    left_out.add(f"{printable(entry.path)}: {classified.reason}")
                if classified.day not in wanted:
                    continue
                if classified.file is not None:
                    yield classified.day, classified.file
                elif classified.reason is not None:
                    refused[classified.day] = refused.get(classified.day, 0) + 1
                    report.refused.add(
                        f"{SIDE_NAMES[side]}: {entry.path.decode('utf-8', 'replace')}: {classified.reason}"
                    )

        location = f"{self.stream.host}:{place.base}" if side == "source" else place.base

        def trusted_days() -> Sequence[date]:
            if self.accept_loss:
                self.evidence.accept_empty(self.name, is_empty)
                return days
            if not is_empty:
                self.evidence.accept_empty(self.name, False)
            elif not self.evidence.may_be_empty(self.name):
                require_nonempty_source(self.name, location, lambda without: place.source.list(place.root, [], without))
            at_risk = self.evidence.at_risk(self.name, days)
            suspect = find_suspect_days(self.name, location, at_risk, self.finalizations, _unreadable(listing))
            report.unverified_days |= suspect
            return [day for day in days if day not in suspect]

        self.evidence.set_location(self.name, side, location)
        self.evidence.replace_listing(self.name, side, days, files(), trusted_days if side == "source" else None)
        if error := _unreadable(listing):
            report.errors[side] = error
        now = time.time()
        records = {
            day: ListingRecord(
                now, listing.clock_ns, place.host, refused.get(day, 0), error or report.unverified_days.get(day)
            )
            for day in days
        }
        self.evidence.save_listings(self.name, side, records)
        report.hosts[side] = place.host

    def _day_by_name(self, entry: ListedEntry) -> date | None:
        """The day of a file by its name, whatever else is wrong with it; None where it is not a file of the stream."""
        path = entry.path.decode("utf-8", "surrogateescape")
        if not entry.is_regular or not self.stream.includes(path) or self.stream.day == "mtime":
            return None
        return self.stream.day_of(path, 0)

    def _read(self, side: Side, days: Sequence[date], again_before: float, report: VerifyReport) -> None:
        """Read files that were never read in this version, or too long ago; saves each batch as soon as it is read."""
        bound = self.archive.pending if side == "gws" else self.archive.local_pending
        clock = self.evidence.listings(self.name, max(days))[side].clock_ns

        def work(place: Place) -> None:
            for batch in self.evidence.to_read(
                self.name,
                side,
                days,
                older_than_ns=clock - as_ns(bound),
                scrub=self.archive.scrub,
                again_before=again_before,
            ):
                self.evidence.save_checksums(self.name, side, place.hasher.checksums(place.base, batch))
                report.read[side] = report.read.get(side, 0) + len(batch)

        self._try_places(side, "completely read", work, report)

    def _find_unchanged(self, days: Sequence[date], report: VerifyReport) -> Mapping[date, Verdict]:
        """Find the days whose last comparison still holds."""
        if report.errors:
            return {}
        unverified = self.ledger.unverified_days(self.archive.name, raw_group(self.name), days)
        to_compare = {*report.unverified_days, *report.left_out, *unverified}
        return unchanged_verdicts(self.name, days, self.evidence, self.finalizations, to_compare)

    def _compare(self, day: date, report: VerifyReport) -> DayVerdict:
        """Compare a day, update the ledger, and finalize the day where it is complete."""
        listings = self.evidence.listings(self.name, day)
        clocks = Clocks.of(listings, Bounds(self.archive.local_pending, self.archive.pending))
        left_out = report.left_out.get(day, Count())
        result = DayVerdict(day, Verdict(refused=left_out.total, first_refused="".join(left_out.first[:1])))
        proved: list[tuple[str, FixityRecord]] = []
        local_root, archive_root = (self.places[side][0].base for side in _COPIES)
        updates = _LedgerUpdates(self.ledger, self.archive.name, raw_group(self.name), day, local_root, archive_root)
        for compared, by_side in compare_day(
            self.evidence.files(self.name, day),
            clocks,
            finalized=self.finalizations.proved(day),
            released=self.evidence.released(self.name, day),
        ):
            result.verdict.add(compared, by_side)
            if "gws" not in report.errors:
                updates.add(compared, by_side)
            if compared.is_proved:
                proved.append((compared.path, by_side["gws"]))
        updates.flush()
        if not report.errors and day not in report.unverified_days:
            self._finalize(result, listings, proved)
        else:
            finalization = self.finalizations.read(day)
            result.verdict.is_final = finalization is not None and finalization.complete
        return result

    def _finalize(
        self, result: DayVerdict, listings: dict[Side, ListingRecord], proved: list[tuple[str, FixityRecord]]
    ) -> None:
        """Finalize a day that was listed on all three sides, or withdraw its finalization."""
        day_ends = datetime(result.day.year, result.day.month, result.day.day, tzinfo=UTC) + timedelta(days=1)
        # By both clocks: a clock that is ahead must not end a day too early.
        now = min(listings["source"].clock_ns, listings["local"].clock_ns) / 1e9
        is_over = (day_ends + self.archive.pending).timestamp() <= now
        if is_over and result.verdict.is_whole:
            result.is_changed = self.finalizations.complete(result.day, proved)
            result.verdict.is_final = True
            return
        finalization = self.finalizations.read(result.day)
        if finalization is not None and finalization.files and not result.verdict.is_whole:
            why = "; ".join(result.verdict.gaps) or result.verdict.first_reason
            result.is_changed = self.finalizations.withdraw(result.day, why)


class _LedgerUpdates:
    """Updates of the ledger from the comparison of a day, written in batches."""

    def __init__(self, ledger: Ledger, archive: str, group: str, day: date, local_root: str, archive_root: str) -> None:
        """``local_root`` and ``archive_root`` are the stream's directories."""
        self.ledger = ledger
        self.archive = archive
        self.group = group
        self.day = day
        self.local_root = local_root
        self.archive_root = archive_root
        self.proofs: list[tuple[ScannedEntry[str], str, str]] = []
        self.queue: list[Item] = []
        self.lost: dict[str, list[str]] = {}

    def add(self, compared: Compared, by_side: Mapping[Side, FixityRecord]) -> None:
        path, right, archived = f"{self.archive_root}/{compared.path}", compared.right, by_side.get("gws")
        if (
            right is not None
            and archived is not None
            and compared.archive in (MatchClass.IDENTICAL, MatchClass.CHECKSUM)
        ):
            assert right.sha256 is not None  # both classes compare two checksums
            assert archived.sha256 is not None
            self.proofs.append((ScannedEntry(path, archived.version), right.sha256, archived.sha256))
        # A wrong local file is for the mirror or a repair; it is not sent meanwhile.
        elif (
            compared.archive in (MatchClass.MISSING, MatchClass.SIZE, MatchClass.MTIME)
            and compared.local not in PROBLEMS
        ):
            self.lost.setdefault(f"{compared.archive} in the archive when it was listed", []).append(path)
            if (local := by_side.get("local")) is not None:
                # Files that were copied by hand, or that are older than the ledger, have no row yet.
                local_path = f"{self.local_root}/{compared.path}"
                self.queue.append(Item(local_path, path, local.version, self.day))
        if len(self.proofs) + len(self.queue) >= _LEDGER_BATCH:
            self.flush()

    def flush(self) -> None:
        if self.proofs:
            self.ledger.mark_verified(self.archive, self.proofs)
        if self.queue:
            self.ledger.offer(self.archive, self.group, self.queue)
        for reason, paths in self.lost.items():
            self.ledger.requeue_lost(self.archive, paths, reason)
        self.proofs, self.queue, self.lost = [], [], {}
