"""Looking at a stream's days, there and here, without touching either: is the copy what the host has, and all of it?

Observe only. What is here is read from the directory itself, what is there from a listing of its own, and neither from
what the mirror says that it did.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from aurora_platform.check_report import CheckReport
from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import INCOMING
from aurora_platform.mirror.plan import describe_refused
from aurora_platform.mirror.scan import DaySurvey, Survey
from aurora_platform.mirror.work_directory import BESIDE
from aurora_platform.text import Count

# A file in one interval, the next at the end of the following: twice the interval apart, and nothing is lost.
_TWICE = 2
_AHEAD = timedelta(days=1)


def local_files(stream: Stream, raw_root: Path, days: Sequence[date]) -> Iterator[ScannedEntry[str]]:
    """What lies in the local directories of some days, whatever it is; in the whole raw root where days have none."""
    starts = sorted({day.strftime(template) for day in days for template in stream.day_dirs}) or [""]
    pending = list(starts)
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(raw_root / directory) as found:
                for item in found:
                    path = os.path.join(directory, item.name)
                    if path == INCOMING or (item.name.startswith(".") and item.name.endswith(BESIDE)):
                        continue  # our own, in the making
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


def files_by_day(stream: Stream, raw_root: Path, days: Sequence[date]) -> dict[date, int]:
    """How many regular files of the stream each of some days has here."""
    counts = dict.fromkeys((day for day in days if day >= stream.start), 0)
    for file in local_files(stream, raw_root, days):
        day = (
            stream.day_of(file.path, file.version.mtime_ns) if file.is_regular and stream.includes(file.path) else None
        )
        if day in counts:
            counts[day] += 1
    return counts


def not_seen(why: str, what: Path | str = "the host") -> CheckReport:
    """The host, or another place, could not be looked at."""
    report = CheckReport(str(what))
    report.add_wrong("not seen", why)
    return report


def _not_all(report: CheckReport, survey: Survey) -> None:
    if not survey.is_whole:
        report.add_wrong("not all seen", f"time (limits.look) was up; until then: {survey.summary()}")


def nothing_refused(survey: Survey, outside: Survey) -> CheckReport:
    """No entry of the host had to be refused, neither of the days nor ``outside`` of what their look lists."""
    report = CheckReport("entries of the host")
    seen = 0
    for day in survey.days.values():
        seen += day.seen
        for reason, count, first in describe_refused(day.refused):
            report.wrong.setdefault(f"refused: {reason}", Count()).add_many(count, f"{day.day}: {first}")
    if survey.refused.total:
        report.wrong["refused, of no day"] = survey.refused
    if outside.refused.total:
        report.wrong["refused, outside of these days' directories and names"] = outside.refused
    for one in (survey, outside):
        if one.unreadable.total:
            report.wrong.setdefault("directories not readable", one.unreadable)
        _not_all(report, one)
    report.numbers = {"seen": seen, "refused": survey.refusals + outside.refusals}
    return report


def matches_source(survey: Survey) -> CheckReport:
    """Every settled file of the host is here in the same version, by size and mtime."""
    report = CheckReport("copy against host")
    present = 0
    for day in survey.days.values():
        if not isinstance(day, DaySurvey):
            continue
        present += day.present
        if day.missing:
            report.wrong.setdefault("settled there, and not so here", Count()).add_many(
                day.missing, f"{day.day}: {', '.join(day.first_missing)}"
            )
    _not_all(report, survey)
    report.numbers = {"present": present, "missing": sum(day.missing for day in survey.behind)}
    return report


def no_file_in_the_future(stream: Stream, files: Sequence[ScannedEntry[str]], now: datetime) -> CheckReport:
    """No file here is dated, or was written, after tomorrow."""
    report = CheckReport("times of the files here")
    latest_ns = int((now + _AHEAD).timestamp()) * 10**9
    for file in files:
        day = stream.day_of(file.path, file.version.mtime_ns) if stream.includes(file.path) else None
        if file.version.mtime_ns > latest_ns or (day is not None and day > (now + _AHEAD).date()):
            report.add_wrong("in the future", file.path)
    report.numbers = {"files": len(files)}
    return report


def nothing_unexpected(files: Sequence[ScannedEntry[str]], sharing: Mapping[str, Stream]) -> CheckReport:
    """Everything in the raw directory is a regular file of a stream that is mirrored to it."""
    report = CheckReport("contents of the raw directory")
    for file in files:
        if not file.is_regular:
            report.add_wrong("not a regular file", file.path)
        elif not any(stream.includes(file.path) for stream in sharing.values()):
            report.add_wrong("of no stream", file.path)
    report.numbers = {"files": len(files)}
    return report


def written_by_day(stream: Stream, files: Iterable[ScannedEntry[str]]) -> dict[date, list[int]]:
    """The mtimes (ns since epoch) of a stream's files, by the UTC day that each belongs to."""
    written: dict[date, list[int]] = {}
    for file in files:
        if file.is_regular and stream.includes(file.path) and (day := stream.day_of(file.path, file.version.mtime_ns)):
            written.setdefault(day, []).append(file.version.mtime_ns)
    return written


def no_gap(stream: Stream, written_ns: Sequence[int], day: date, until: datetime) -> CheckReport:
    """The files of a day came at the stream's cadence (``every``), from the day's begin to its end or to ``until``.

    By their mtimes, ``written_ns``, which are those that the instrument's host gave them. One from outside of the day,
    as a file has that was written again later, counts for the day's begin or end.
    """
    report = CheckReport(f"cadence of {day}")
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = min(begin + timedelta(days=1), until - stream.settle)
    if stream.every is None or end <= begin:
        return report
    longest = _TWICE * stream.every
    written = sorted(min(max(begin, datetime.fromtimestamp(ns / 1e9, UTC)), end) for ns in written_ns)
    for one, other in pairwise([begin, *written, end]):
        if other - one > longest:
            report.add_wrong(f"gaps of more than {longest}", f"{one:%H:%M:%S} to {other:%H:%M:%S}")
    report.numbers = {"files": len(written)}
    return report
