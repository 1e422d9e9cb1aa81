"""Fetching what a plan wants, in parts: transfer, list the host again, and publish what is proved whole.

What comes is kept apart until a second listing of the host has shown that it did not change while it was copied. Only
then it gets its name here. Where a transfer is cut, what came whole until then is proved and published all the same.
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
from aurora_platform.mirror.disk_room import Room
from aurora_platform.mirror.plan import DayPlan, Plan
from aurora_platform.mirror.publish import CannotPublishError, came, publish
from aurora_platform.mirror.work_directory import WorkPlace
from aurora_platform.streams.classify import Directories
from aurora_platform.text import counted
from aurora_platform.transport.protocols import Source, Transfer, TransferResult

NOT_COPIED = "not copied: gone from the host, or not readable"
OVERSIZE = "not copied: larger than the host had listed it"
# So many names are listed by themselves the second time, beyond that their days' directories: the far shell's limit.
_MOST_NAMED_BYTES = 50_000
# By how much a file may be larger than it was listed: that of an appended stream grows while it is copied.
_SLACK, _GROWTH = 1 << 20, 64 << 20
_MOST_OVERSIZE = 5  # such files of one part, without each of which the transfer begins again

# Each transfer has one bound for all its files. It may be so many times what was listed of the smallest, and no more:
# beside one of GBs, one of a few bytes would have room to grow to GBs.
_SPREAD = 16

_Part = Sequence[tuple[DayPlan, ScannedEntry[str]]]


@dataclass
class Fetch:
    """One pass's way from the host to its raw directory ``root``; ``copied`` is what it has published of each day."""

    stream: Stream
    source: Source
    transfer: Transfer
    root: Path
    work: WorkPlace
    lock: Path
    """What the transfer holds locked for as long as any part of it lives."""
    room: Room
    log: Callable[[str], None]
    copied: dict[date, list[ScannedEntry[str]]] = field(default_factory=dict)

    def run(self, plan: Plan) -> TransferResult:
        """Fetch what a plan wants, the newest day first; what does not fit on the disk is refused.

        Raises
        ------
        HostError, TransferError
            Where the host, or a transfer, ended early. What had come whole and could be proved is published.
        """
        total, self.copied = TransferResult(0, 0), {day: [] for day in plan.days}
        wanted = [file for _, file in _newest_first(plan)]
        self.work.begin(wanted, [file for day in plan.days.values() for file in day.unchanged])
        for part in in_parts(_newest_first(plan), lambda one: one[1].version.size):
            if fits := self.room.fitting(part, wanted):
                total += self._bring(fits)
        self.work.end()
        return total

    def _bring(self, part: _Part) -> TransferResult:
        self.work.arrived.mkdir(parents=True, exist_ok=True)
        missing = [one for one in part if not self.work.has(one[1])]  # the others came to a run that was cut
        groups = self._by_size(missing)
        bounds = {file.path: most for most, group in groups for _, file in group}
        oversize: set[str] = set()
        done = TransferResult(0, 0)
        try:
            for most, group in groups:
                done += self._send(group, most, oversize)
        except TransferError as error:
            self._save(part, bounds)
            if error.is_full or self.room.free() <= 0:  # others need that room as well; free() knows of no quota
                self.work.drop_parts()
            raise
        part = [one for one in part if one[1].path not in oversize]
        if part:
            self._publish_all(part, self._list_again(part), bounds)
        return done

    def _by_size(self, part: _Part) -> list[tuple[int, _Part]]:
        """The files of each transfer, and the size above which none of them may grow; small files come first.

        Files of about one size are one transfer. So are all that are no larger than what any may grow by. Whatever the
        sizes, they are few: one for each power of ``_SPREAD`` above that.
        """
        least_slack = _GROWTH if self.stream.is_appended else _SLACK
        groups: list[tuple[int, _Part]] = []
        while part:
            largest = max(file.version.size for _, file in part)
            slack = max(least_slack, largest // 4) if self.stream.is_appended else least_slack
            least = largest // _SPREAD if largest > least_slack else 0
            groups.insert(0, (largest + slack, [one for one in part if one[1].version.size >= least]))
            part = [one for one in part if one[1].version.size < least]
        return groups

    def _send(self, part: _Part, most: int, oversize: set[str]) -> TransferResult:
        """Have a part sent. One of which more comes than was listed is refused, and the others are sent without it."""
        while paths := [file.path for _, file in part]:
            try:
                return self.transfer.fetch(
                    self.stream.path, paths, self.work.arrived, self.work.path, self.lock, largest=most
                )
            except OversizeError as error:
                self.log(str(error))
                for day, file in part:
                    if file.path in error.paths:
                        self.work.drop_part(file.path)
                        day.refuse(file.path, OVERSIZE)
                oversize.update(error.paths)
                if len(oversize) >= _MOST_OVERSIZE:
                    raise
            part = [one for one in part if one[1].path not in oversize and not self.work.has(one[1])]
        return TransferResult(0, 0)

    def _save(self, part: _Part, bounds: dict[str, int]) -> None:
        """Publish what came whole of a part before its transfer ended early, if the host can be listed."""
        whole = [one for one in part if self.work.has(one[1])]
        with suppress(HostError):  # why the transfer ended is what the run says; what came waits for the next
            if whole:
                self._publish_all(whole, self._list_again(whole), bounds)
                self.log(f"{counted(len(whole), 'file')} had come whole before the transfer ended, and counted")

    def _list_again(self, part: _Part) -> dict[str, ScannedEntry[str]]:
        """The fetched files as they are on the host now."""
        paths = [file.path for _, file in part]
        days = sorted({day.day for day, _ in part})
        few = sum(len(os.fsencode(path)) for path in paths) < _MOST_NAMED_BYTES
        wanted = set(paths)
        found, root = {}, self.stream.path
        listing = self.source.list(root, paths) if few else Directories(self.stream, days).listing(self.source, root)
        for entry in listing.entries:
            path = os.fsdecode(entry.path)
            if entry.is_regular and path in wanted:
                found[path] = ScannedEntry(path, entry.version)
        return found

    def _publish_all(self, part: _Part, there: dict[str, ScannedEntry[str]], bounds: dict[str, int]) -> None:
        directories = set()
        for day, file in part:
            try:
                here = self._publish(day, file, there.get(file.path), bounds.get(file.path))
            except CannotPublishError as error:
                day.refuse(file.path, str(error))
                continue
            if here:
                self.copied[day.day].append(here)
                directories.add(os.path.dirname(here.path))
        for directory in directories:  # the new names; the bytes are on disk since the transfer
            flush(self.root / directory)

    def _publish(
        self, day: DayPlan, listed: ScannedEntry[str], there: ScannedEntry[str] | None, most: int | None
    ) -> ScannedEntry[str] | None:
        """Give a file its name, if it is what the host has; returns what is here then.

        One that changed while it was copied may hold some of both versions, and one that changed before has not settled
        again. Both wait for the next pass, unless the file is appended only: what came of it is how it once was.

        Raises
        ------
        CannotPublishError
            Where what came is no regular file, or something else stands in its way here.
        """
        staged = self.work.arrived / listed.path
        if (status := came(staged)) is None:
            is_larger = there is not None and most is not None and there.version.size > most
            day.refuse(listed.path, OVERSIZE if is_larger else NOT_COPIED)
            return None
        here = ScannedEntry(listed.path, FileVersion.of(status))
        # One that went away since is what was listed before, or it is not known what it is.
        now = there or listed
        is_whole = self.work.mtimes.is_version(status, now.version)
        is_whole &= now.version.same_as(listed.version) or not self.stream.settle
        is_part = self.stream.is_appended and listed.version.size <= here.version.size <= now.version.size
        if not is_whole and not is_part:
            day.unsettled.add(listed.path)
            remove(staged)
            return None
        if publish(staged, self.root, listed.path):
            self.work.move_to_its_own()
        return now if is_whole else here


def _newest_first(plan: Plan) -> Iterator[tuple[DayPlan, ScannedEntry[str]]]:
    """What is to be fetched, the newest day first."""
    for day in sorted(plan.days.values(), key=lambda day: day.day, reverse=True):
        for file in day.fetch:
            yield day, file
