"""Proposes the rules of a stream (include, day, day_dirs, ...) from the names of its files, and shows what rules do.

Pure: entries of a listing go in, settings of a stream come out. Who lists is the caller, and who decides the operator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from aurora_platform.config.package_files import demo_site_text
from aurora_platform.config.site import site_of_text
from aurora_platform.config.streams import Stream
from aurora_platform.config.types import format_duration
from aurora_platform.fs.versions import DIRECTORY
from aurora_platform.layout import WXCAM
from aurora_platform.operations.name_days import (
    DayRuleError,
    Reading,
    day_rules,
    directories_of,
    name_template,
    readings_of,
    rivals,
    without_outliers,
)
from aurora_platform.operations.name_kinds import NameKind, kinds_of
from aurora_platform.operations.name_times import interval_of, is_one_file_per_day
from aurora_platform.streams.classify import Classifier, Directories, why_unusable
from aurora_platform.text import Count, counted
from aurora_platform.transport.listing import ListedEntry

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".lock", ".lck", "~")
# More directories or names of one day than this are no rule, but a list of what lies there now.
_MOST_TEMPLATES = 16
_FEW = 0.05  # of the largest kind: a kind with fewer files is not proposed by itself
_STALE_INTERVALS = 3
_LONG = timedelta(minutes=30)  # between files: with more, 90m (the default of stale_after) is no sign of silence
_NEWEST = 3


@dataclass(frozen=True)
class Proposal:
    """Settings of a stream, as a site file has them; None and () are its defaults."""

    include: tuple[str, ...]
    day: str
    start: date
    day_dirs: tuple[str, ...] = ()
    day_names: tuple[str, ...] = ()
    settle: str = "5m"
    append: bool | None = None
    every: str | None = None
    lookback: str | None = None
    stale_after: str | None = None
    description: str = ""
    label: str = ""
    """How the days are written in the names: %Y%m%d, mtime."""
    notes: tuple[str, ...] = ()
    """What the operator should know, a sentence each."""

    def settings(self) -> dict[str, Any]:
        """The keys of the stream; those that keep their default are left out."""
        keys = ("description", "include", "day", "day_dirs", "day_names", "start", "settle", "append", "every")
        found = {key: getattr(self, key) for key in (*keys, "lookback", "stale_after")}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in found.items()
            if value not in (None, "", ())
        }


@dataclass(frozen=True)
class SortedEntries:
    """A listing: kinds of files that a stream may have, and what no stream can have, by reason."""

    kinds: list[NameKind]
    unusable: Mapping[str, Count]


def sort_entries(entries: Iterable[ListedEntry]) -> SortedEntries:
    """Sort what a host has listed: hostile, hidden and unfinished names are no basis for a rule."""
    usable: list[tuple[str, int]] = []
    unusable: dict[str, Count] = {}
    for entry in entries:
        if entry.kind == DIRECTORY:
            continue
        reason = why_unusable(entry) or _set_aside(entry.path)
        if reason:
            unusable.setdefault(reason, Count()).add(entry.path)
        else:
            usable.append((entry.path.decode(), entry.version.mtime_ns))
    return SortedEntries(kinds_of(usable), unusable)


def _set_aside(path: bytes) -> str | None:
    text = path.decode()
    if any(part.startswith(".") for part in text.split("/")):
        return "a part of its path begins with a dot"
    if text.lower().endswith(_UNFINISHED):
        return "named like an unfinished file"
    return None if text.isprintable() else "a character in the name that a site file may not hold"


def likely_kinds(kinds: Sequence[NameKind], stream: str, today: date) -> list[NameKind]:
    """The kinds that ``stream`` probably has; none where two are as likely and the operator has to choose."""
    dated = [kind for kind in kinds if readings_of(kind, today)]
    found = dated or list(kinds)
    most = max((len(kind.files) for kind in found), default=0)
    found = [kind for kind in found if len(kind.files) >= _FEW * most]
    if len(found) < 2:
        return found
    words = [word for word in stream.lower().split("_") if len(word) > 1]
    scores = [sum(word in str(kind).lower() for word in words) for kind in found]
    best = [kind for kind, score in zip(found, scores, strict=True) if score == max(scores) > 0]
    return best if len(best) == 1 else []


def propose(kinds: Sequence[NameKind], others: Sequence[NameKind], now: datetime) -> list[Proposal]:
    """Propose the rules of one stream.

    Parameters
    ----------
    kinds
        The files of the stream.
    others
        What lies beside them, which the rules must not take.
    now
        The clock of the host that was listed, UTC.

    Returns
    -------
    list of Proposal
        One; or several where the names can be read in several ways that fit as well. Then the operator has to choose.

    Raises
    ------
    DayRuleError
        Where no single rule reads the days of all these kinds.
    """
    today = now.date()
    found = [readings_of(kind, today) for kind in kinds]
    if not any(found):
        by_mtime = _by_mtime(kinds, others, today, "the names tell no day: each file belongs to the day of its mtime")
        return [*_without_outliers(kinds, others, now), by_mtime]
    chosen = _common(kinds, found)
    if not all(one.fields for one in chosen):
        note = "the names have UNIX times, which `day` cannot read: each file belongs to the day of its mtime"
        return [_by_mtime(kinds, others, today, note)]
    ways = [{one.order for one in rivals(best, all_)} for best, all_ in zip(chosen, found, strict=True)]
    orders = sorted(set.intersection(*ways))
    proposals = [_by_name(chosen, found, others, today)]
    for order in orders:
        other = [
            next(one for one in all_ if one.order == order and one.digits == best.digits)
            for best, all_ in zip(chosen, found, strict=True)
        ]
        proposals.append(_by_name(other, found, others, today))
    return proposals


def _without_outliers(kinds: Sequence[NameKind], others: Sequence[NameKind], now: datetime) -> list[Proposal]:
    """Rules that fit all but a few files, which are named; none where there are none."""
    most = [without_outliers(kind, now.date()) for kind in kinds]
    if not any(most):
        return []
    kept = [part or kind for part, kind in zip(most, kinds, strict=True)]
    strange = [
        file.path for part, kind in zip(kept, kinds, strict=True) for file in kind.files if file not in part.files
    ]
    note = f"{counted(len(strange), 'file')} with an impossible day, which the mirror leaves alone: {strange[0]}"
    return [replace(one, notes=(*one.notes, note)) for one in propose(kept, others, now)]


def _common(kinds: Sequence[NameKind], found: Sequence[Sequence[Reading]]) -> list[Reading]:
    """For each kind its best reading, with year, month and day in the same order in all."""
    for kind, readings in zip(kinds, found, strict=True):
        if not readings:
            raise DayRuleError(
                f"{kind}: these names tell no day, and others do: leave them out, or use `mtime` for all"
            )
    orders = {one.order for one in found[0]}.intersection(*({one.order for one in some} for some in found))
    ways = [[next(one for one in some if one.order == order) for some in found] for order in sorted(orders)]
    if not ways:
        labels = " and ".join(sorted({some[0].label for some in found}))
        raise DayRuleError(f"these files name their days in different ways ({labels}): make a stream of each")
    return min(ways, key=lambda way: sum(list(some).index(one) for some, one in zip(found, way, strict=True)))


def _by_name(
    chosen: Sequence[Reading], found: Sequence[Sequence[Reading]], others: Sequence[NameKind], today: date
) -> Proposal:
    in_dirs = [_directories(best, all_) for best, all_ in zip(chosen, found, strict=True)]
    dated = [
        {field.piece for one in (best, place) if one for field in one.fields}
        for best, place in zip(chosen, in_dirs, strict=True)
    ]
    dirs = {template for one in in_dirs if one for template in directories_of(one)}
    names: set[str] = set()
    if not all(in_dirs) or len(dirs) > _MOST_TEMPLATES or not all(map(_is_plain, dirs)):
        dirs = set()
        if all(one.is_in_base_name for one in chosen):
            names = {name_template(one) for one in chosen}
    include, notes = _include([one.kind for one in chosen], dated, others)
    labels = sorted({one.label for one in chosen})
    base = Proposal(
        include,
        _rule(chosen, include),
        min(min(one.days) for one in chosen),
        tuple(sorted(dirs)),
        tuple(sorted(names)) if len(names) <= _MOST_TEMPLATES else (),
        label=", ".join(labels),
        notes=notes,
    )
    return _with_times(base, chosen, found, today)


def _rule(chosen: Sequence[Reading], include: tuple[str, ...]) -> str:
    """The shortest expression that reads from each name the day that was read here."""
    days = [(file.path, day) for one in chosen for file, day in zip(one.kind.files, one.days, strict=True)]
    for rule in day_rules(chosen):
        stream = _stream(include, rule)
        if all(stream.day_of(path, 0) == day for path, day in days):
            return rule
    raise DayRuleError("no single expression reads the day of all these names: make a stream of each kind")


def _stream(include: tuple[str, ...], day: str) -> Stream:
    """A stream for its rules alone."""
    return Stream(host="any", path="/", raw="any", include=include, day=day, start=date(1990, 1, 1))


def _directories(best: Reading, readings: Sequence[Reading]) -> Reading | None:
    """The reading of the directories, where each day has its own: a file lies in that of its day, or beside it."""
    if best.is_in_directories:
        return best
    for one in readings:
        near = all(abs(a - b) <= timedelta(days=1) for a, b in zip(one.days, best.days, strict=True))
        if one.fields and one.is_in_directories and not one.is_weak and near:
            return one
    return None


def _is_plain(template: str) -> bool:
    return template.isascii() and template.isprintable()


def _include(
    kinds: Sequence[NameKind], dated: Sequence[set[int]], others: Sequence[NameKind]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Patterns that take these kinds and not the others, as loose as that allows; and a note where they take more."""
    others_paths = [file.path for kind in others for file in kind.files]
    widths: tuple[Literal["any", "same", "digits"], ...] = ("any", "same", "digits")
    for width in widths:
        patterns = [one for kind, pieces in zip(kinds, dated, strict=True) for one in kind.patterns(pieces, width)]
        include = tuple(dict.fromkeys(patterns))
        stream = _stream(include, "mtime")
        taken = [path for path in others_paths if stream.includes(path)]
        if not taken:
            return include, ()
    return include, (f"include also takes {len(taken)} files of other kinds, {taken[0]!a} for example",)


def _with_times(base: Proposal, chosen: Sequence[Reading], found: Sequence[Sequence[Reading]], today: date) -> Proposal:
    every = interval_of(chosen, found)
    changes: dict[str, Any] = {"every": format_duration(every) if every else None}
    is_daily = is_one_file_per_day(chosen)
    if is_daily and max(max(one.days) for one in chosen) >= today:
        note = (
            "today's file exists already, so it grows all day: settle 0s. append: true if it only grows at its end, "
            "false if it is rewritten"
        )
        changes |= {"settle": "0s", "append": True, "notes": (*base.notes, note)}
    elif every and every > _LONG:
        changes["stale_after"] = format_duration(_STALE_INTERVALS * every)
    return replace(base, **changes)


def _by_mtime(kinds: Sequence[NameKind], others: Sequence[NameKind], today: date, note: str) -> Proposal:
    include, notes = _include(kinds, [set() for _ in kinds], others)
    oldest = min((file.mtime_ns for kind in kinds for file in kind.files), default=0)
    first = datetime.fromtimestamp(max(0, oldest) // 1_000_000_000, UTC).date()
    return Proposal(include, "mtime", min(first, today), label="mtime", notes=(note, *notes))


def camera_proposal(entries: Iterable[ListedEntry], now: datetime) -> Proposal | None:
    """The rules of the sky camera WXcam, whose names are known; None where no file is named so."""
    camera = site_of_text(demo_site_text(), Path("demo"), Path.cwd()).streams[WXCAM]
    days = []
    for entry in entries:
        text = entry.path.decode("utf-8", "surrogateescape")
        if entry.kind != DIRECTORY and camera.includes(text) and (day := camera.day_of(text, 0)):
            days.append(day)
    if not days:
        return None
    return Proposal(
        camera.include,
        camera.day,
        min(*days, now.date()),
        camera.day_dirs,
        settle=format_duration(camera.settle),
        lookback=format_duration(camera.lookback),
        stale_after=format_duration(camera.stale_after),
        description=camera.description,
        label="%Y%m%d",
    )


@dataclass(frozen=True)
class Preview:
    """What the rules of a stream do with a listing: files = taken + refused + left."""

    taken: Mapping[str, int]
    """Files that each pattern of ``include`` takes; one that two take counts for both."""
    files: int = 0
    dated: int = 0
    """Files of the stream with a day."""
    newest: Sequence[tuple[str, date]] = ()
    refused: Mapping[str, Count] = field(default_factory=dict)
    """By reason."""
    left: Mapping[str, Count] = field(default_factory=dict)
    """Files that belong to nothing, by reason."""


def preview(stream: Stream, entries: Sequence[ListedEntry], clock_ns: int) -> Preview:
    """Classify a listing by the rules of a stream, as the mirror would."""
    texts = [entry.path.decode("utf-8", "surrogateescape") for entry in entries]
    days = {stream.day_of(text, max(0, one.version.mtime_ns)) for text, one in zip(texts, entries, strict=True)}
    asked = sorted(day for day in days if day)
    classify = Classifier(stream, Directories(stream, asked), clock_ns)
    single = {pattern: _stream((pattern,), "mtime") for pattern in stream.include}
    taken: Counter[str] = Counter(dict.fromkeys(stream.include, 0))
    refused: dict[str, Count] = {}
    left: dict[str, Count] = {}
    dated: list[tuple[date, int, str]] = []
    files = 0
    for text, entry in zip(texts, entries, strict=True):
        found = classify(entry)
        if entry.kind == DIRECTORY and found.reason is None:
            continue
        files += 1
        taken.update(pattern for pattern, one in single.items() if one.includes(text))
        if found.file is not None and found.day is not None:
            dated.append((found.day, entry.version.mtime_ns, text))
        elif found.reason is not None:
            refused.setdefault(found.reason, Count()).add(entry.path)
        else:
            reason = _set_aside_or_none(text) or "no pattern of include takes its name"
            left.setdefault(reason, Count()).add(entry.path)
    newest = [(text, day) for day, _, text in sorted(dated, reverse=True)[:_NEWEST]]
    return Preview(dict(taken), files, len(dated), newest, refused, left)


def _set_aside_or_none(text: str) -> str | None:
    return _set_aside(text.encode("utf-8", "surrogateescape")) if text.isprintable() else None
