"""Runs one push to the archive: queues new files, builds the upload tree, copies the files, and lists them afterwards.

It uses the first host that works, in the site's order; an error of one host leads to the next. It is additive: it never
deletes in the archive, and keeps the earlier version where a finalized file is replaced. The ledger marks a file as
copied only after a separate listing of the archive has it in this version.

The archive's hosts are arguments. :mod:`aurora_platform.archive.push_plan` selects the files to push.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import batched
from pathlib import Path, PurePosixPath

from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.queue_counts import count_queue
from aurora_platform.archive.read_back import SampledReadBack
from aurora_platform.archive.replace_vouched import ReplacingTransfers, list_files
from aurora_platform.archive.sending import SentKey, push_lock, transfer_lock
from aurora_platform.archive.sent_files import StagedFile, arrived_versions, failure_reason, is_unchanged
from aurora_platform.archive.transfer import PushReport, TransferRequest
from aurora_platform.archive.upload_tree import UnusableError, add_to_upload_tree
from aurora_platform.config.archive import Archive
from aurora_platform.errors import ArchiveError, HostError, TransferError
from aurora_platform.fs.atomic import remove
from aurora_platform.fs.disk_errors import describe_os_error
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import ScannedEntry, in_parts
from aurora_platform.layout import ArchiveLayout
from aurora_platform.text import Count, counted, human_size, printable
from aurora_platform.transport.protocols import ArchiveHost, TransferResult

_MAX_NOTES, _GUARD_BATCH = 10, 500  # lines of a report; files per call of the guard


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
    """Bring the archive up to date with a request.

    Parameters
    ----------
    request
        The files to send, and how.
    archive, hosts
        The site's archive, and its hosts in order of preference.
    ledger
        Stores which files the archive has.
    locks, wait
        The directory of the lock files, and how long to wait for another run of the same lane.
    log
        Gets a line before each part, because its transfer may take hours, and one per host that does not work.

    Raises
    ------
    ArchiveError
        When no host works; the message has the error of each. The files copied until then are marked in the ledger.
    TransferError
        When the upload tree cannot be built, because the local disk fails or is full.
    BusyError
        When another run on this lane takes longer than ``wait``.
    """
    return _Push(request, archive, list(hosts), ledger, locks, wait, log).run()


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
        self.host_errors: dict[str, str] = {}
        self.is_transient = False
        self.prepared: set[tuple[str, str]] = set()
        self.used_host: str | None = None
        self.files = self.bytes = self.literal = self.matched = 0
        self.unsettled, self.failed = Count(), Count()
        self.held: dict[str, str] = {}
        self.vouched: set[str] = set()
        self.selected: set[str] = set()
        self.replacing = ReplacingTransfers(
            self.archive,
            self.ledger,
            self.request.lane,
            self.request.only is not None,
            self.log,
            self.request.withdraw,
        )
        self.roots = ArchiveLayout.of(self.archive).roots
        private = Staging(self.request.outgoing, self.locks, self.wait)
        self.read_back = SampledReadBack(self.archive.read_back, private, self.request.lane)
        self.notes: list[str] = []

    def _work_directory(self, root: str) -> str:
        return ArchiveLayout.work(root, self.request.lane)

    @property
    def _lock_file(self) -> Path:
        return self.locks / f"{transfer_lock(self.request.lane)}.lock"

    def run(self) -> PushReport:
        for group, items in self.request.offers.items():
            self.ledger.offer(self.archive.name, group, self._without_held(group, items))
        staging = Staging(self.request.outgoing, self.locks, self.wait)
        queue = self._queue()
        report = self._start_report(queue)
        if queue:
            with staging.claim(push_lock(self.request.lane)) as tree:
                # The rsync of a killed run may still be running; it holds this lock for as long as it reads.
                with hold_lock(self.locks, transfer_lock(self.request.lane), self.wait):
                    pass
                queue = self._queue()  # another run may have sent some of it meanwhile
                report = self._start_report(queue)
                # Finalized files are sent separately and last: where their earlier versions cannot be kept, the error
                # does not stop the other files.
                try:
                    for is_vouched in (False, True):
                        for part in in_parts(self._select(queue, is_vouched), lambda entry: entry[1].version.size):
                            self._send_part(part, tree, is_vouched)
                finally:
                    self.ledger.sending.end(self.archive.name, self.request.lane)
        staging.sweep()
        return report()

    def _without_held(self, group: str, items: Sequence[Item]) -> Iterable[Item]:
        """Leave out held files, so that their ledger rows keep the version that the archive has."""
        if self.request.guard is None:
            return items
        held = set(self._find_held(self.ledger.open_items(self.archive.name, group, items)))
        return (item for item in items if item not in held)

    def _find_held(self, items: Iterable[Item]) -> list[Item]:
        """Return the files that the guard holds back; the report names them."""
        if self.request.guard is None:
            return []
        decision = self.request.guard.decide(items)
        self.held |= {item.remote_path: why for item, why in decision.held}
        self.vouched |= {item.remote_path for item in decision.vouched}
        return [item for item, _ in decision.held]

    def _queue(self) -> list[tuple[str, Item]]:
        """Return the files to send, each with its group, without files that are parked or held back."""
        queue = self._read_queue()
        held = set(self._find_held(item for _, item in queue))
        return [(group, item) for group, item in queue if item not in held]

    def _read_queue(self) -> list[tuple[str, Item]]:
        """Return the queued files of the request, and park those whose remote path is not allowed."""
        queue = []
        for group in self.request.offers:
            for item in self.ledger.to_send(self.archive.name, group):
                if self.request.days is not None and item.day is not None and item.day not in self.request.days:
                    continue
                if self.request.only is not None and item.remote_path not in self.request.only:
                    continue
                if why := self._why_misplaced(item.remote_path):
                    self.ledger.mark_failed(self.archive.name, [(item.remote_path, why)], max_attempts=1)
                    continue
                queue.append((group, item))
        return queue

    def _why_misplaced(self, path: str) -> str | None:
        if self._root_of(path) is None:
            return _OUTSIDE
        return _CLOSED if any(path.startswith(f"{closed}/") for closed in self.request.closed) else None

    def _root_of(self, path: str) -> str | None:
        return ArchiveLayout.of(self.archive).destination_of(path)

    def _subtree(self, tree: Path, root: str) -> Path:
        """The part of the upload tree for one archive directory."""
        return tree / str(self.roots.index(root))

    def _select(self, queue: Sequence[tuple[str, Item]], is_vouched: bool) -> Iterator[tuple[str, Item]]:
        """Yield the files of a queue that a finalization vouches for, or the others.

        The guard decides again while files are being sent, because a day may be finalized meanwhile.
        """
        for batch in batched(queue, _GUARD_BATCH):
            held = set(self._find_held(item for _, item in batch))
            for group, item in batch:
                is_open = item not in held and item.remote_path not in self.selected
                if is_open and (item.remote_path in self.vouched) == is_vouched:
                    self.selected.add(item.remote_path)
                    yield group, item

    def _begin_sending(self, staged: Sequence[StagedFile], is_vouched: bool) -> list[StagedFile]:
        """Note that files are about to be sent, and decide about each again; returns those to send now.

        A day may have been finalized since: its files are sent later, with care. From here on none is finalized.
        """
        guard, items = self.request.guard, [file.item for file in staged]
        if guard is None:
            return list(staged)
        with guard.locked():
            self.ledger.sending.end(self.archive.name, self.request.lane)  # of the part before
            days = guard.days_of(items)
            keys = [SentKey(group, day) for group in {file.group for file in staged} for day in days]
            keys += {SentKey(file.group, file.item.day) for file in staged if file.item.day}
            keys += [SentKey(file.group, None, file.item.remote_path) for file in staged if file.item.day is None]
            self.ledger.sending.begin(self.archive.name, self.request.lane, keys)
            held = set(self._find_held(items))
        later = {item.remote_path for item in items if item.remote_path in self.vouched and not is_vouched}
        self.selected -= later
        for item in held:  # the next push reports why
            self.unsettled.add(item.local_path)
        return [file for file in staged if file.item not in held and file.item.remote_path not in later]

    def _send_part(self, part: Sequence[tuple[str, Item]], tree: Path, is_vouched: bool) -> None:
        """Build the upload tree of a part, send it by the first host that works, and record the result."""
        try:
            staged = self._build_upload_tree(part, tree)
        except OSError as error:
            raise TransferError(f"cannot build the upload tree: {describe_os_error(error, tree)}") from None
        staged = self._begin_sending(staged, is_vouched)
        by_root: dict[str, list[StagedFile]] = {}
        for file in staged:
            by_root.setdefault(file.root, []).append(file)
        for root, files in by_root.items():
            result, listed = self._send_by_first_host(root, files, tree, is_vouched)
            self._record(root, files, result, listed, tree)
        remove(tree)

    def _build_upload_tree(self, part: Sequence[tuple[str, Item]], tree: Path) -> list[StagedFile]:
        """Add files to the upload tree; queues the new version of a file that has changed."""
        staged: list[StagedFile] = []
        newer: dict[str, list[Item]] = {}
        errors = []
        for group, item in part:
            root = self._root_of(item.remote_path)
            assert root is not None  # such files are parked
            path = str(PurePosixPath(item.remote_path).relative_to(root))
            try:
                current = add_to_upload_tree(
                    item,
                    self._subtree(tree, root) / path,
                    in_place=self.request.in_place,
                    is_database=item.local_path in self.request.databases,
                )
            except UnusableError as error:
                errors.append((item.remote_path, str(error)))
                continue
            if current is None:
                self.unsettled.add(item.local_path)
                continue
            if current != item and self._find_held([current]):
                self.unsettled.add(item.local_path)  # changed just now; the next push reports it
                continue
            if current != item:
                newer.setdefault(group, []).append(current)
            staged.append(StagedFile(group, current, root, path))
        for group, items in newer.items():
            self.ledger.offer(self.archive.name, group, items)
        self._fail(errors)
        return staged

    def _send_by_first_host(
        self, root: str, files: Sequence[StagedFile], tree: Path, is_vouched: bool
    ) -> tuple[TransferResult, dict[str, ScannedEntry[str]]]:
        """Copy files to an archive directory by the first host that works; returns the result and a later listing."""
        upload_tree, send = self._subtree(tree, root), self._replace if is_vouched else self._copy
        size = sum(file.item.version.size for file in files)
        while self.hosts:
            host = self.hosts[0]
            self.log(f"{counted(len(files), 'file')}, {human_size(size)}, to {host.name}:{root}")
            try:
                if (host.name, root) not in self.prepared:
                    host.prepare(root, self._work_directory(root))
                    self.prepared.add((host.name, root))
                result = send(host, root, files, upload_tree)
                listed = list_files(host, root, [file.path for file in files])
            except (HostError, TransferError) as error:
                self.host_errors[host.name] = printable(str(error)) if "\n" in str(error) else str(error)
                self.is_transient |= error.transient
                self.log(f"{host.name} does not work: {error}")
                del self.hosts[0]
                continue
            self.used_host = host.name
            return result, listed
        why = "; ".join(f"{name}: {error}" for name, error in self.host_errors.items())
        raise ArchiveError(f"no host of archive {self.archive.name} works. {why}", transient=self.is_transient)

    def _copy(self, host: ArchiveHost, root: str, files: Sequence[StagedFile], upload_tree: Path) -> TransferResult:
        """Send most files: the new version replaces the version in the archive."""
        return host.send(upload_tree, [file.path for file in files], root, self._work_directory(root), self._lock_file)

    def _replace(self, host: ArchiveHost, root: str, files: Sequence[StagedFile], upload_tree: Path) -> TransferResult:
        """Send finalized files, keep the versions they replace: :mod:`aurora_platform.archive.replace_vouched`."""

        def send(paths: Sequence[str], keep_in: str | None) -> TransferResult:
            keep_argument = () if keep_in is None else (keep_in,)
            return host.send(upload_tree, paths, root, self._work_directory(root), self._lock_file, *keep_argument)

        by_path = {file.path: (file.group, file.item) for file in files}
        return self.replacing.send(host, root, by_path, send)

    def _record(
        self,
        root: str,
        files: Sequence[StagedFile],
        result: TransferResult,
        listed: Mapping[str, ScannedEntry[str]],
        tree: Path,
    ) -> None:
        """Record which files the archive has in the version that was sent, and which failed."""
        copied, errors = list[ScannedEntry[str]](), []
        wrong = self._read_back(root, files, listed, tree)
        for file in files:
            found, item = listed.get(file.path), file.item
            if why := wrong.get(file.path):
                errors.append((item.remote_path, why))
                continue
            if not is_unchanged(self._subtree(tree, file.root) / file.path, item):
                self.unsettled.add(item.local_path)  # written in place meanwhile: the sent version is unknown
            elif found and found.version.same_as(item.version):
                copied.append(ScannedEntry(item.remote_path, found.version))
            else:
                errors.append((item.remote_path, failure_reason(file.path, result.messages)))
        self.ledger.mark_copied(self.archive.name, copied)
        self.files += len(copied)
        self.bytes += sum(entry.version.size for entry in copied)
        self.literal += result.literal_bytes
        self.matched += result.matched_bytes
        if result.vanished:
            self.notes.append("local files vanished while they were sent (rsync's exit code 24)")
        self.notes += result.messages
        self._fail(errors)

    def _read_back(
        self,
        root: str,
        files: Sequence[StagedFile],
        listed: Mapping[str, ScannedEntry[str]],
        tree: Path,
    ) -> dict[str, str]:
        """Read a sample of the files back that the archive lists as they were sent; returns what is wrong, by path."""
        sent = self._subtree(tree, root)
        return self.read_back.check(self.hosts[0].fetching(), root, sent, arrived_versions(files, listed, sent))

    def _fail(self, errors: Sequence[tuple[str, str]]) -> None:
        parked = self.ledger.mark_failed(self.archive.name, errors, self.archive.max_attempts)
        self.notes += [f"{path} is not tried any more" for path in parked]
        for path, reason in errors:
            self.failed.add(f"{path}: {reason}")

    def _start_report(self, queue: Sequence[tuple[str, Item]]) -> Callable[[], PushReport]:
        """Count the files outside the queue now; returns a function that completes the report at the end."""
        queued = {item.remote_path for _, item in queue}
        counts = count_queue(self.request, self.ledger, self.archive.name, queued, self.held)

        def report() -> PushReport:
            return PushReport(
                host=self.used_host,
                host_errors=self.host_errors,
                seen=counts.seen,
                files=self.files,
                bytes=self.bytes,
                seconds=time.monotonic() - self.began,
                unchanged=counts.unchanged,
                unsettled=self.unsettled,
                failed=self.failed,
                parked=counts.parked,
                refused=counts.refused,
                held=counts.held,
                replaced=self.replacing.replaced,
                kept_in=tuple(self.replacing.kept_in),
                left_out=self.request.left_out,
                empty_directories=self.request.empty_directories,
                read_back=self.read_back.files,
                read_back_bytes=self.read_back.bytes,
                read_back_wrong=self.read_back.wrong,
                read_back_failed=self.read_back.failed,
                notes=tuple([*self.replacing.notes, *self.notes][:_MAX_NOTES]),
                literal_bytes=self.literal,
                matched_bytes=self.matched,
            )

        return report


_OUTSIDE = "its remote path is in none of the archive's directories"
_CLOSED = "its remote path is in the directory of a stream, of the camera's products or of finalizations"
