"""rsync: the one program that moves file data, from a host to here, and from here to the archive.

Each file comes under its name whole or not at all; a transfer that was cut is resumed; every wait has a bound.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from logging import Logger
from pathlib import Path
from typing import Protocol

from aurora_platform.errors import BusyError, OversizeError, TransferError
from aurora_platform.fs.atomic import remove
from aurora_platform.text import MOST_NAMED, printable
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.process import LOCKED, TIMED_OUT, run_program
from aurora_platform.transport.protocols import NEW, PARTIAL, WANTED, TransferResult
from aurora_platform.transport.stall import READS, Life

# rsync's exit codes that end a pass well: everything, or everything but single files, which are named.
_SOME_FAILED, VANISHED = 23, 24
_DONE = (0, _SOME_FAILED, VANISHED)
_DISK_FAILED = re.compile(
    r"^rsync: \[(receiver|generator)\].*(No space left|Disk quota|Read-only file system|Input/output error)"
)
_DISK_FULL = re.compile(r"^rsync: \[(receiver|generator)\].*(No space left|Disk quota)")
_WRITING_DENIED = re.compile(r"^rsync: \[(receiver|generator)\].*Permission denied")
# Those that say that it was called wrongly, or is not there: trying again would end alike.
_HOPELESS = (1, 2, 3, 4, 6, 127)
_MEANINGS = {
    5: "the host refused to start the transfer",
    10: "error in socket I/O",
    11: "error in file I/O: is the disk full?",
    12: "the connection broke",
    13: "it could not write what it had to say",
    20: "ended by a signal",
    30: "nothing moved for too long",
    35: "no connection in time",
    TIMED_OUT: "took longer than the site's limit for a transfer",
    127: "rsync is not installed there",
    137: "killed",
    143: "ended by a signal",
    255: "ssh could not connect, or the connection broke",
}


@dataclass(frozen=True)
class Ended:
    """How an rsync ended: its exit code, as a shell gives it, and the lines that it said."""

    code: int
    lines: tuple[str, ...]

    @property
    def messages(self) -> tuple[str, ...]:
        """What it said of single files, or of what it could not do."""
        said = ("rsync: ", "rsync error: ", "rsync warning: ", "ssh: ", "file has vanished: ")
        return tuple(printable(line) for line in self.lines if line.startswith(said))

    @property
    def disk_failed(self) -> str | None:
        """What it said of the receiving side's disk, if that failed: full, over quota, read-only, broken."""
        return next((printable(line) for line in self.lines if _DISK_FAILED.search(line)), None)

    @property
    def is_full(self) -> bool:
        """Whether it said that the receiving side's disk, or a quota there, is full."""
        return any(_DISK_FULL.search(line) for line in self.lines)

    @property
    def writing_denied(self) -> str | None:
        """What it said of a place on the receiving side where it may not write."""
        return next((printable(line) for line in self.lines if _WRITING_DENIED.search(line)), None)

    def check(self) -> None:
        """Raise :class:`TransferError` unless it has done all, or all but single files."""
        if self.code in _DONE:
            return
        # ssh says why in a line of its own, before rsync says that the connection is gone.
        said = "; ".join(printable(line) for line in self.lines[-3:])
        meaning = _MEANINGS.get(self.code, "see man rsync")
        raise TransferError(
            f"rsync ended with {self.code} ({meaning}): {said}",
            transient=self.code not in _HOPELESS,
            is_full=self.is_full,
        )

    def stat(self, name: str) -> int:
        """A number of bytes of its statistics."""
        match = re.search(rf"^{re.escape(name)}: (\d+) bytes", "\n".join(self.lines), re.MULTILINE)
        return int(match[1]) if match else 0


class Endpoint(Protocol):
    """The other side of a transfer, as rsync reaches it."""

    def reach(self, root: str) -> tuple[str, list[str]]:
        """A directory there as rsync names it, and the options to get there."""
        ...


class LocalEndpoint:
    """A directory of this machine."""

    def reach(self, root: str) -> tuple[str, list[str]]:
        """See :meth:`Endpoint.reach`."""
        # Both ends are ours. The one that writes says itself why it failed: the other may see the broken pipe first,
        # and the reason is lost.
        return f"{root.rstrip('/')}/", ["--msgs2stderr"]


@dataclass(frozen=True)
class Rsync:
    """rsync to and from one host."""

    endpoint: Endpoint
    bounds: Bounds

    def arguments(
        self, root: str, target: Path, work: Path, basis: Path | None = None, largest: int | None = None
    ) -> list[str]:
        """The argument vector that copies the files that ``work`` names from ``root`` there to ``target``.

        Those that the host says are larger than ``largest`` bytes are left out.
        """
        source, remote = self.endpoint.reach(root)
        return [
            *self._options(work / WANTED, str(work / NEW), str(work / PARTIAL), self.bounds.stall_seconds),
            "--fsync",
            *remote,
            *((f"--copy-dest={basis}",) if basis is not None else ()),
            *((f"--max-size={largest}",) if largest is not None else ()),
            "--",
            source,
            f"{target}/",
        ]

    def push_arguments(
        self, upload_tree: Path, wanted: Path, root: str, work: str, keep_in: str | None = None
    ) -> list[str]:
        """The argument vector that copies the files that ``wanted`` names from ``upload_tree`` to ``root`` there.

        ``work`` is a directory there, with one for files in the making and one for cut files in it; ``keep_in`` is one
        for the files that are replaced.
        """
        target, remote = self.endpoint.reach(root)
        # Not --fsync, which older versions do not know: what is there is listed before it counts. A directory there
        # that is a symlink to another disk would be replaced by a directory without --no-implied-dirs. What does not
        # get on is ended by us; rsync's own bound is for the far side, and longer: it takes a slow line for a dead one.
        return [
            *self._options(wanted, f"{work}/{NEW}", f"{work}/{PARTIAL}", 2 * self.bounds.stall_seconds),
            "--no-implied-dirs",
            *(() if keep_in is None else ("--backup", "--backup-dir", keep_in)),
            *remote,
            "--",
            f"{upload_tree}/",
            target,
        ]

    def _options(self, wanted: Path, new: str, partial: str, timeout: float) -> list[str]:
        """What every transfer is asked for; ``new`` and ``partial`` are directories of the receiving side."""
        return [
            "rsync",
            *("--files-from", str(wanted), "--from0", "--ignore-missing-args"),
            # The plan has compared size and mtime to the nanosecond; rsync compares to the second and would skip some.
            *("--ignore-times", "--times", "--omit-dir-times"),
            # Owner and mode are those of whoever runs this; nothing but plain files is ever created.
            *("--no-perms", "--chmod=D777,F666", "--no-links", "--no-devices", "--no-specials"),
            *("--temp-dir", new, "--partial-dir", partial),
            # The server side gets its arguments over the connection, not through its shell.
            "--secluded-args",
            *("--timeout", str(max(1, round(timeout)))),
            *("--stats", "--no-human-readable"),
            *((f"--bwlimit={self.bounds.bandwidth_kib}",) if self.bounds.bandwidth_kib else ()),
        ]

    def run(self, arguments: Sequence[str], log: Logger, lock: Path, life: Life, largest: int | None = None) -> Ended:
        """Run rsync to its end, which comes within our bounds; :class:`BusyError` where ``lock`` is not free.

        It cannot write more than ``largest`` bytes into any file, whatever the other side sends.
        """
        output, code = run_program(
            arguments,
            log,
            bound=timedelta(seconds=self.bounds.transfer_seconds),
            lock=lock,
            lock_wait=timedelta(seconds=self.bounds.stall_seconds),
            # Its own --timeout is not enough: rsync takes the keep-alives that it sends for a sign of life.
            stall=timedelta(seconds=self.bounds.stall_seconds),
            life=life,
            largest=largest,
            # Each of these decides what its end means; the files of a far side may say more than is kept.
            matching=[re.compile(pattern.pattern.encode()) for pattern in (_DISK_FULL, _DISK_FAILED, _WRITING_DENIED)],
        )
        if code == LOCKED:
            raise BusyError(f"{lock}: an earlier transfer of this stream is still ending. See `fuser -v {lock}`.")
        # As a shell says it: ended by that signal.
        return Ended(
            code if code >= 0 else 128 - code, tuple(line.strip() for line in output.splitlines() if line.strip())
        )


@dataclass(frozen=True)
class RsyncTransfer:
    """One host's transfer; see :class:`aurora_platform.transport.protocols.Transfer`."""

    rsync: Rsync
    log: Logger
    basis: Path | None = None

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        """See :meth:`aurora_platform.transport.protocols.Transfer.fetch`."""
        _prepare(work, paths)
        arguments = self.rsync.arguments(root, target, work, self.basis, largest)
        ended = self.rsync.run(arguments, self.log, lock, READS, largest)
        if ended.code == _SOME_FAILED and (ours := ended.disk_failed or ended.writing_denied):
            # Code 23 names single files that could not be read there; what cannot be written here is no file's fault.
            raise TransferError(
                f"rsync could not write here: {ours}", transient=ended.disk_failed is not None, is_full=ended.is_full
            )
        if ended.code and (oversize := _oversize(work, paths, largest)):
            names = ", ".join(printable(path) for path in oversize[:MOST_NAMED])
            raise OversizeError(
                f"more than {largest} bytes came of {names}: the host had listed less. "
                "The transfer was ended; the next pass lists it again.",
                oversize,
            )
        ended.check()
        return TransferResult(ended.stat("Literal data"), ended.stat("Matched data"), ended.messages[:10])


def _oversize(work: Path, paths: Sequence[str], largest: int) -> list[str]:
    """Those of some paths that have the name of a file at whose size rsync was stopped: where it is kept, it is cut."""
    stopped = {place.name for place in (work / PARTIAL).iterdir() if place.lstat().st_size >= largest}
    return [path for path in paths if path.rpartition("/")[2] in stopped]


def write_wanted(place: Path, paths: Sequence[str]) -> None:
    """Write the list of files that a transfer copies."""
    # "./" in front: rsync would take a name that begins with "#" or ";" for a comment.
    place.write_bytes(b"".join(b"./" + path.encode() + b"\0" for path in paths))


def _prepare(work: Path, paths: Sequence[str]) -> None:
    remove(work / NEW)  # of a transfer that was killed; what it could save is in partial/
    for name in (NEW, PARTIAL):
        (work / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_wanted(work / WANTED, paths)


def literal(path: str) -> str:
    """A path of the far side, which rsync takes for a pattern where it has a wildcard."""
    return re.sub(r"([*?\[\\])", r"\\\1", path) if re.search(r"[*?\[]", path) else path
