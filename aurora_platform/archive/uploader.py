"""One push to the archive: queue what is new, take it into a consistent view, copy it, and look whether it is there.

To the first host that works, in the site's order; whatever goes wrong with one ends in the next. Additive: nothing is
ever deleted there, and what a finalization vouches for is kept where another version takes its place. What the ledger
calls copied has been listed there in this version, by a listing of its own.

Plain Python: the archive's hosts come in as arguments. What there is to push is in
:mod:`aurora_platform.archive.push_plan`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import batched
from pathlib import Path, PurePosixPath

from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.replace_vouched import Replacing, files_there
from aurora_platform.archive.transfer import PushReport, TransferRequest
from aurora_platform.archive.upload_tree import UnusableError, take
from aurora_platform.config.archive import Archive
from aurora_platform.errors import ArchiveError, HostError, TransferError
from aurora_platform.fs.atomic import Staging, remove
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.versions import FileVersion, ScannedEntry, in_parts
from aurora_platform.layout import INCOMING, ArchiveLayout
from aurora_platform.text import Count, printable
from aurora_platform.transport.protocols import ArchiveHost, TransferResult

_NOTES = 10
_ASKED = 500  # files of which it is asked together whether a finalization vouches for them


def push(
    request: TransferRequest,
    *,
    archive: Archive,
    hosts: Sequence[ArchiveHost],
    ledger: Ledger,
    locks: Path,
    wait: timedelta,
    log: Callable[[str], None] = lambda text: None,
) -> PushReport:
    """Bring the archive up to date with an errand.

    Parameters
    ----------
    errand
        What to bring.
    archive, hosts
        The site's archive, and its hosts in order of preference.
    ledger
        Where it is noted what is there.
    locks, wait
        Where lock files are, and how long to wait for another run of the same lane.
    tell
        Gets a line before each part, whose transfer may take hours, and one for each host that does not work.

    Raises
    ------
    ArchiveError
        When no host works; what each of them said. What was copied until then is noted.
    TransferError
        When the view cannot be made, because the disk here is full.
    BusyError
        When another run on this lane takes longer than ``wait``.
    """
    return _Push(request, archive, list(hosts), ledger, locks, wait, log).run()


@dataclass(frozen=True, slots=True)
class _Ready:
    """A file in the view: its group, as it is there, and where it goes: a directory of the archive, and below it."""

    group: str
    item: Item
    root: str
    path: str


_Way = Callable[[ArchiveHost, str, Sequence[_Ready], Path], TransferResult]
"""How files of the view get to a directory of a host."""


@dataclass
class _Push:
    request: TransferRequest
    archive: Archive
    hosts: list[ArchiveHost]
    ledger: Ledger
    locks: Path
    wait: timedelta
    log: Callable[[str], None]

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.said: dict[str, str] = {}
        self.may_pass = False
        self.prepared: set[tuple[str, str]] = set()
        self.used: str | None = None
        self.files = self.bytes = self.literal = self.matched = 0
        self.unsettled, self.failed = Count(), Count()
        self.held: dict[str, str] = {}
        self.vouched: set[str] = set()
        self.brought: set[str] = set()
        self.replacing = Replacing(
            self.archive, self.ledger, self.request.lane, self.request.only is not None, self.log
        )
        self.roots = ArchiveLayout.of(self.archive).roots
        self.notes: list[str] = []

    def _work(self, root: str) -> str:
        return ArchiveLayout.work(root, self.request.lane)

    @property
    def _lock(self) -> Path:
        return self.locks / f"{self.transfer_lock}.lock"

    @property
    def transfer_lock(self) -> str:
        return f"push.{self.request.lane}.transfer"

    def run(self) -> PushReport:
        for group, items in self.request.offers.items():
            self.ledger.offer(self.archive.name, group, self._without_held(group, items))
        staging = Staging(self.request.outgoing, self.locks, self.wait)
        queue = self._queue()
        report = self._counts(queue)
        if queue:
            with staging.claim(f"push.{self.request.lane}") as place:
                # Of a run that was killed the rsync may still be ending; it holds this lock for as long as it reads.
                with hold_lock(self.locks, self.transfer_lock, self.wait):
                    pass
                queue = self._queue()  # another run may have sent some of it meanwhile
                report = self._counts(queue)
                # What a finalization vouches for by itself, and last: that it cannot be kept holds up nothing else.
                for is_vouched in (False, True):
                    for part in in_parts(self._of_kind(queue, is_vouched), lambda one: one[1].version.size):
                        self._bring(part, place, self._replace if is_vouched else self._copy)
        staging.sweep()
        return report()

    def _without_held(self, group: str, items: Sequence[Item]) -> Iterable[Item]:
        """What may be put into the queue: the row of a file that is held back stays that of what the archive has."""
        if self.request.guard is None:
            return items
        held = set(self._hold(self.ledger.open_items(self.archive.name, group, items)))
        return (item for item in items if item not in held)

    def _hold(self, items: Iterable[Item]) -> list[Item]:
        """Those of some files that may not be sent; the report names them."""
        if self.request.guard is None:
            return []
        found = self.request.guard.sort(items)
        self.held |= {item.remote_path: why for item, why in found.held}
        self.vouched |= {item.remote_path for item in found.vouched}
        return [item for item, _ in found.held]

    def _queue(self) -> list[tuple[str, Item]]:
        """What is to be sent, with its group; what may not go where it wants to is parked, or held back."""
        queue = self._queued()
        held = set(self._hold(item for _, item in queue))
        return [(group, item) for group, item in queue if item not in held]

    def _queued(self) -> list[tuple[str, Item]]:
        queue = []
        for group in self.request.offers:
            for item in self.ledger.to_send(self.archive.name, group):
                if self.request.days is not None and item.day is not None and item.day not in self.request.days:
                    continue
                if self.request.only is not None and item.remote_path not in self.request.only:
                    continue
                if why := self._why_nowhere(item.remote_path):
                    self.ledger.failed(self.archive.name, [(item.remote_path, why)], max_attempts=1)
                    continue
                queue.append((group, item))
        return queue

    def _why_nowhere(self, path: str) -> str | None:
        if self._root_of(path) is None:
            return _ELSEWHERE
        return _CLOSED if any(path.startswith(f"{closed}/") for closed in self.request.closed) else None

    def _root_of(self, path: str) -> str | None:
        """The directory of the archive in which a remote path lies; the nearest, where one lies in another."""
        found = [root for root in self.roots if path.startswith(f"{root.rstrip('/')}/")]
        root = max(found, key=len, default=None)
        if root is None or path.removeprefix(root).lstrip("/").split("/")[0] == INCOMING:
            return None
        return root

    def _tree(self, place: Path, root: str) -> Path:
        """Where the files of a directory of the archive are in the view."""
        return place / str(self.roots.index(root))

    def _of_kind(self, queue: Sequence[tuple[str, Item]], is_vouched: bool) -> Iterator[tuple[str, Item]]:
        """The files of a queue that a finalization vouches for, or the others.

        Asked anew while it is sent: a day may be finalized meanwhile.
        """
        for batch in batched(queue, _ASKED):
            held = set(self._hold(item for _, item in batch))
            for group, item in batch:
                is_due = item not in held and item.remote_path not in self.brought
                if is_due and (item.remote_path in self.vouched) == is_vouched:
                    self.brought.add(item.remote_path)
                    yield group, item

    def _bring(self, part: Sequence[tuple[str, Item]], place: Path, way: _Way) -> None:
        """Send a part in some way, by the first host that works, and note what is there then."""
        try:
            ready = self._hardlink_tree(part, place)
        except OSError as error:
            raise TransferError(f"{place}: the view cannot be made here: {error.strerror}. Is the disk full?") from None
        if not ready:
            return
        by_root: dict[str, list[_Ready]] = {}
        for one in ready:
            by_root.setdefault(one.root, []).append(one)
        for root, ones in by_root.items():
            sent, there = self._deliver(root, ones, place, way)
            self._note(ones, sent, there, place)
        remove(place)

    def _hardlink_tree(self, part: Sequence[tuple[str, Item]], place: Path) -> list[_Ready]:
        """Take files into the view; where one is another version by now, the ledger gets to know."""
        ready: list[_Ready] = []
        newer: dict[str, list[Item]] = {}
        errors = []
        for group, item in part:
            root = self._root_of(item.remote_path)
            assert root is not None  # else it would be parked
            path = str(PurePosixPath(item.remote_path).relative_to(root))
            try:
                taken = take(
                    item,
                    self._tree(place, root) / path,
                    in_place=self.request.in_place,
                    is_database=item.local_path in self.request.databases,
                )
            except UnusableError as error:
                errors.append((item.remote_path, str(error)))
                continue
            if taken is None:
                self.unsettled.add(item.local_path)
                continue
            if taken != item and self._hold([taken]):
                self.unsettled.add(item.local_path)  # damaged in this moment; the next push says so
                continue
            if taken != item:
                newer.setdefault(group, []).append(taken)
            ready.append(_Ready(group, taken, root, path))
        for group, items in newer.items():
            self.ledger.offer(self.archive.name, group, items)
        self._fail(errors)
        return ready

    def _deliver(
        self, root: str, ones: Sequence[_Ready], place: Path, way: _Way
    ) -> tuple[TransferResult, dict[str, ScannedEntry[str]]]:
        """Copy files below a directory of the archive, by the first host that works; returns what is there then."""
        upload_tree = self._tree(place, root)
        size = sum(one.item.version.size for one in ones)
        while self.hosts:
            host = self.hosts[0]
            self.log(f"{len(ones)} files, {size / 1e6:.1f} MB, to {host.name}:{root}")
            try:
                if (host.name, root) not in self.prepared:
                    host.prepare(root, self._work(root))
                    self.prepared.add((host.name, root))
                sent = way(host, root, ones, upload_tree)
                there = files_there(host, root, [one.path for one in ones])
            except (HostError, TransferError) as error:
                self.said[host.name] = printable(str(error)) if "\n" in str(error) else str(error)
                self.may_pass |= error.transient
                self.log(f"{host.name} does not work: {error}")
                del self.hosts[0]
                continue
            self.used = host.name
            return sent, there
        why = "; ".join(f"{name}: {said}" for name, said in self.said.items())
        raise ArchiveError(f"no host of archive {self.archive.name} works. {why}", transient=self.may_pass)

    def _copy(self, host: ArchiveHost, root: str, ones: Sequence[_Ready], upload_tree: Path) -> TransferResult:
        """The way of most files: the newest version takes the place of whatever is there."""
        return host.send(upload_tree, [one.path for one in ones], root, self._work(root), self._lock)

    def _replace(self, host: ArchiveHost, root: str, ones: Sequence[_Ready], upload_tree: Path) -> TransferResult:
        """The way of files that a finalization vouches for; see :mod:`aurora_platform.archive.replace_vouched`."""

        def send(paths: Sequence[str], keep_in: str | None) -> TransferResult:
            more = () if keep_in is None else (keep_in,)
            return host.send(upload_tree, paths, root, self._work(root), self._lock, *more)

        files = {one.path: (one.group, one.item) for one in ones}
        return self.replacing.send(host, root, files, send)

    def _note(
        self, ones: Sequence[_Ready], sent: TransferResult, there: Mapping[str, ScannedEntry[str]], place: Path
    ) -> None:
        """Note what is there in the version that was sent, and what is not."""
        copied, errors = [], []
        for one in ones:
            found, item = there.get(one.path), one.item
            if not _is_as_it_was(self._tree(place, one.root) / one.path, item):
                self.unsettled.add(item.local_path)  # written in place meanwhile: nobody knows what went there
            elif found and found.version.same_as(item.version):
                copied.append(ScannedEntry(item.remote_path, found.version))
            else:
                errors.append((item.remote_path, _reason(one.path, sent.complaints)))
        self.ledger.copied(self.archive.name, copied)
        self.files += len(copied)
        self.bytes += sum(file.version.size for file in copied)
        self.literal += sent.literal_bytes
        self.matched += sent.matched_bytes
        if sent.vanished:
            self.notes.append("files went away here while they were sent (rsync's exit code 24)")
        self.notes += sent.complaints
        self._fail(errors)

    def _fail(self, errors: Sequence[tuple[str, str]]) -> None:
        parked = self.ledger.failed(self.archive.name, errors, self.archive.max_attempts)
        self.notes += [f"{path} is not tried any more" for path in parked]
        for path, reason in errors:
            self.failed.add(f"{path}: {reason}")

    def _counts(self, queue: Sequence[tuple[str, Item]]) -> Callable[[], PushReport]:
        """Count what is not in the queue now; the rest of the report is known at the end."""
        queued = {item.remote_path for _, item in queue}
        rows = [row for group in self.request.offers for row in self.ledger.parked(self.archive.name, group)]
        days = None if self.request.days is None else {day.isoformat() for day in self.request.days}
        parked = Count()
        for row in rows:
            if days is None or row.day is None or row.day in days:
                parked.add(f"{row.remote_path}: {row.last_error}")
        offered = {item.remote_path for items in self.request.offers.values() for item in items}
        held = Count()
        for path, why in self.held.items():
            held.add(f"{path}: {why}")
        unchanged = len(offered - queued - self.held.keys() - {row.remote_path for row in rows})
        refused = Count(self.request.refused.total + held.total, [*self.request.refused.first, *held.first])

        def report() -> PushReport:
            return PushReport(
                host=self.used,
                said=self.said,
                seen=len(queued) + unchanged + parked.total + refused.total,
                files=self.files,
                bytes=self.bytes,
                seconds=time.monotonic() - self.began,
                unchanged=unchanged,
                unsettled=self.unsettled,
                failed=self.failed,
                parked=parked,
                refused=refused,
                held=held,
                replaced=self.replacing.replaced,
                kept_in=tuple(self.replacing.kept_in),
                left_out=self.request.left_out,
                notes=tuple([*self.replacing.notes, *self.notes][:_NOTES]),
                literal_bytes=self.literal,
                matched_bytes=self.matched,
            )

        return report


_ELSEWHERE = "its remote path is in none of the archive's directories"
_CLOSED = "its remote path is in the directory of a stream, to which only the stream's own files go"


def _is_as_it_was(path: Path, item: Item) -> bool:
    """Whether a file in the view is what was taken into it: a linked one may have been written in place."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return True  # vanished; whether it arrived before, the listing says
    return FileVersion.of(status).same_as(item.version)


def _reason(path: str, complaints: Sequence[str]) -> str:
    """Why a file is not there, in the transfer's own words if it had any."""
    named = (f'{path}"', f"/.{path.rpartition('/')[2]}.")  # by its name, or by the one that it had in the making
    said = next((line for line in complaints if any(name in line for name in named)), None)
    return said or "after the transfer it is not there in the version that was sent"
