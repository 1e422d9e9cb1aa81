"""Verifies products as streams are verified: lists both places, reads new files, compares them, and finalizes them.

A collection is what one push copies: the core products, the camera's products, the registered files. Observe only: no
product is changed. A place that cannot be listed is reported, and proves nothing. Products of a UTC day are finalized
by day; all others by one list of the collection, each once it has rested for a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, partial

from aurora_platform.archive.compare import PROBLEMS, Compared, MatchClass, Verdict
from aurora_platform.archive.day_records import DayCounts, DayRecord
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.fixity_record import FixityRecord, ListingRecord
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.ledger_updates import LedgerUpdates
from aurora_platform.archive.product_compare import ProductClocks, compare_product
from aurora_platform.archive.product_list import OwnList
from aurora_platform.archive.product_places import ArchivedProducts, LocalProducts
from aurora_platform.archive.product_reports import CollectionReport
from aurora_platform.archive.proved_files import ProvedFiles
from aurora_platform.archive.selection import SelectionCounts, camera_product_day
from aurora_platform.archive.unchanged_days import unchanged_verdicts
from aurora_platform.config.archive import Archive
from aurora_platform.errors import EvidenceError, HostError, HostRefusedError
from aurora_platform.fs.versions import FileVersion, ScannedEntry, as_ns
from aurora_platform.layout import (
    OWN_LIST,
    REGISTERED,
    SIDE_NAMES,
    WXCAM_PRODUCTS,
    ArchiveLayout,
    FinalizedKey,
    Side,
    evidence_name,
)
from aurora_platform.streams.classify import why_unusable
from aurora_platform.text import Count
from aurora_platform.transport.checksums import Checksum

UNDATED = date(1970, 1, 1)
"""The day in the evidence of files that belong to no UTC day."""
_NO_COUNTS = DayCounts(*(None if name.endswith("_newest_ns") else 0 for name in DayCounts._fields))  # type: ignore[arg-type]
_OFFERED_AT_ONCE = 2000

ComparedProduct = tuple[Compared, Mapping[Side, FixityRecord], FixityRecord | None]
"""A compared file, its records per side, and its finalized version."""


@dataclass
class ProductProof:
    """The verification of one collection of products, with its two places and the stores of its evidence."""

    name: str
    archive: Archive
    local: LocalProducts
    copies: Sequence[ArchivedProducts]
    """The archive by each of its hosts, in order of preference."""
    evidence: Evidence
    finalizations: Finalizations
    ledger: Ledger
    log: Callable[[str], None] = lambda text: None
    is_emptied: bool = False
    """Whether an operator vouches that the local directory may be empty: its files were deleted, no disk is missing."""
    report: CollectionReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = CollectionReport(self.name)
        self.clock_ns = time.time_ns()  # products are made, and so stamped, on this machine
        self.began_at = self.ledger.sending.begin_listing(self.archive.name, self.finalizations.staging.locks)
        self.stored_as = evidence_name(self.name)
        self.proved = ProvedFiles(self.finalizations)
        self.copy: ArchivedProducts | None = None

    def verify(self, *, full: bool = False, why_unlisted: str = "") -> CollectionReport:
        """Verify the collection; with ``full`` read every file again, also those that were read recently.

        ``why_unlisted``: why nobody knows which finalizations the archive has; then nothing is proved.
        """
        began = time.time()
        self._list_local()
        if not self.report.errors and why_unlisted:
            self._fail("gws", "listed", why_unlisted)
        if not self.report.errors:
            self._list_archive()
        if self.report.errors:
            return self.report
        self._read("local", self.local.checksums, began if full else 0.0)
        if self.copy is not None:
            self._read("gws", self.copy.checksums, began if full else 0.0)
        days = self.days
        unchanged = self._find_unchanged(days, full=full)
        self.evidence.days.begin(self.stored_as, [day for day in days if day not in unchanged])
        records = dict[date, DayRecord]()
        for day in days:
            try:
                verdict = unchanged.get(day) or self._verify_day(day)
            except EvidenceError as error:  # the finalization of one day is damaged: the other days go on
                self.report.damaged[finalized_key(day)] = str(error)
                continue
            self.report.add(verdict)
            self.report.finalized_days += verdict.is_final and day != UNDATED
            if not self.report.errors and day != UNDATED and day not in unchanged:
                records[day] = DayRecord(0, verdict.as_json(), self.finalizations.fingerprint(day), _NO_COUNTS)
        self.evidence.days.save(self.stored_as, self.evidence.days.next_revision(self.stored_as), records)
        return self.report

    @property
    def days(self) -> list[date]:
        """The days with files, and those that are finalized: a file of them may be gone in both places."""
        return sorted(self.evidence.days.with_files(self.stored_as) | self._finalized_days | {UNDATED})

    @property
    def _finalized_days(self) -> set[date]:
        return {key for key in self.finalizations.all_keys() if isinstance(key, date)}

    def _listed(self) -> Mapping[str, FixityRecord]:
        """Return the files of the own list; none where it is damaged, which the comparison reports."""
        return self.proved.of(OWN_LIST).proved

    def _list_local(self) -> None:
        """List and queue the local files."""
        counts, days, had = SelectionCounts(), set[date](), self.evidence.days.with_files(self.stored_as)
        self.wanted = set[str]()
        """The paths that the archive should have."""

        def files() -> Iterator[tuple[date, ScannedEntry[str]]]:
            waiting = list[Item]()
            for path, item in self.local.items(self.ledger, counts):
                self.wanted.add(path)
                days.add(item.day or UNDATED)
                waiting.append(item)
                if len(waiting) == _OFFERED_AT_ONCE:
                    self.ledger.offer(self.archive.name, self.name, waiting)
                    waiting = []
                yield item.day or UNDATED, ScannedEntry(path, item.version)
            self.ledger.offer(self.archive.name, self.name, waiting)
            if had and not self.wanted and self.name != REGISTERED and not self.is_emptied:
                raise HostRefusedError(
                    f"{self.local.base} has no file of {self.name}, so its listing is not trusted. Is a disk missing? "
                    f"If they were deleted: aurora repair {self.name} --emptied, or aurora accept {self.name} --lost "
                    "--emptied"
                )

        self.evidence.set_location(self.stored_as, "local", self.local.base)
        try:
            self.evidence.replace_listing(self.stored_as, "local", [], files(), lambda: sorted(days | had))
        except HostError as error:
            self._fail("local", "listed", str(error))
        self.report.refused, self.report.left_out = counts.refused, counts.left_out
        self.report.empty_directories = counts.empty_directories
        self.wanted |= self._listed().keys()

    def _list_archive(self) -> None:
        """List the archive by the first host that works."""
        lost = {UNDATED if key == OWN_LIST else key for key in self.finalizations.missing_keys()}
        finalized, errors = self._finalized_days | lost, list[str]()
        if not self.wanted and not finalized:
            return  # its directory may not exist yet
        for place in self.copies:
            self.evidence.set_location(self.stored_as, "gws", place.base)
            try:
                self._list_copies(place, finalized)
            except HostError as error:
                errors.append(str(error))
            else:
                self.copy, self.report.host = place, place.host
                self._save_listing(place.host, None)
                return
        self._save_listing("", "; ".join(errors))
        self._fail("gws", "listed", "; ".join(errors))

    def _save_listing(self, host: str, error: str | None) -> None:
        """Store when the archive was listed, one record for the collection; ``aurora explain`` reads it."""
        listing = ListingRecord(time.time(), self.clock_ns, host, 0, error)
        self.evidence.save_listings(self.stored_as, "gws", {UNDATED: listing})

    def _list_copies(self, place: ArchivedProducts, finalized: set[date]) -> None:
        self.report.only_in_the_archive = strays = Count()
        days, had = set[date](), self.evidence.days.with_files(self.stored_as)
        earlier = self.proved.of(OWN_LIST).earlier

        def files() -> Iterator[tuple[date, ScannedEntry[str]]]:
            for entry in place.entries({*self.wanted, *earlier}):
                if why_unusable(entry) is not None:  # a directory, a link, or a name that no file of ours has
                    continue
                path = entry.path.decode()
                day = self._day_of(path)
                # Where a finalization is lost, every file of the archive may have been in it.
                if path in self.wanted or day in finalized or path in earlier:
                    days.add(day)
                    yield day, ScannedEntry(path, entry.version)
                if path not in self.wanted and day not in finalized:
                    strays.add(path)

        self.evidence.replace_listing(self.stored_as, "gws", [], files(), lambda: sorted(days | had))

    def _day_of(self, path: str) -> date:
        return (camera_product_day(path) if self.name == WXCAM_PRODUCTS else None) or UNDATED

    def _fail(self, side: Side, done: str, why: str) -> None:
        self.report.errors[side] = why
        self.log(f"{self.name}: {SIDE_NAMES[side]} could not be {done}: {why}")

    def _read(self, side: Side, read: Callable[[Sequence[str]], Iterator[Checksum]], again_before: float) -> None:
        """Read files that were never read in this version, or too long ago; saves each batch as soon as it is read."""
        try:
            for batch in self.evidence.to_read(
                self.stored_as,
                side,
                self.days,
                older_than_ns=self.clock_ns - as_ns(self.archive.pending),
                scrub=self.archive.scrub,
                again_before=again_before,
            ):
                self.evidence.save_checksums(self.stored_as, side, read(batch))
                self.report.read[side] = self.report.read.get(side, 0) + len(batch)
        except HostError as error:
            self._fail(side, "completely read", str(error))

    def _find_unchanged(self, days: Sequence[date], *, full: bool) -> Mapping[date, Verdict]:
        """Find the days whose last comparison still holds."""
        dated = [day for day in days if day != UNDATED]
        if full or self.report.errors or not dated:
            return {}
        unverified = self.ledger.unverified_days(self.archive.name, self.name, dated)
        return unchanged_verdicts(self.stored_as, dated, self.evidence, self.finalizations, unverified)

    def _verify_day(self, day: date) -> Verdict:
        """Compare a day, or the files without one; update the ledger; finalize what is complete."""
        verdict = Verdict()
        is_sent, earlier = partial(self.is_sent, OWN_LIST), self.proved.of(OWN_LIST).earlier
        own_list = OwnList(self.finalizations, self.clock_ns, is_sent, self._is_kept, earlier)
        proved = list[tuple[str, FixityRecord]]()
        root = self._remote_root
        updates = LedgerUpdates(self.ledger, self.archive.name, self.name, day, self.local.base, root)
        for compared, by_side, finalized in self.compare(day):
            verdict.add(compared, by_side)
            if "local" in by_side and (compared.archive is not MatchClass.CHECKSUM or compared.right is finalized):
                # Without the local record: the file is queued already.
                updates.add(compared, {side: record for side, record in by_side.items() if side == "gws"})
            own_list.add(compared, by_side, finalized)
            if compared.is_proved:
                proved.append((compared.path, by_side["gws"]))
        updates.flush()
        if not self.report.errors:
            if day == UNDATED:
                self.report.listed = own_list.files
                is_changed = own_list.publish()
            else:
                is_changed = self._finalize(day, verdict, sorted(proved, key=lambda file: file[0]))
            if is_changed:
                self.report.changed.append(finalized_key(day))
        finalization = self.finalizations.read(finalized_key(day))
        verdict.is_final = finalization is not None and finalization.complete
        if finalization is not None:
            self.evidence.finalized.note(self.stored_as, finalized_key(day), finalization.revision)
        return verdict

    def compare(self, day: date) -> Iterator[ComparedProduct]:
        """Compare each file of a day, or without one, by the evidence.

        Raises
        ------
        EvidenceError
            Where its finalization is damaged.
        """
        vouched = self.proved.of(finalized_key(day))
        if vouched.error:
            raise EvidenceError(vouched.error)
        proved = vouched.proved
        clocks = ProductClocks(self.clock_ns - as_ns(self.archive.pending), self._queued.get(day, ()))
        on_no_side = dict(proved)
        for path, by_side in self.evidence.files(self.stored_as, day):
            on_no_side.pop(path, None)
            yield self._compare(path, by_side, proved.get(path), clocks)
        for path, finalized in on_no_side.items():
            yield self._compare(path, {}, finalized, clocks)

    def _compare(
        self, path: str, by_side: Mapping[Side, FixityRecord], finalized: FixityRecord | None, clocks: ProductClocks
    ) -> ComparedProduct:
        local = by_side.get("local")
        is_needed, is_database = self.name != REGISTERED, path in self.local.databases
        archived = by_side.get("gws")
        compared = compare_product(
            path, local, archived, finalized, clocks, is_needed=is_needed, is_database=is_database
        )
        if {compared.local, compared.archive} & set(PROBLEMS) and self._is_written(path, local):
            compared = Compared(path, MatchClass.IDENTICAL, MatchClass.PENDING, compared.right)
        return compared, by_side, finalized

    @cached_property
    def _queued(self) -> Mapping[date, set[str]]:
        """The files that wait for the next push, by day."""
        root, found = f"{self._remote_root}/", dict[date, set[str]]()
        for item in self.ledger.to_send(self.archive.name, self.name):
            found.setdefault(item.day or UNDATED, set()).add(item.remote_path.removeprefix(root))
        return found

    def _is_written(self, path: str, local: FixityRecord | None) -> bool:
        """Whether the local file has changed since it was listed; a push may have sent its new version already."""
        if path in self.local.databases:
            return False
        try:
            now = FileVersion.of(self.local.file(path).lstat())
        except OSError:
            now = None
        return now != (local.version if local is not None else None)

    def local_files(self) -> list[tuple[str, Item]]:
        """List the local files, each with its path."""
        return list(self.local.items(self.ledger, SelectionCounts()))

    def remote_path(self, path: str) -> str:
        """Return the absolute path of a file in the archive."""
        return f"{self._remote_root}/{path}"

    def by_archive_root(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Return directory of the archive -> the files to fetch from it; registered files may be in any."""
        if self._remote_root:
            return {self._remote_root: list(paths)}
        found = dict[str, list[str]]()
        for path in paths:
            if (root := ArchiveLayout.of(self.archive).root_of(f"/{path}")) is not None:
                found.setdefault(root.rstrip("/"), []).append(path)
        return found

    @property
    def _remote_root(self) -> str:
        return self.finalizations.archive_root.rstrip("/")

    def is_sent(self, key: FinalizedKey, paths: Iterable[str]) -> bool:
        """Whether a push has sent files of a finalization since the places were listed, or is sending them."""
        sent = self.ledger.sending.since(self.archive.name, self.began_at)
        if isinstance(key, date):
            return (self.name, key) in sent.days
        return not sent.paths.isdisjoint(map(self.remote_path, paths))

    def _is_kept(self, path: str, size: int | None, since: datetime) -> bool:
        return self.ledger.replaced.is_kept(self.archive.name, self.remote_path(path), size, since)

    def _finalize(self, day: date, verdict: Verdict, proved: Sequence[tuple[str, FixityRecord]]) -> bool:
        """Finalize a day that is over and complete, or withdraw its finalization; returns whether that changed it."""
        day_ends = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        if verdict.is_whole:
            is_over = (day_ends + self.archive.pending).timestamp() <= self.clock_ns / 1e9
            return is_over and self.finalizations.complete(day, proved, is_sent=lambda: self.is_sent(day, ()))
        return bool(verdict.files) and self.finalizations.withdraw(day, verdict.first_reason)


def finalized_key(day: date) -> FinalizedKey:
    """Return what finalizes the files of a day in the evidence."""
    return OWN_LIST if day == UNDATED else day
