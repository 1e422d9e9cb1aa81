"""Fetch of a plan, in batches: transfer, list the host again, verify, and publish.

Arrived files stay in the work directory until a second listing of the host shows that they did not change during the
transfer. Only then do they get their names. If a transfer is cut off, the files that arrived complete before are
verified and published too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from aurora_platform.config.streams import Stream
from aurora_platform.errors import HostError, OversizeError, TransferError
from aurora_platform.fs.atomic import flush, remove
from aurora_platform.fs.versions import FileVersion, ScannedEntry, in_parts
from aurora_platform.mirror.disk_space import FreeSpace
from aurora_platform.mirror.plan import DayPlan, Plan
from aurora_platform.mirror.publish import CannotPublishError, publish, stat_arrived
from aurora_platform.mirror.work_directory import WorkDirectory
from aurora_platform.streams.classify import Directories
from aurora_platform.text import counted
from aurora_platform.transport.protocols import Source, Transfer, TransferResult

NOT_COPIED = "not copied: deleted on the host, or not readable"
OVERSIZE = "not copied: larger than its listed size"
# The second listing names up to this many bytes of paths, and lists the days' directories beyond that: a remote shell
# limits the length of a command.
_MOST_NAMED_BYTES = 50_000
# How much larger than listed a file may become: a file of an appended stream grows during the copy.
_SLACK, _GROWTH = 1 << 20, 64 << 20
_MOST_OVERSIZE = 5  # oversize files per batch; the transfer begins again without each of them

# A transfer has one size limit for all its files. The largest listed size is at most this many times the smallest:
# otherwise a file of a few bytes could grow to GBs beside a file of GBs.
_SPREAD = 16

_Batch = Sequence[tuple[DayPlan, ScannedEntry[str]]]


@dataclass
class Fetch:
    """One fetch from a host to the raw directory ``root``; ``copied`` has the published files of each day."""

    stream: Stream
    source: Source
    transfer: Transfer
    root: Path
    work: WorkDirectory
    lock: Path
    """Lock file that the transfer holds as long as any of its processes lives."""
    space: FreeSpace
    log: Callable[[str], None]
    copied: dict[date, list[ScannedEntry[str]]] = field(default_factory=dict)

    def run(self, plan: Plan) -> TransferResult:
        """Fetch the files of a plan, the newest day first; refuse files that do not fit on the disk.

        Raises
        ------
        HostError, TransferError
            If the host failed, or a transfer ended early. Files that arrived complete and were verified are published.
        """
        total, self.copied = TransferResult(0, 0), {day: [] for day in plan.days}
        wanted = [file for _, file in _newest_first(plan)]
        self.work.prepare(wanted, [file for day in plan.days.values() for file in day.unchanged])
        for batch in in_parts(_newest_first(plan), lambda pair: pair[1].version.size):
            if fitting := self.space.select_fitting(batch, wanted):
                total += self._fetch_batch(fitting)
        self.work.clean_up()
        return total

    def _fetch_batch(self, batch: _Batch) -> TransferResult:
        self.work.arrived.mkdir(parents=True, exist_ok=True)
        # The other files arrived in a run that was cut off.
        missing = [(day, file) for day, file in batch if not self.work.has_arrived(file)]
        groups = self._group_by_size(missing)
        limits = {file.path: limit for limit, group in groups for _, file in group}
        oversize: set[str] = set()
        total = TransferResult(0, 0)
        try:
            for limit, group in groups:
                total += self._transfer_group(group, limit, oversize)
        except TransferError as error:
            self._publish_after_error(batch, limits)
            # Others need the space of the partial files too; available_bytes() knows no quota.
            if error.is_full or self.space.available_bytes() <= 0:
                self.work.drop_partials()
            raise
        batch = [(day, file) for day, file in batch if file.path not in oversize]
        if batch:
            self._publish_all(batch, self._list_again(batch), limits)
        return total

    def _group_by_size(self, batch: _Batch) -> list[tuple[int, _Batch]]:
        """Return the files of each transfer with its size limit (bytes); small files come first.

        Files of about the same size share a transfer. So do all files that are not larger than the permitted growth.
        There are few transfers for any sizes: one per power of ``_SPREAD`` above that.
        """
        least_slack = _GROWTH if self.stream.is_appended else _SLACK
        groups: list[tuple[int, _Batch]] = []
        while batch:
            largest = max(file.version.size for _, file in batch)
            slack = max(least_slack, largest // 4) if self.stream.is_appended else least_slack
            least = largest // _SPREAD if largest > least_slack else 0
            groups.insert(0, (largest + slack, [pair for pair in batch if pair[1].version.size >= least]))
            batch = [pair for pair in batch if pair[1].version.size < least]
        return groups

    def _transfer_group(self, group: _Batch, limit: int, oversize: set[str]) -> TransferResult:
        """Transfer a group of files; refuse each file that exceeds its limit, and transfer the others without it."""
        while paths := [file.path for _, file in group]:
            try:
                return self.transfer.fetch(
                    self.stream.path, paths, self.work.arrived, self.work.path, self.lock, largest=limit
                )
            except OversizeError as error:
                self.log(str(error))
                for day, file in group:
                    if file.path in error.paths:
                        self.work.drop_partial(file.path)
                        day.refuse(file.path, OVERSIZE)
                oversize.update(error.paths)
                if len(oversize) >= _MOST_OVERSIZE:
                    raise
            group = [
                (day, file) for day, file in group if file.path not in oversize and not self.work.has_arrived(file)
            ]
        return TransferResult(0, 0)

    def _publish_after_error(self, batch: _Batch, limits: dict[str, int]) -> None:
        """Publish the files that arrived complete before a transfer ended early, if the host can be listed."""
        arrived = [(day, file) for day, file in batch if self.work.has_arrived(file)]
        with suppress(HostError):  # the run reports the transfer's error; the files wait for the next run
            if arrived:
                self._publish_all(arrived, self._list_again(arrived), limits)
                self.log(
                    f"published {counted(len(arrived), 'file')} that had arrived complete before the transfer ended"
                )

    def _list_again(self, batch: _Batch) -> dict[str, ScannedEntry[str]]:
        """List the fetched files on the host again, by path."""
        paths = [file.path for _, file in batch]
        days = sorted({day.day for day, _ in batch})
        are_few = sum(len(os.fsencode(path)) for path in paths) < _MOST_NAMED_BYTES
        wanted = set(paths)
        listed, root = {}, self.stream.path
        listing = (
            self.source.list(root, paths) if are_few else Directories(self.stream, days).list_source(self.source, root)
        )
        for entry in listing.entries:
            path = os.fsdecode(entry.path)
            if entry.is_regular and path in wanted:
                listed[path] = ScannedEntry(path, entry.version)
        return listed

    def _publish_all(self, batch: _Batch, relisted: dict[str, ScannedEntry[str]], limits: dict[str, int]) -> None:
        directories = set()
        for day, file in batch:
            try:
                published = self._publish(day, file, relisted.get(file.path), limits.get(file.path))
            except CannotPublishError as error:
                day.refuse(file.path, str(error))
                continue
            if published:
                self.copied[day.day].append(published)
                directories.add(os.path.dirname(published.path))
        for directory in directories:  # the new names; the transfer has flushed the bytes
            flush(self.root / directory)

    def _publish(
        self, day: DayPlan, listed: ScannedEntry[str], relisted: ScannedEntry[str] | None, limit: int | None
    ) -> ScannedEntry[str] | None:
        """Publish a file if the host still has this version; return the published version.

        A file that changed during the transfer may be a mixture of two versions. A file that changed before it is not
        settled again. Both wait for the next pass. In an appended stream such a copy is an earlier state of the file,
        and is published; but not where only the listed version may be, because the guard has decided about that one.

        Raises
        ------
        CannotPublishError
            If no regular file arrived, or its local name or path is taken.
        """
        staged = self.work.arrived / listed.path
        if (status := stat_arrived(staged)) is None:
            is_larger = relisted is not None and limit is not None and relisted.version.size > limit
            day.refuse(listed.path, OVERSIZE if is_larger else NOT_COPIED)
            return None
        local = ScannedEntry(listed.path, FileVersion.of(status))
        # A file that was deleted since then is compared with its first listing.
        latest = relisted or listed
        is_whole = self.work.mtimes.is_version(status, latest.version)
        is_exact = listed.path in day.exact
        is_whole &= latest.version.same_as(listed.version) or not (self.stream.settle or is_exact)
        is_part = (
            self.stream.is_appended
            and not is_exact
            and listed.version.size <= local.version.size <= latest.version.size
        )
        if not is_whole and not is_part:
            day.unsettled.add(listed.path)
            remove(staged)
            return None
        if publish(staged, self.root, listed.path):
            self.work.use_own_directory()
        return latest if is_whole else local


def _newest_first(plan: Plan) -> Iterator[tuple[DayPlan, ScannedEntry[str]]]:
    """Yield the files to fetch, the newest day first."""
    for day in sorted(plan.days.values(), key=lambda day: day.day, reverse=True):
        for file in day.fetch:
            yield day, file
