"""Writes the trees of the instruments other than the camera, up to any sky time, as the instruments write them.

`advance` updates a tree to its state at a sky time. It reads the existing files: a file that has grown is opened for
appending and gets the rest, a file that differs is truncated and rewritten (the inode stays), a correct file is not
touched. So it may be called repeatedly with growing times, also by other processes, and it completes half-written
files. It never deletes: with an earlier time than before, it leaves the files of later periods alone and shortens
those of its own period.

It runs as fast as it can and does not use the clock; `live_instruments.py` does.
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

from aurora_simulator.growth import INSTANT, compute_state, last_change, may_change
from aurora_simulator.instrument_spec import CLOSING, DataFile, InstrumentSpec
from aurora_simulator.spec import SpecError, mtime_ns

UNEXPECTED = "unexpected"
"""Used as the stream of files that belong to no stream."""

type Kind = Literal["new", "appended", "rewritten"]
type Mtimes = datetime | Literal["natural", "clock"]


@dataclass(frozen=True)
class Change:
    """One write: stream, path relative to the root, kind of write, and number of bytes."""

    stream: str
    path: str
    kind: Kind
    bytes: int


@dataclass(frozen=True)
class InstrumentReport:
    """Counts of writes: new files per stream, appends, rewrites, and bytes in total."""

    new: Mapping[str, int] = field(default_factory=dict)
    appended: int = 0
    rewritten: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, changes: Iterable[Change]) -> InstrumentReport:
        """Sum up the changes that `advance` returned."""
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
    """Write all days of the instruments at once, with the modification times that the instruments would set.

    Parameters
    ----------
    spec : InstrumentSpec
        Describes the files and their root.
    until : datetime, optional
        Sky time whose state is written; default: `CLOSING` after the last day, when every file is complete.

    Raises
    ------
    SpecError
        If `until` is missing and `spec` has no end.
    """
    if until is None:
        if spec.end is None:
            raise SpecError("set days, or a time until which to write")
        until = spec.end + CLOSING
    return InstrumentReport.of(advance(spec, until))


def advance(
    spec: InstrumentSpec,
    until: datetime,
    *,
    since: datetime | None = None,
    flight: timedelta = INSTANT,
    mtimes: Mtimes = "natural",
) -> tuple[Change, ...]:
    """Update the tree to its state at a sky time; return the changes.

    Parameters
    ----------
    spec : InstrumentSpec
        Describes the files and their root.
    until : datetime
        Sky time, UTC.
    since : datetime, optional
        A sky time whose state the tree already has (`until` less `flight` of the last call): only files that may have
        changed since are read, which is faster. By default all are read.
    flight : timedelta
        Sky time that a write takes: files in the middle of a write are half written, see `growth.py`. With 0 all
        lines and files are complete.
    mtimes : datetime, 'natural' or 'clock'
        Modification times of written files: a given time, the instrument's (in sky time, never after `until`), or the
        file system's. Other files keep theirs. New files with old 'natural' times look like those of an instrument
        whose disk was recovered late.

    Raises
    ------
    SpecError
        If a time is not UTC, or not in order.
    """
    for name, time in (("until", until), ("since", since)):
        if time is not None and time.utcoffset() != timedelta():
            raise SpecError(f"{name} must be UTC (with a zone), not {time}")
    if flight < INSTANT or (since is not None and since > until):
        raise SpecError(f"flight must be 0 or longer, and since at or before until: {flight}, {since}, {until}")
    changes: list[Change] = []
    for instrument in spec.instruments:
        first = spec.start if since is None else since - last_change(instrument)
        for file in spec.files(instrument, first, until):
            if since is None or may_change(file, since, until):
                changes += _update_file(spec, file, until, flight, mtimes)
    if spec.unexpected and since is None and until >= spec.start:
        changes += _add_unexpected(spec)
    return tuple(changes)


def unexpected_files(spec: InstrumentSpec) -> dict[str, bytes]:
    """Return the content of unexpected files, as found on real hosts, by path relative to the root."""
    files = {}
    for instrument in spec.instruments:
        top = instrument.directory
        files[f"{top}/notes.txt"] = b"Antenna cleaned, dish tilted by hand. Do not reboot before Monday.\n"
        files[f"{top}/lost+found/#131074"] = bytes(16)
        files[f"{top}/transfer.tmp"] = b"half a file"
        if (
            "/" not in instrument.names[0]
        ):  # in a tree by day, any file in the directory of a day may belong to that day
            files[f"{top}/{spec.start.strftime(instrument.names[0])}.tmp"] = b"half a file"
    return files


def _update_file(
    spec: InstrumentSpec, file: DataFile, until: datetime, flight: timedelta, mtimes: Mtimes
) -> Iterator[Change]:
    new_state = compute_state(file, spec, until, flight)
    if new_state is None:
        return
    target = f"{spec.root}/{file.path}"
    kind, written = _write(target, new_state.content)
    if kind is None:
        return
    if mtimes == "natural":
        _set_mtime(target, mtime_ns(new_state.written, file.path))
    elif isinstance(mtimes, datetime):
        _set_mtime(target, int(mtimes.timestamp()) * 1_000_000_000 + mtimes.microsecond * 1000)
    yield Change(file.instrument.stream, file.path, kind, written)


def _add_unexpected(spec: InstrumentSpec) -> Iterator[Change]:
    for path, content in unexpected_files(spec).items():
        target = f"{spec.root}/{path}"
        kind, written = _write(target, content)
        if kind is not None:
            _set_mtime(target, mtime_ns(spec.start, path))
            yield Change(UNEXPECTED, path, kind, written)


def _write(target: str, content: bytes) -> tuple[Kind | None, int]:
    """Give the file this content with the smallest write; return the kind of write and the bytes written."""
    try:
        with _create_file(target) as file:
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


def _create_file(target: str) -> io.BufferedWriter:
    """Create a file and open it for writing; make its directory when it is missing."""
    try:
        return open(target, "xb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return open(target, "xb")


def _set_mtime(target: str, modified: int) -> None:
    """Set the modification time, ns since epoch."""
    os.utime(target, ns=(modified, modified))
