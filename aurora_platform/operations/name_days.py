r"""Where the names of one kind of file tell their UTC day, in every way that fits all of them.

A reading says which digits are year, month and day. It is plausible where it gives a date from 1990 to tomorrow for
every file. Libraries that parse dates (dateutil, dateparser) or guess their format (dateinfer, pandas'
``guess_datetime_format``) want a text that is a date and nothing else, each for itself. They neither find one between
serial numbers, nor know that 20260305 and 260305 are fixed-width, nor that one reading has to fit every name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

from aurora_platform.operations.name_kinds import NamedFile, NameKind, plain_pattern

_FIRST = date(1990, 1, 1)
_DAY = timedelta(days=1)
_WIDTH = {"Y": 4, "y": 2, "m": 2, "d": 2, "j": 3}
# Runs of digits, divided by a blank where the name has something between them; by how sure each is.
_FORMS = (
    *("Ymd", "Y m d", "Yj", "Y j", "dmY", "d m Y", "mdY", "m d Y", "Y md", "Ym d"),
    *("ymd", "y m d", "dmy", "d m y", "mdy", "m d y"),
)
_WEAK = {"Y md", "Ym d"}
# Behind a day in the same run of digits: HH, HHMM or HHMMSS; a leap second is 60.
TIME_OF_DAY = re.compile(r"(?:([01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d|60)?)?)?", re.ASCII)
_UNIX_DIGITS = {10: 1, 13: 1000}
_MOST_BETWEEN = 3  # characters between year and month, but for those of names of directories
_FEW = 0.05  # of the files may have a day that is not plausible, where the operator agrees
_ENOUGH = 0.8  # of the files whose mtime agrees with their day: a few were copied or recovered later


class Field(NamedTuple):
    """Digits of a name that are one part of a date; ``letter`` is its directive of ``strftime``."""

    piece: int
    begin: int
    letter: str

    @property
    def end(self) -> int:
        return self.begin + _WIDTH[self.letter]


@dataclass(frozen=True)
class Reading:
    """One way in which names of a kind tell their day; without fields it is a UNIX time, which ``day`` cannot read."""

    kind: NameKind
    fields: tuple[Field, ...]
    days: tuple[date, ...]
    """Of the kind's files, in their order."""
    is_weak: bool = False
    unix_piece: int = -1

    @property
    def label(self) -> str:
        """As ``strftime`` has it: %Y-%m-%d, with what stands between in the names."""
        if not self.fields:
            return "UNIX time"
        template, last = "", self.fields[0].piece
        for field in self.fields:
            template += self.between(last, field.piece) + f"%{field.letter}"
            last = field.piece
        return template

    @property
    def order(self) -> str:
        return "".join(field.letter for field in self.fields)

    @property
    def first(self) -> int:
        return self.fields[0].piece if self.fields else self.unix_piece

    @property
    def last(self) -> int:
        return self.fields[-1].piece if self.fields else self.unix_piece

    @property
    def is_in_base_name(self) -> bool:
        return self.first >= self.kind.base

    @property
    def is_in_directories(self) -> bool:
        return self.last < self.kind.base

    @property
    def has_short_year(self) -> bool:
        return "y" in self.order

    @cached_property
    def is_constant(self) -> bool:
        return len(set(self.days)) == 1

    @cached_property
    def agrees(self) -> bool:
        """Whether files were last written on their day or soon after, by their mtimes."""
        near = sum(
            day - _DAY <= _day_of_ns(file.mtime_ns) <= day + 2 * _DAY
            for day, file in zip(self.days, self.kind.files, strict=True)
        )
        return near >= _ENOUGH * len(self.days)

    @cached_property
    def digits(self) -> frozenset[tuple[int, int]]:
        """Which digits it reads: piece and place."""
        return frozenset((field.piece, n) for field in self.fields for n in range(field.begin, field.end))

    def between(self, one: int, other: int) -> str:
        return "".join(piece.text for piece in self.kind.pieces[one + 1 : other])


def readings_of(kind: NameKind, today: date) -> list[Reading]:
    """Every plausible reading of a kind's names; the best first, and those that fit as well right behind it."""
    found = [one for form in _FORMS for one in _of_form(kind, form, today)]
    found += _unix_times(kind, today)
    is_dated = any(not one.is_constant and not one.has_short_year and one.fields for one in found)

    def merit(one: Reading) -> tuple[bool, ...]:
        stands_still = one.is_constant and is_dated  # a serial number that looks like a day
        return (not one.agrees, one.has_short_year, stands_still, one.is_weak, not one.is_in_base_name)

    return sorted(found, key=merit)  # stable: the surest form, and the first place in the name


def rivals(best: Reading, others: Sequence[Reading]) -> list[Reading]:
    """Readings of the same digits that give other days and fit as well; none where mtimes or another stamp decide."""
    same = [one for one in others if one.digits == best.digits and one.days != best.days and one.fields]
    if best.agrees:
        same = [one for one in same if one.agrees]
    witnesses = [one for one in others if one.fields and not one.has_short_year and not one.digits & best.digits]
    if any(one.days == best.days for one in witnesses):
        return []
    return same


def without_outliers(kind: NameKind, today: date) -> NameKind | None:
    """The kind without the few files for which a reading that fits all others is not plausible.

    A clock that was reset writes a day of 1970. None where no four-digit year fits nearly all files.
    """
    found: list[NamedFile] | None = None
    for form in (form for form in _FORMS if "Y" in form and form not in _WEAK):
        for fields in _places(kind, form):
            kept = [file for file in kind.files if _day_of(file, fields, form, today) is not None]
            if fields[0].begin == 0 and len(kept) > len(found or []):
                found = kept
    is_nearly_all = found is not None and len(kind.files) * (1 - _FEW) <= len(found) < len(kind.files)
    return replace(kind, files=tuple(found)) if found and is_nearly_all else None


def _of_form(kind: NameKind, form: str, today: date) -> Iterator[Reading]:
    for fields in _places(kind, form):
        days = []
        for file in kind.files:
            day = _day_of(file, fields, form, today)
            if day is None:
                break
            days.append(day)
        else:
            yield Reading(kind, fields, tuple(days), is_weak=form in _WEAK or fields[0].begin > 0)


def _places(kind: NameKind, form: str) -> Iterator[tuple[Field, ...]]:
    """Where in the names of a kind a form may stand, by the lengths of their digits."""
    runs = form.split()
    places = [n for n, piece in enumerate(kind.pieces) if piece.kind == "digits"]
    for at in range(len(places) - len(runs) + 1):
        used = places[at : at + len(runs)]
        if _are_near(kind, used):
            yield from (tuple(_fields(used, runs, begin)) for begin in _begins(kind, used, runs))


def _are_near(kind: NameKind, used: Sequence[int]) -> bool:
    for one, other in pairwise(used):
        pieces = kind.pieces[one + 1 : other]
        text = "".join(piece.text for piece in pieces)
        if any(piece.kind != "text" for piece in pieces) or ("/" not in text and len(text) > _MOST_BETWEEN):
            return False
    return True


def _begins(kind: NameKind, used: Sequence[int], runs: Sequence[str]) -> Iterable[int]:
    """Where in its run of digits a form may begin."""
    widths = [sum(_WIDTH[letter] for letter in run) for run in runs]
    if len(runs) > 1:
        exact = all(kind.lengths[piece] == {width} for piece, width in zip(used, widths, strict=True))
        return [0] if exact else []
    lengths = kind.lengths[used[0]]
    if min(lengths) < widths[0]:
        return []
    # Other digits may stand right before a day only where it can be told from them.
    return range(max(lengths) - widths[0] + 1) if runs[0] == "Ymd" and len(lengths) == 1 else [0]


def _fields(used: Sequence[int], runs: Sequence[str], begin: int) -> Iterator[Field]:
    for piece, run in zip(used, runs, strict=True):
        at = begin
        for letter in run:
            yield Field(piece, at, letter)
            at += _WIDTH[letter]


def _day_of(file: NamedFile, fields: tuple[Field, ...], form: str, today: date) -> date | None:
    """The day of one file; None where it is not plausible."""
    if " " not in form and form != "Ymd" and not TIME_OF_DAY.fullmatch(file.values[fields[-1].piece][fields[-1].end :]):
        return None
    day = _date(tuple((field.letter, file.values[field.piece][field.begin : field.end]) for field in fields))
    return day if day is not None and _FIRST <= day <= today + _DAY else None


@lru_cache(4096)  # most files are of the same day as the one before
def _date(parts: tuple[tuple[str, str], ...]) -> date | None:
    of = {letter: int(digits) for letter, digits in parts}
    year = of["Y"] if "Y" in of else 2000 + of["y"]
    try:
        if "j" in of:
            day = date(year, 1, 1) + (of["j"] - 1) * _DAY
            return day if of["j"] and day.year == year else None
        return date(year, of["m"], of["d"])
    except (ValueError, OverflowError):
        return None


def _unix_times(kind: NameKind, today: date) -> Iterator[Reading]:
    for n, piece in enumerate(kind.pieces):
        if piece.kind != "digits" or len(kind.lengths[n]) > 1 or min(kind.lengths[n]) not in _UNIX_DIGITS:
            continue
        step = _UNIX_DIGITS[min(kind.lengths[n])]
        days = tuple(datetime.fromtimestamp(int(value) // step, UTC).date() for value in kind.values(n))
        if min(days) >= _FIRST and max(days) <= today + _DAY:
            yield Reading(kind, (), days, is_weak=True, unix_piece=n)


def _day_of_ns(mtime_ns: int) -> date:
    return datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC).date()


class DayRuleError(ValueError):
    """Kinds of names that one regular expression cannot read; the message says why."""


def day_rules(readings: Sequence[Reading]) -> Iterator[str]:
    """Regular expressions (``day`` of a stream) for all these readings at once; the shortest first.

    A short one looks only at what stands right before the day, so the caller checks whether it reads every name.
    """
    if len({one.order for one in readings}) > 1:
        ways = " and ".join(sorted({one.label for one in readings}))
        raise DayRuleError(f"these files name their days in different ways ({ways}): make a stream of each")
    stamp = _stamp(readings)
    for left in (_text_before, _name_before, _path_before):
        yield f"{_either(left(one) for one in readings)}{stamp}"


def _stamp(readings: Sequence[Reading]) -> str:
    """Year, month and day as named groups, and what stands between them and behind them."""
    template = _either(f"[0-9]{{{one.fields[0].begin}}}" if one.fields[0].begin else "" for one in readings)
    for n, field in enumerate(readings[0].fields):
        if n:
            template += _either(_plain(one.between(one.fields[n - 1].piece, one.fields[n].piece)) for one in readings)
        template += rf"(?P<{field.letter}>\d{{{_WIDTH[field.letter]}}})"
    return template + _either(_rest(one) for one in readings) + r"(?!\d)"


def _rest(one: Reading) -> str:
    """Digits behind the day in the same run: a time, a number."""
    lengths = {length - one.fields[-1].end for length in one.kind.lengths[one.last]}
    if len(lengths) > 1:
        return r"\d*"
    return rf"\d{{{min(lengths)}}}" if min(lengths) else ""


def _text_before(one: Reading) -> str:
    at, text = one.first, ""
    while at and (before := one.kind.fixed_text(at - 1)) not in (None, "/"):
        at -= 1
        text = f"{before}{text}"
    is_begin = at == 0 or one.kind.pieces[at - 1].text == "/"
    return f"{'(?:^|/)' if is_begin else ''}{_plain(text)}"


def _name_before(one: Reading) -> str:
    begin = max((n + 1 for n in range(one.first) if one.kind.pieces[n].text == "/"), default=0)
    return f"(?:^|/){_pieces_of(one, begin)}"


def _path_before(one: Reading) -> str:
    return f"^{_pieces_of(one, 0)}"


def _pieces_of(one: Reading, begin: int) -> str:
    return "".join(_expression(one.kind, n) for n in range(begin, one.first))


def _expression(kind: NameKind, n: int) -> str:
    lengths, text = kind.lengths[n], kind.fixed_text(n)
    if text is not None:
        return _plain(text)
    if kind.pieces[n].kind == "words":
        return "[^/]+"
    return rf"\d{{{min(lengths)}}}" if len(lengths) == 1 else r"\d+"


def _plain(text: str) -> str:
    # re.escape also escapes what means nothing outside of brackets ("-", " ", "#"), which is hard to read.
    return re.sub(r"[.^$*+?{}\[\]\\|()]", r"\\\g<0>", text)


def _either(parts: Iterable[str]) -> str:
    ways = list(dict.fromkeys(parts))
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


def directories_of(one: Reading) -> set[str]:
    """The directories of each day as ``strftime`` templates, where a reading is of directories."""
    found = set()
    end = next((n for n in range(one.last, len(one.kind.pieces)) if one.kind.pieces[n].text == "/"), one.last + 1)
    for file in one.kind.files:
        found.add("".join(_as_template(one, n, file.values[n]) for n in range(end)))
    return found


def name_template(one: Reading) -> str:
    """The base names of a day as a ``strftime`` template with ``*`` and ``?``, where a reading is of base names."""
    template = ""
    for n in range(one.kind.base, one.last + 1):
        text, fields = one.kind.fixed_text(n), [field for field in one.fields if field.piece == n]
        if fields:
            template += "?" * fields[0].begin + "".join(f"%{field.letter}" for field in fields)
        else:
            template += "*" if text is None else plain_pattern(text).replace("%", "%%")
    return re.sub(r"\*+", "*", f"{template}*")


def _as_template(one: Reading, piece: int, value: str) -> str:
    template, at = "", 0
    for field in (field for field in one.fields if field.piece == piece):
        template += value[at : field.begin].replace("%", "%%") + f"%{field.letter}"
        at = field.end
    return template + value[at:].replace("%", "%%")
