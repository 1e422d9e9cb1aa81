"""Checks of a stream's days: does the local copy equal the source, and is it complete? They change neither side.

The checks list the local directory and the source themselves. They do not rely on the mirror's own reports.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from aurora_platform.check_report import CheckReport
from aurora_platform.config.streams import Stream
from aurora_platform.config.types import format_duration
from aurora_platform.fs.atomic import is_copy_name
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import INCOMING
from aurora_platform.mirror.plan import HELD_BACK, describe_refused
from aurora_platform.mirror.scan import DaySurvey, Survey
from aurora_platform.text import Count

# Two files may be twice the interval apart with no file lost: one at the begin of an interval, one at the end of the
# next.
_INTERVALS = 2
_AHEAD = timedelta(days=1)


def local_files(stream: Stream, raw_root: Path, days: Sequence[date]) -> Iterator[ScannedEntry[str]]:
    """List every entry in the local directories of these days; in the whole raw root if days have no directories."""
    pending = sorted({day.strftime(template) for day in days for template in stream.day_dirs}) or [""]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(raw_root / directory) as items:
                for item in items:
                    path = os.path.join(directory, item.name)
                    if path == INCOMING or is_copy_name(item.name):
                        continue  # the mirror's own unfinished files
                    if item.is_dir(follow_symlinks=False):
                        pending.append(path)
                    elif file := _local_file(item, path):
                        yield file
        except (FileNotFoundError, NotADirectoryError):
            continue


def _local_file(item: os.DirEntry[str], path: str) -> ScannedEntry[str] | None:
    try:
        status = item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # replaced since the directory was read
    return ScannedEntry.of(path, status)


def count_files_by_day(stream: Stream, raw_root: Path, days: Sequence[date]) -> dict[date, int]:
    """Count the local regular files of the stream for each of these days."""
    counts = dict.fromkeys((day for day in days if day >= stream.start), 0)
    for file in local_files(stream, raw_root, days):
        day = (
            stream.day_of(file.path, file.version.mtime_ns) if file.is_regular and stream.includes(file.path) else None
        )
        if day in counts:
            counts[day] += 1
    return counts


def listing_failed(reason: str, subject: Path | str = "the host") -> CheckReport:
    """Report that the host, or another place, could not be listed."""
    report = CheckReport(str(subject))
    report.add_wrong("listing failed", reason)
    return report


def _check_listing_complete(report: CheckReport, survey: Survey) -> None:
    if not survey.is_whole:
        report.add_wrong("listing incomplete", f"stopped at the time limit (limits.look): {survey.summary()}")


def nothing_refused(survey: Survey, outside: Survey) -> CheckReport:
    """Check that no entry of the host was refused: neither in ``survey`` of the days nor ``outside`` of it."""
    report = CheckReport("entries on the host")
    seen = held = 0
    for day in survey.days.values():
        seen += day.seen
        for reason, count, first in describe_refused(day.refused):
            if reason.startswith(HELD_BACK):  # the manifests have a check for these
                held += count
                continue
            report.wrong.setdefault(f"refused: {reason}", Count()).add_many(count, f"{day.day}: {first}")
    if survey.refused.total:
        report.wrong["refused, day unknown"] = survey.refused
    if outside.refused.total:
        report.wrong["refused, outside the directories and names of these days"] = outside.refused
    for scanned in (survey, outside):
        if scanned.unreadable.total:
            report.wrong.setdefault("directories not readable", scanned.unreadable)
        _check_listing_complete(report, scanned)
    report.numbers = {"seen": seen, "refused": survey.refusals + outside.refusals - held}
    if held:
        report.numbers["held_back"] = held
    return report


def matches_source(survey: Survey) -> CheckReport:
    """Check that every settled file of the host has a local copy of the same version, by size and mtime."""
    report = CheckReport("local copy compared with the host")
    present = 0
    for day in survey.days.values():
        if not isinstance(day, DaySurvey):
            continue
        present += day.present
        if day.missing:
            report.wrong.setdefault("settled on the host, missing or different locally", Count()).add_many(
                day.missing, f"{day.day}: {', '.join(day.first_missing)}"
            )
    _check_listing_complete(report, survey)
    report.numbers = {"present": present, "missing": sum(day.missing for day in survey.behind)}
    return report


def no_file_in_the_future(stream: Stream, files: Sequence[ScannedEntry[str]], now: datetime) -> CheckReport:
    """Check that no local file has a date or an mtime after tomorrow."""
    report = CheckReport("times of local files")
    latest_ns = int((now + _AHEAD).timestamp()) * 10**9
    for file in files:
        day = stream.day_of(file.path, file.version.mtime_ns) if stream.includes(file.path) else None
        if file.version.mtime_ns > latest_ns or (day is not None and day > (now + _AHEAD).date()):
            report.add_wrong("in the future", file.path)
    report.numbers = {"files": len(files)}
    return report


def nothing_unexpected(files: Sequence[ScannedEntry[str]], sharing: Mapping[str, Stream]) -> CheckReport:
    """Check that the raw directory holds only regular files of the streams that are mirrored to it (``sharing``)."""
    report = CheckReport("contents of the raw directory")
    for file in files:
        if not file.is_regular:
            report.add_wrong("not a regular file", file.path)
        elif not any(stream.includes(file.path) for stream in sharing.values()):
            report.add_wrong("belongs to no stream", file.path)
    report.numbers = {"files": len(files)}
    return report


def mtimes_by_day(stream: Stream, files: Iterable[ScannedEntry[str]]) -> dict[date, list[int]]:
    """Group the mtimes (ns since epoch) of a stream's files by UTC day."""
    mtimes: dict[date, list[int]] = {}
    for file in files:
        if file.is_regular and stream.includes(file.path) and (day := stream.day_of(file.path, file.version.mtime_ns)):
            mtimes.setdefault(day, []).append(file.version.mtime_ns)
    return mtimes


def no_gap(stream: Stream, mtimes_ns: Sequence[int], day: date, until: datetime) -> CheckReport:
    """Check that the files of a day came at the stream's cadence (``every``), from its begin to its end or ``until``.

    ``mtimes_ns`` are the mtimes that the instrument's host gave the files. An mtime outside of the day, as of a file
    that was written again later, counts as the begin or the end of the day.
    """
    report = CheckReport(f"cadence of {day}")
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = min(begin + timedelta(days=1), until - stream.settle)
    if stream.every is None or end <= begin:
        return report
    longest = _INTERVALS * stream.every
    written = sorted(min(max(begin, datetime.fromtimestamp(ns / 1e9, UTC)), end) for ns in mtimes_ns)
    for earlier, later in pairwise([begin, *written, end]):
        if later - earlier > longest:
            report.add_wrong(f"gaps of more than {format_duration(longest)}", f"{earlier:%H:%M:%S} to {later:%H:%M:%S}")
    report.numbers = {"files": len(written)}
    return report
