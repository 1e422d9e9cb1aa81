"""Verifying days of a stream: list the three places, read what is new there, compare, and say what is proved.

Observe only: it writes evidence about files, and no file of a stream. What cannot be seen is said, and proves nothing.

Plain Python: the three places come in as arguments. The asset in :mod:`aurora_assets.archive.assets` is a thin cover
over :func:`verify_days`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from aurora_platform.archive.absence import doubtful_days, see_that_it_is_not_empty
from aurora_platform.archive.compare import GAPS, Bounds, Class, Clocks, Compared, Verdict, compare_day
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.fixity_record import FixityRecord, Look
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.reports import DayVerdict, VerifyReport
from aurora_platform.config.archive import Archive
from aurora_platform.config.streams import Stream
from aurora_platform.errors import EvidenceError, HostError
from aurora_platform.fs.versions import ScannedEntry, as_ns
from aurora_platform.layout import SIDES, Side, raw_group
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.text import Count, printable
from aurora_platform.transport.listing import ListedEntry, Listing
from aurora_platform.transport.protocols import Hasher, Source

_OURS: tuple[Side, Side] = ("local", "gws")
_NOTED = 1000  # rows that go into the ledger in one transaction


@dataclass(frozen=True)
class Place:
    """A way to one of the three places: a tree's root, the directory of the stream below it, and who looks into it."""

    host: str
    """Who is asked, for the report."""
    source: Source
    hasher: Hasher
    root: str
    """Must exist: where it does not, a disk is not mounted, and that is no proof that files are missing."""
    below: str = ""
    """The stream's directory below the root, where that need not exist yet."""

    def list(self, directories: Sequence[str], named: Sequence[str] = ()) -> Listing:
        """List the stream's files below the root, relative to the stream's own directory."""
        if not self.below:
            return self.source.list(self.root, directories, named=named)
        prefix = f"{self.below}/"
        # With its slash: that directory may be a symlink to another disk.
        listing = self.source.list(self.root, [prefix + one for one in directories] or [prefix], named=named)
        return replace(listing, entries=_below(listing.entries, prefix.encode()))

    @property
    def base(self) -> str:
        """The stream's own directory."""
        return f"{self.root.rstrip('/')}/{self.below}".rstrip("/")


def _unreadable(listing: Listing) -> str | None:
    """What of a listing that is used up could not be read."""
    unreadable = listing.unreadable
    return f"{unreadable.total} directories not readable: {unreadable.first[0]}" if unreadable.total else None


def _below(entries: Generator[ListedEntry], prefix: bytes) -> Generator[ListedEntry]:
    with closing(entries):
        for entry in entries:
            if entry.path.startswith(prefix) and entry.path != prefix:
                yield entry._replace(path=entry.path[len(prefix) :])


class Verification:
    """The verification of one stream: its three places, and where the evidence goes."""

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
        """``places`` has one way to each place, or several to the archive, in order of preference.

        With ``accept_loss`` a source is believed that is empty, or has lost most of what it had.
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
            UTC days; one listing of each place serves all of them.
        full
            Read every file again, also those that were read not long ago.
        """
        began = time.time()
        report = VerifyReport()
        self.evidence.unjudged(self.name, days)
        for side in SIDES:
            self._list(side, days, report)
        for side in SIDES:
            if side not in report.errors:
                self._read(side, days, began if full else 0.0, report)
        for day in sorted(days):
            try:
                report.days.append(self._judge(day, report))
            except EvidenceError as error:  # one day's finalization is damaged: the others are judged all the same
                report.unsure[day] = str(error)
                report.days.append(DayVerdict(day, Verdict(), error=str(error)))
        # A day that was not judged has no verdict, so that nothing is pruned on it.
        judged = {day.day: day.verdict.as_json() for day in report.days if not day.error}
        self.evidence.judged(self.name, judged)
        report.seconds = time.time() - began
        return report

    def _list(self, side: Side, days: Sequence[date], report: VerifyReport) -> None:
        if not self._by_first(side, "listed", lambda place: self._take(side, place, days, report), report):
            look = Look(time.time(), time.time_ns(), "", 0, report.errors[side])
            self.evidence.looked(self.name, side, dict.fromkeys(days, look))

    def _by_first(self, side: Side, done: str, work: Callable[[Place], None], report: VerifyReport) -> bool:
        """Do something by the first way to a place that works; where none does, the report has what each said."""
        said = []
        for place in self.places[side]:
            try:
                work(place)
            except HostError as error:
                said.append(str(error))
            else:
                return True
        report.errors[side] = "; ".join(said)
        self.log(f"{side} could not be {done}: {report.errors[side]}")
        return False

    def _take(self, side: Side, place: Place, days: Sequence[date], report: VerifyReport) -> None:
        placed = Directories(self.stream, days)
        # The instrument's not by the names of the days: what lies there under other names has to be seen, because it
        # was never mirrored. So it is in neither copy, and these are asked for the names alone.
        listing = place.list(placed.below, () if side == "source" else placed.named)
        classify = Classifier(self.stream, placed, listing.clock_ns)
        refused: dict[date, int] = {}
        wanted = set(days)
        is_empty = True

        def files() -> Iterator[tuple[date, ScannedEntry[str]]]:
            nonlocal is_empty
            for entry in listing.entries:
                is_empty &= entry.path == b"."
                judged = classify(entry)
                if side == "source" and judged.reason is not None and (day := self._own_day(entry)) in wanted:
                    left_out = report.left_out.setdefault(day, Count())
                    left_out.add(f"{printable(entry.path)}: {judged.reason}")
                if judged.day not in wanted:
                    continue
                if judged.file is not None:
                    yield judged.day, judged.file
                elif judged.reason is not None:
                    refused[judged.day] = refused.get(judged.day, 0) + 1
                    report.refused.add(f"{side}: {entry.path.decode('utf-8', 'replace')}: {judged.reason}")

        where = f"{self.stream.host}:{place.base}" if side == "source" else place.base

        def believed() -> Sequence[date]:
            if self.accept_loss:
                self.evidence.accept_empty(self.name, is_empty)
                return days
            if not is_empty:
                self.evidence.accept_empty(self.name, False)
            elif not self.evidence.may_be_empty(self.name):
                see_that_it_is_not_empty(self.name, where, lambda without: place.source.list(place.root, [], without))
            at_risk = self.evidence.at_risk(self.name, days)
            unsure = doubtful_days(self.name, where, at_risk, self.finalizations, _unreadable(listing))
            report.unsure |= unsure
            return [day for day in days if day not in unsure]

        self.evidence.at(self.name, side, where)
        self.evidence.take(self.name, side, days, files(), believed if side == "source" else None)
        if error := _unreadable(listing):
            report.errors[side] = error
        now = time.time()
        looks = {
            day: Look(now, listing.clock_ns, place.host, refused.get(day, 0), error or report.unsure.get(day))
            for day in days
        }
        self.evidence.looked(self.name, side, looks)
        report.hosts[side] = place.host

    def _own_day(self, entry: ListedEntry) -> date | None:
        """The day of a file by its own name, whatever else is wrong with it; None for what is no file of the stream."""
        path = entry.path.decode("utf-8", "surrogateescape")
        if not entry.is_regular or not self.stream.includes(path) or self.stream.day == "mtime":
            return None
        return self.stream.day_of(path, 0)

    def _read(self, side: Side, days: Sequence[date], again_before: float, report: VerifyReport) -> None:
        """Read what was never read in this version, or not for long; each batch is kept as soon as it is there."""
        bound = self.archive.pending if side == "gws" else self.archive.local_pending
        clock = self.evidence.looks(self.name, max(days))[side].clock_ns

        def work(place: Place) -> None:
            for batch in self.evidence.to_read(
                self.name,
                side,
                days,
                older_than_ns=clock - as_ns(bound),
                scrub=self.archive.scrub,
                again_before=again_before,
            ):
                self.evidence.read(self.name, side, place.hasher.checksums(place.base, batch))
                report.read[side] = report.read.get(side, 0) + len(batch)

        self._by_first(side, "read to its end", work, report)

    def _judge(self, day: date, report: VerifyReport) -> DayVerdict:
        """Compare a day, note it in the ledger, and say whether it is complete."""
        looks = self.evidence.looks(self.name, day)
        clocks = Clocks.of(looks, Bounds(self.archive.local_pending, self.archive.pending))
        left_out = report.left_out.get(day, Count())
        found = DayVerdict(day, Verdict(refused=left_out.total, first_refused="".join(left_out.first[:1])))
        proved: list[tuple[str, FixityRecord]] = []
        here, there = (self.places[side][0].base for side in _OURS)
        notes = _Notes(self.ledger, self.archive.name, raw_group(self.name), day, here, there)
        for compared, places in compare_day(
            self.evidence.files(self.name, day),
            clocks,
            finalized=self.finalizations.proved(day),
            released=self.evidence.released(self.name, day),
        ):
            found.verdict.add(compared, places)
            if "gws" not in report.errors:
                notes.note(compared, places)
            if compared.is_proved:
                proved.append((compared.path, places["gws"]))
        notes.flush()
        if not report.errors and day not in report.unsure:
            self._finalize(found, looks, proved)
        else:
            said = self.finalizations.of(day)
            found.verdict.is_final = said is not None and said.complete
        return found

    def _finalize(self, found: DayVerdict, looks: dict[Side, Look], proved: list[tuple[str, FixityRecord]]) -> None:
        """Say what a day is that was seen in all three places."""
        day_ends = datetime(found.day.year, found.day.month, found.day.day, tzinfo=UTC) + timedelta(days=1)
        # By both clocks: one that is ahead ends no day.
        now = min(looks["source"].clock_ns, looks["local"].clock_ns) / 1e9
        over = (day_ends + self.archive.pending).timestamp() <= now
        if over and found.verdict.is_whole:
            found.is_news = self.finalizations.complete(found.day, proved)
            found.verdict.is_final = True
            return
        said = self.finalizations.of(found.day)
        if said is not None and said.files and not found.verdict.is_whole:
            why = "; ".join(found.verdict.gaps) or found.verdict.first_reason
            found.is_news = self.finalizations.withdraw(found.day, why)


class _Notes:
    """What the ledger is told of a day, in batches."""

    def __init__(self, ledger: Ledger, archive: str, group: str, day: date, here: str, there: str) -> None:
        """``here`` and ``there`` are the stream's directories."""
        self.ledger = ledger
        self.archive = archive
        self.group = group
        self.day = day
        self.here = here
        self.there = there
        self.proofs: list[tuple[ScannedEntry[str], str, str]] = []
        self.queue: list[Item] = []
        self.lost: dict[str, list[str]] = {}

    def note(self, compared: Compared, places: Mapping[Side, FixityRecord]) -> None:
        path, right, there = f"{self.there}/{compared.path}", compared.right, places.get("gws")
        if right is not None and there is not None and compared.archive in (Class.IDENTICAL, Class.CHECKSUM):
            assert right.sha256 is not None  # else it could not be told
            assert there.sha256 is not None
            self.proofs.append((ScannedEntry(path, there.version), right.sha256, there.sha256))
        # What is not right here is for the mirror or a repair; it is not sent meanwhile.
        elif compared.archive in (Class.MISSING, Class.SIZE, Class.MTIME) and compared.here not in GAPS:
            self.lost.setdefault(f"{compared.archive} in the archive when it was listed", []).append(path)
            if (local := places.get("local")) is not None:
                # Of what a shell has brought, or what was here before the ledger, that knows nothing yet.
                here = f"{self.here}/{compared.path}"
                self.queue.append(Item(here, path, local.version, self.day))
        if len(self.proofs) + len(self.queue) >= _NOTED:
            self.flush()

    def flush(self) -> None:
        if self.proofs:
            self.ledger.verified(self.archive, self.proofs)
        if self.queue:
            self.ledger.offer(self.archive, self.group, self.queue)
        for reason, paths in self.lost.items():
            self.ledger.lost(self.archive, paths, reason)
        self.proofs, self.queue, self.lost = [], [], {}
