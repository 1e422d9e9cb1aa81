"""Verifies days of a stream: lists the three places, reads new files, compares them, and finalizes complete days.

Observe only: it writes evidence about files, and never a file of a stream. A place that cannot be listed is reported,
and proves nothing.

The three places are arguments. The asset in :mod:`aurora_assets.archive.assets` only calls :class:`Verification`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from aurora_platform.archive.absence import find_suspect_days, is_of_empty_root, require_nonempty_source
from aurora_platform.archive.change_rule import Change, find_changes, first_revisable
from aurora_platform.archive.compare import (
    Bounds,
    Clocks,
    DayRecords,
    Verdict,
    compare_day,
)
from aurora_platform.archive.finalization import Finalization
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.fixity_record import FixityRecord, ListingRecord
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.ledger_updates import LedgerUpdates
from aurora_platform.archive.place import Place as Place
from aurora_platform.archive.place import joined, unreadable_in
from aurora_platform.archive.reports import DayVerdict, VerifyReport
from aurora_platform.archive.unchanged_days import unchanged_verdicts
from aurora_platform.config.archive import Archive
from aurora_platform.config.streams import Stream
from aurora_platform.errors import EvidenceError, HostError
from aurora_platform.fs.versions import ScannedEntry, as_ns
from aurora_platform.layout import SIDE_NAMES, SIDES, Side, raw_group
from aurora_platform.streams.classify import Classifier, Directories, day_name_patterns
from aurora_platform.text import Count, human_size, printable
from aurora_platform.transport.listing import ListedEntry

_COPIES: tuple[Side, Side] = ("local", "gws")

_EPOCH = datetime.fromtimestamp(0, UTC)


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
        self.why_unlisted = ""
        """Why nobody knows which finalizations the archive has; then no day is finalized."""
        self.began_at = 0
        """The moment of the ledger's notes of pushes (`Sending.moment`) before the places were listed."""

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
        self.began_at = self.ledger.sending.begin_listing(self.archive.name, self.finalizations.staging.locks)
        report = VerifyReport()
        self.evidence.clear_verdicts(self.name, days)
        unrecorded = self.evidence.earlier.take_over(self.name, days, self.finalizations, self.stream.day_of)
        report.unverified_days |= unrecorded
        for side in SIDES:
            self._list(side, days, report)
        for side in SIDES:
            if side not in report.errors:
                self._read(side, days, began if full else 0.0, report)
        if "source" not in report.errors:
            self._decide_changes([day for day in days if day not in report.unverified_days], began)
        unchanged = {} if full else self._find_unchanged(days, report)
        for day in sorted(days):
            report.days.append(self._result_of(day, report, unchanged.get(day), unrecorded.get(day)))
        report.compared_days = [day.day for day in report.days if not day.error and day.day not in unchanged]
        # A day that was not compared gets no verdict, so that no file is pruned on it.
        verdicts = {day.day: day.verdict.as_json() for day in report.days if not day.error}
        self.evidence.save_verdicts(self.name, verdicts)
        report.seconds = time.time() - began
        return report

    def _result_of(self, day: date, report: VerifyReport, unchanged: Verdict | None, error: str | None) -> DayVerdict:
        """The result of a day: an error is of this day alone, and the other days go on."""
        if error is not None:
            return DayVerdict(day, Verdict(), error=error)
        if unchanged is not None:
            return DayVerdict(day, unchanged)
        try:
            return self._compare(day, report)
        except EvidenceError as damage:  # of the finalization
            report.unverified_days[day] = str(damage)
            return DayVerdict(day, Verdict(), error=str(damage))

    def _decide_changes(self, days: Sequence[date], listed_at: float) -> None:
        """Decide about the finalized files of these days that have another version at the source.

        ``listed_at`` is when the pass began, s since epoch.
        """
        changes, finalized_files = list[Change](), dict[date, int]()
        proved_changes = dict[date, dict[str, FixityRecord]]()
        decisions = self.evidence.changes.of_stream(self.name)
        stored = {decision.change.day for decision in decisions.values()}
        compared = set(days)
        # A change shows in the rows of its day, and the day has changed since it was last compared.
        changed = self.evidence.changes.days_to_decide(self.name, compared & self.evidence.days.changed(self.name))
        for day in sorted(changed | stored & compared):
            try:
                proved = self.finalizations.proved(day)
            except EvidenceError:  # the comparison of the day reports it; what is stored of the day stays
                compared.discard(day)
                continue
            finalized_files[day] = len(proved)
            proved_changes[day] = {path: proved[path] for path in decisions.keys() & proved.keys()}
            changes += find_changes(day, proved, self.evidence.files(self.name, day))
        if changes or stored & compared:
            window = first_revisable(self.stream)
            self.evidence.changes.store(
                self.name, changes, finalized_files, window, compared, proved_changes, listed_at
            )

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
        listing = place.list(directories.below, directories.name_patterns)
        if side == "source" and directories.name_patterns:
            # Files of other names than of any day must be reported, because they are never mirrored. The two copies
            # cannot have such files.
            listing = joined(listing, place.list_without(day_name_patterns(self.stream)))
        classify = Classifier(self.stream, directories, listing.clock_ns)
        refused: dict[date, int] = {}
        wanted = set(days)
        is_empty, is_dated_by_mtime = True, self.stream.day == "mtime"

        def files() -> Iterator[tuple[date, ScannedEntry[str]]]:
            nonlocal is_empty
            for entry in listing.entries:
                is_empty = is_empty and is_of_empty_root(entry.path)
                if classify.is_of_another_day(entry, wanted):
                    continue
                classified = classify(entry)
                is_empty &= classified.file is None
                if side == "source" and classified.reason is not None and (day := self._day_by_name(entry)) in wanted:
                    left_out = report.left_out.setdefault(day, Count())
                    left_out.add(f"{printable(entry.path)}: {classified.reason}")
                if classified.day not in wanted:
                    if is_dated_by_mtime and classified.day is not None and classified.file is not None:
                        yield classified.day, classified.file  # it has moved to another day, and is not gone
                    continue
                if classified.file is not None:
                    yield classified.day, classified.file
                elif classified.reason is not None:
                    refused[classified.day] = refused.get(classified.day, 0) + 1
                    report.refused.add(
                        f"{SIDE_NAMES[side]}: {entry.path.decode('utf-8', 'replace')}: {classified.reason}"
                    )

        location = f"{self.stream.host}:{place.base}" if side == "source" else place.base

        def verified() -> Sequence[date]:
            return [day for day in days if day not in report.unverified_days]

        def trusted_days() -> Sequence[date]:
            vanished = self.evidence.vanished
            if self.accept_loss:
                vanished.accept_empty(self.name, is_empty)
                return verified()
            if not is_empty:
                vanished.accept_empty(self.name, False)
            elif not vanished.may_be_empty(self.name):
                require_nonempty_source(self.name, location, lambda without: place.source.list(place.root, [], without))
            missing, had = vanished.missing_now(self.name, days), vanished.source_counts(self.name, days)
            suspect = find_suspect_days(self.name, location, missing, had, self.finalizations, unreadable_in(listing))
            report.unverified_days |= suspect
            return verified()

        self.evidence.set_location(self.name, side, location)
        if side == "source":
            # A younger file is still being written, perhaps under a temporary name: nobody expects it.
            settled_ns = listing.clock_ns - as_ns(self.stream.settle)
            self.evidence.replace_listing(self.name, side, days, files(), trusted_days, settled_ns)
            if self.accept_loss:
                self.evidence.vanished.accept_days(self.name, verified())
        else:
            self.evidence.replace_listing(self.name, side, days, files())
        if error := unreadable_in(listing):
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
        if side == "source" and self.stream.verify.source == "size":
            return
        bound = self.archive.pending if side == "gws" else self.archive.local_pending
        clock = self.evidence.listings(self.name, max(days))[side].clock_ns
        if side == "source":  # the files of a listing that is not trusted may be gone
            days = [day for day in days if day not in report.unverified_days]

        def work(place: Place) -> None:
            for batch in self.evidence.to_read(
                self.name,
                side,
                days,
                older_than_ns=clock - as_ns(bound),
                scrub=self.archive.scrub,
                again_before=again_before,
            ):
                paths = self._affordable(batch, report) if side == "source" else batch
                self.evidence.save_checksums(self.name, side, place.hasher.checksums(place.base, paths))
                report.read[side] = report.read.get(side, 0) + len(paths)
                if len(paths) < len(batch):
                    return  # the rest waits for another day

        self._try_places(side, "completely read", work, report)

    def _affordable(self, paths: Sequence[str], report: VerifyReport) -> Sequence[str]:
        """Return the files of the source that its reading budget allows to read today."""
        budget = self.stream.verify.budget
        if budget is None:
            return paths
        chosen = self.evidence.budget.take(self.stream.host, datetime.now(UTC).date(), budget, self.name, paths)
        if len(chosen) < len(paths):
            report.budget_used_up = (
                f"{self.stream.host}: {human_size(budget)} were read today (verify.budget), the other files wait"
            )
        return chosen

    def records_of(self, day: date) -> DayRecords:
        """Read what is recorded of a day; :class:`EvidenceError` where its finalization is damaged."""
        lost = {
            path
            for path, record in self.evidence.vanished.lost(self.name, day).items()
            if not self._is_archived(path, record)
        }
        proved = self.finalizations.proved(day)
        moved = {path for path, record in proved.items() if self._has_moved(path, record, day)}
        return DayRecords(
            finalized={path: record for path, record in proved.items() if path not in lost and path not in moved},
            moved=moved,
            released=self.evidence.released(self.name, day),
            vanished=self.evidence.vanished.expected(self.name, day),
            changes=self.evidence.changes.of_stream(self.name),
            is_source_read=self.stream.verify.source == "checksum",
        )

    def _has_moved(self, path: str, record: FixityRecord, day: date) -> bool:
        """Whether a file that is dated by its mtime was written again on another day, and this version is kept."""
        if self.stream.day != "mtime":
            return False
        archived = self.evidence.records_of(self.name, path).get("gws")
        if archived is None or self.stream.day_of(path, archived.version.mtime_ns) == day:
            return False
        remote, size = f"{self.finalizations.archive_root}/{path}", record.version.size
        return self.ledger.replaced.is_kept(self.archive.name, remote, size, _EPOCH)

    def _is_archived(self, path: str, record: FixityRecord) -> bool:
        """Whether the archive shows a version after all that was accepted as lost: then it is not lost."""
        archived = self.evidence.records_of(self.name, path).get("gws")
        return archived is not None and archived.version.same_as(record.version)

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
        updates = LedgerUpdates(self.ledger, self.archive.name, raw_group(self.name), day, local_root, archive_root)
        records = self.records_of(day)
        for compared, by_side in compare_day(self.evidence.files(self.name, day), clocks, records):
            result.verdict.add(compared, by_side)
            if "gws" not in report.errors:
                updates.add(compared, by_side)
            if compared.is_proved:
                proved.append((compared.path, by_side["gws"]))
        updates.flush()
        if not report.errors and day not in report.unverified_days:
            # A day of which all files have moved to other days has nothing left that could be missing.
            is_whole = result.verdict.is_whole or (bool(records.moved) and not result.verdict.files)
            finalization = self._finalize(result, listings, proved, is_whole=is_whole)
            if result.verdict.is_final:
                self._settle_vanished(day)
        else:
            finalization = self.finalizations.read(day)
            result.verdict.is_final = finalization is not None and finalization.complete
        if finalization is not None:
            self.evidence.finalized.note(self.name, day, finalization.revision)
        return result

    def _settle_vanished(self, day: date) -> None:
        """Forget the vanished files that the finalization of a complete day lists: from now on it expects them."""
        if expected := self.evidence.vanished.expected(self.name, day):
            self.evidence.vanished.settle(self.name, expected.keys() & self.finalizations.proved(day).keys())

    def _finalize(
        self,
        result: DayVerdict,
        listings: dict[Side, ListingRecord],
        proved: list[tuple[str, FixityRecord]],
        *,
        is_whole: bool,
    ) -> Finalization | None:
        """Finalize a day that was listed on all three sides, or withdraw its finalization; returns its finalization."""
        day_ends = datetime(result.day.year, result.day.month, result.day.day, tzinfo=UTC) + timedelta(days=1)
        # By both clocks: a clock that is ahead must not end a day too early.
        now = min(listings["source"].clock_ns, listings["local"].clock_ns) / 1e9
        is_over = (day_ends + self.archive.pending).timestamp() <= now
        if is_over and is_whole and not self.why_unlisted:
            found = {path for path, _ in proved}  # what somebody has brought back is not lost
            lost = self.evidence.vanished.lost(self.name, result.day)
            lost = {path: record for path, record in lost.items() if path not in found}

            def is_sent() -> bool:
                sent = self.ledger.sending.since(self.archive.name, self.began_at)
                return (raw_group(self.name), result.day) in sent.days

            result.is_changed = self.finalizations.complete(result.day, proved, lost.items(), is_sent=is_sent)
            finalization = self.finalizations.read(result.day)
            result.verdict.is_final = finalization is not None and finalization.complete
            return finalization
        finalization = self.finalizations.read(result.day)
        if finalization is not None and finalization.files and not is_whole:
            why = "; ".join(result.verdict.gaps) or result.verdict.first_reason
            result.is_changed = self.finalizations.withdraw(result.day, why)
        return finalization
