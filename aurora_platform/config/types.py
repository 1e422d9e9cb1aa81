"""Types of values in a site file (durations, paths, names, cron schedules), and the base class of all settings.

Pydantic types for :mod:`aurora_platform.config.site`; their error messages are for the author of the site file.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationInfo,
)

from aurora_platform.layout import OUR_DIRECTORIES

CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_MONTH_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month
_CRON_PART = r"(\*|\d{1,2}(-\d{1,2})?)(/[1-9]\d?)?"
_CRON_FIELD = re.compile(rf"{_CRON_PART}(,{_CRON_PART})*", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"M": 10**6, "G": 10**9, "T": 10**12}
_FREE = re.compile(r"[0-9]{1,2}%|[0-9]{1,6}[MGT]")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DAY_DIRECTIVES = {"%Y", "%y", "%m", "%d", "%j"}
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
_CONTACT = re.compile(r"team:[A-Za-z0-9_-]{1,63}|[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}\.[A-Za-z]{2,7}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.IGNORECASE)
_SOURCE_PATH = re.compile(r"[^\x00-\x1f]+")
_REMOTE_PATH = re.compile(r"/[^\x00-\x1f]*")


def parse_duration(value: object) -> timedelta:
    """Turn ``30s``, ``5m``, ``90m``, ``3h`` or ``10d`` into a duration; ``ValueError`` for anything else."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a whole number and a unit: 30s, 5m, 3h, 10d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """The shortest way to write a duration in a site file."""
    seconds = int(value.total_seconds())
    unit = next((u for u in "dhm" if seconds and seconds % _UNITS[u] == 0), "s")
    return f"{seconds // _UNITS[unit]}{unit}"


def resolved(value: object, info: ValidationInfo) -> Path:
    """A path on this machine; a relative path is relative to the site file."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("must be a path, absolute or relative to the site file")
    base = (info.context or {}).get("base", Path.cwd())
    # abspath, not resolve: a symlinked data disk keeps the name from the site file.
    return Path(os.path.abspath(base / expanded(Path(value))))


def expanded(path: Path) -> Path:
    """The path with ``~`` replaced by the home directory."""
    try:
        return path.expanduser()
    except RuntimeError as error:  # raised by pathlib for an unknown user
        raise ValueError(f"{path}: {error}") from None


def _relative(value: str) -> str:
    parts = value.split("/")
    if value.startswith("/") or any(part in ("", ".", "..") for part in parts) or not value.isprintable():
        raise ValueError("must be a relative path, without empty parts, '.' or '..'")
    return value


def _raw_directory(value: str) -> str:
    if reserved := set(value.split("/")) & OUR_DIRECTORIES:
        raise ValueError(f"must not contain {', '.join(sorted(reserved))}: Aurora uses directories of that name itself")
    return value


def matching(pattern: re.Pattern[str], meaning: str) -> AfterValidator:
    """The whole text must match; otherwise ``meaning`` tells the author of the site file what to write."""

    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(meaning)
        return value

    return AfterValidator(check)


def _day_rule(value: str) -> str:
    if value == "mtime":
        return value
    try:
        groups = set(re.compile(value).groupindex)
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error}), or: mtime") from None
    if not (({"m", "d"} <= groups or "j" in groups) and groups & {"Y", "y"}):
        raise ValueError("needs the named groups Y (or y), m and d (or j, the day of the year), or the word mtime")
    return value


def _day_name(value: str) -> str:
    if not value.isprintable() or "/" in value:
        raise ValueError("must be a file name without its directory: no '/' and no control characters")
    directives = set(re.findall("%.?", value))
    if unknown := sorted(directives - _DAY_DIRECTIVES - {"%%"}):
        raise ValueError(f"{unknown[0]!r} is none of {' '.join(sorted(_DAY_DIRECTIVES))} (write %% for a percent sign)")
    if not directives & _DAY_DIRECTIVES:
        raise ValueError("holds no date: write %Y, %m and %d for the year, month and day in the name")
    return value


def _unquoted(path: Path) -> Path:
    # This path is part of rsync's remote-shell option, which rsync and ssh both split and expand.
    if re.search(r"[\s'\"%\\$~]", str(path)):
        raise ValueError("no white space, quotes, backslash, '%', '$' or '~' in this path: ssh would interpret them")
    return path


def _bound(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("must be longer than 0s: every wait has a bound")
    return value


def _cron(value: str) -> str:
    fields = value.split()
    if len(fields) != len(CRON_FIELDS):
        raise ValueError("must be five fields, as in a crontab: minute hour day month weekday")
    for field, (name, least, most) in zip(fields, CRON_FIELDS, strict=True):
        if not _CRON_FIELD.fullmatch(field):
            raise ValueError(
                f"the field {name} ({field!r}) must be a number, a range, * or */step, or several with commas"
            )
        if not all(least <= int(number) <= most for number in re.findall(r"\d+", field)):
            raise ValueError(f"the field {name} ({field!r}) must be from {least} to {most}")
    days, months = (cron_numbers(fields[n], *CRON_FIELDS[n][1:]) for n in (2, 3))
    if min(days) > max(_MONTH_LENGTHS[month - 1] for month in months):
        raise ValueError(f"there is no such date: day {fields[2]} of month {fields[3]}")
    return value


def cron_numbers(field: str, least: int, most: int) -> set[int]:
    """The numbers of a crontab field; a range whose end is before its beginning wraps around."""
    all_numbers: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin, end = (least, most) if span == "*" else (int(first), int(last or first))
        numbers = [*range(begin, end + 1)] if begin <= end else [*range(begin, most + 1), *range(least, end + 1)]
        all_numbers.update(numbers[:: int(step or 1)])
    return all_numbers


def _free(value: object) -> str:
    if not isinstance(value, str) or not _FREE.fullmatch(value):
        raise ValueError("must be a part of the disk or a size: 2%, 500M, 20G, 1T")
    return value


def _umask(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"0?0[0-7]{2}", value):
        raise ValueError('must be octal digits in quotes, and leave the owner all rights: "027", "022"')
    return value


def reserved_bytes(value: str | None, total: int) -> int:
    """How many bytes of a disk, or of a quota, of ``total`` bytes stay free.

    For a setting of ``2%``, ``500M``, ``20G`` or ``1T``. None is 5 %, at least 10 GB, but at most a fifth.
    """
    if value is None:
        return max(total // 20, min(total // 5, 10 * _SIZES["G"]))
    number, unit = int(value[:-1]), value[-1]
    return total * number // 100 if unit == "%" else number * _SIZES[unit]


def _tick_bound(value: timedelta) -> timedelta:
    if value > timedelta(seconds=50):
        raise ValueError("at most 50s: Dagster ends the tick of a sensor or schedule after 60 s")
    return value


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]
Bound = Annotated[Duration, AfterValidator(_bound)]


def _percent(value: object) -> float:
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)%", value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        raise ValueError("must be a percentage from 0% to 100%, as in 1%")
    return float(match[1]) / 100


_BYTES_PER_DAY = re.compile(r"([0-9]{1,6})([MGT])B/d")


def _bytes_per_day(value: object) -> int:
    match = _BYTES_PER_DAY.fullmatch(value) if isinstance(value, str) else None
    if match is None or not int(match[1]):
        raise ValueError("must be bytes per day: 500MB/d, 20GB/d, 1TB/d")
    return int(match[1]) * _SIZES[match[2]]


BytesPerDay = Annotated[
    int, BeforeValidator(_bytes_per_day), PlainSerializer(lambda value: f"{value // 10**6}MB/d", when_used="json")
]
"""Bytes, from ``20GB/d``."""
Percentage = Annotated[
    float, BeforeValidator(_percent), PlainSerializer(lambda value: f"{value * 100:g}%", when_used="json")
]
"""A share from 0 to 1, which a site file gives in percent."""
Umask = Annotated[str, BeforeValidator(_umask)]
"""Which rights new files do not have, in octal digits."""
Free = Annotated[str, BeforeValidator(_free)]
"""How much of a disk stays free."""
TickBound = Annotated[Bound, AfterValidator(_tick_bound)]
"""A bound that fits into one tick of a sensor or schedule."""
SitePath = Annotated[Path, BeforeValidator(resolved)]
RelativePath = Annotated[str, AfterValidator(_relative)]
RawDirectory = Annotated[RelativePath, AfterValidator(_raw_directory)]
Name = Annotated[str, matching(_NAME, "must be lower-case letters, digits and _, beginning with a letter")]
DayRule = Annotated[str, AfterValidator(_day_rule)]
DayName = Annotated[str, AfterValidator(_day_name)]
UnquotedPath = Annotated[SitePath, AfterValidator(_unquoted)]
Address = Annotated[str, matching(_ADDRESS, "must be a host name or an IP address")]
Contact = Annotated[str, matching(_CONTACT, "must be a mail address (name@example.org) or team:<name>")]
Login = Annotated[str, matching(_USER, "must be a login name")]
Cron = Annotated[str, AfterValidator(_cron)]
"""When a schedule ticks, in UTC, as in a crontab."""
RemotePath = Annotated[
    str, matching(_REMOTE_PATH, "must be a path, absolute on another machine, without control characters")
]
"""An absolute path on another machine."""
SourcePath = Annotated[str, matching(_SOURCE_PATH, "must be a path, without control characters")]
"""A path on a host of any kind; the site checks that it is absolute on another machine."""
