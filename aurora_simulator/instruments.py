"""Writes the trees of the instruments beside the camera, up to any sky time, as the instruments write them.

`advance` brings a tree to the state that it has at a sky time. It looks at what is there: a file that has grown is
opened for appending and gets the rest, one that is another is truncated and written anew (the inode stays), one that is
as it should be is not touched. So it may be called again and again with growing times, by other processes too, and
mends what was left half written. It never deletes: a time before one that was reached leaves the files of later periods
alone, and cuts back those of its own.

It runs as fast as it can and knows no clock; `live_instruments.py` does.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from aurora_simulator.growth import AT_ONCE, last_change, may_change, state
from aurora_simulator.instrument_spec import CLOSING, DataFile, InstrumentSpec
from aurora_simulator.spec import SpecError, mtime_ns

UNEXPECTED = "unexpected"
"""Stands in place of a stream for files that belong to none."""

type Kind = Literal["new", "appended", "rewritten"]
type Mtimes = datetime | Literal["natural", "clock"]


@dataclass(frozen=True)
class Change:
    """A file that was written: its stream, its path relative to the root, how, and how many bytes."""

    stream: str
    path: str
    kind: Kind
    bytes: int


@dataclass(frozen=True)
class InstrumentReport:
    """What was written: new files of each stream, how often files were appended to or rewritten, and all bytes."""

    new: Mapping[str, int] = field(default_factory=dict)
    appended: int = 0
    rewritten: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, changes: Iterable[Change]) -> InstrumentReport:
        """The sum of what `advance` returned."""
        changes = list(changes)
        kinds = Counter(change.kind for change in changes)
        new = Counter(change.stream for change in changes if change.kind == "new")
        return cls(dict(new), kinds["appended"], kinds["rewritten"], sum(change.bytes for change in changes))

    @property
    def files(self) -> int:
        """Number of new files."""
        return sum(self.new.values())

    def __add__(self, other: InstrumentReport) -> InstrumentReport:
        return InstrumentReport(
            dict(Counter(self.new) + Counter(other.new)),
            self.appended + other.appended,
            self.rewritten + other.rewritten,
            self.bytes + other.bytes,
        )


def simulate_instruments(spec: InstrumentSpec, until: datetime | None = None) -> InstrumentReport:
    """Write all days of the instruments at once, with the modification times that they give.

    Parameters
    ----------
    spec : InstrumentSpec
        What to write, and where.
    until : datetime, optional
        Sky time whose state is written; by default `CLOSING` after the last day, when every file is whole.

    Raises
    ------
    SpecError
        If neither `until` nor the days of `spec` have an end.
    """
    if until is None:
        if spec.end is None:
            raise SpecError("days must be given, or a time until which to write")
        until = spec.end + CLOSING
    return InstrumentReport.of(advance(spec, until))


def advance(
    spec: InstrumentSpec,
    until: datetime,
    *,
    since: datetime | None = None,
    flight: timedelta = AT_ONCE,
    mtimes: Mtimes = "natural",
) -> tuple[Change, ...]:
    """Bring the tree to its state at a sky time; returns what was written.

    Parameters
    ----------
    spec : InstrumentSpec
        What the instruments write, and where.
    until : datetime
        Sky time, UTC.
    since : datetime, optional
        A sky time whose state the tree already has (its `until`, less its `flight`): only files that may have changed
        from then on are looked at, which is faster. By default all are.
    flight : timedelta
        Sky time that a write takes: files that are written at that moment are half there, see `growth.py`. With 0 all
        lines and files are whole.
    mtimes : datetime, 'natural' or 'clock'
        Modification times of what is written: a given one, those of the instruments (in sky time, never after
        `until`), or the file system's own. What is not written keeps its own. Files that appear now with 'natural'
        times long past are those of an instrument whose disk was recovered late.

    Raises
    ------
    SpecError
        If a time is not UTC, or not in order.
    """
    for name, time in (("until", until), ("since", since)):
        if time is not None and time.utcoffset() != timedelta():
            raise SpecError(f"{name} must be UTC (with a zone), not {time}")
    if flight < AT_ONCE or (since is not None and since > until):
        raise SpecError(f"flight must be 0 or longer, and since at or before until: {flight}, {since}, {until}")
    changes: list[Change] = []
    for instrument in spec.instruments:
        first = spec.start if since is None else since - last_change(instrument)
        for file in spec.files(instrument, first, until):
            if since is None or may_change(file, since, until):
                changes += _bring(spec, file, until, flight, mtimes)
    if spec.unexpected and since is None and until >= spec.start:
        changes += _add_unexpected(spec)
    return tuple(changes)


def unexpected_files(spec: InstrumentSpec) -> dict[str, bytes]:
    """Files that belong to no stream, as found on real hosts; by path relative to the root."""
    found = {}
    for instrument in spec.instruments:
        top = instrument.directory
        found[f"{top}/notes.txt"] = b"Antenna cleaned, dish tilted by hand. Do not reboot before Monday.\n"
        found[f"{top}/lost+found/#131074"] = bytes(16)
        found[f"{top}/transfer.tmp"] = b"half a file"
        if "/" not in instrument.names[0]:  # in a tree, whatever lies in a day's directory may belong to that day
            found[f"{top}/{spec.start.strftime(instrument.names[0])}.tmp"] = b"half a file"
    return found


def _bring(
    spec: InstrumentSpec, file: DataFile, until: datetime, flight: timedelta, mtimes: Mtimes
) -> Iterator[Change]:
    now = state(file, spec, until, flight)
    if now is None:
        return
    target = f"{spec.root}/{file.path}"
    kind, written = _write(target, now.content)
    if kind is None:
        return
    if mtimes == "natural":
        _date(target, mtime_ns(now.written, file.path))
    elif isinstance(mtimes, datetime):
        _date(target, int(mtimes.timestamp()) * 1_000_000_000 + mtimes.microsecond * 1000)
    yield Change(file.instrument.stream, file.path, kind, written)


def _add_unexpected(spec: InstrumentSpec) -> Iterator[Change]:
    for path, content in unexpected_files(spec).items():
        target = f"{spec.root}/{path}"
        kind, written = _write(target, content)
        if kind is not None:
            _date(target, mtime_ns(spec.start, path))
            yield Change(UNEXPECTED, path, kind, written)


def _write(target: str, content: bytes) -> tuple[Kind | None, int]:
    """Make the file hold `content`, in the least way; how it was done, and bytes written."""
    try:
        with _created(target) as file:
            return "new", file.write(content)
    except FileExistsError:
        before = Path(target).read_bytes()
    if before == content:
        return None, 0
    if content.startswith(before):
        with open(target, "ab") as file:
            return "appended", file.write(content[len(before) :])
    with open(target, "wb") as file:
        return "rewritten", file.write(content)


def _created(target: str) -> io.BufferedWriter:
    """A new file, open for writing; its directory is made when it is missing."""
    try:
        return open(target, "xb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return open(target, "xb")


def _date(target: str, modified: int) -> None:
    """Set the modification time, ns since epoch."""
    os.utime(target, ns=(modified, modified))
