"""Runs rsync, the only program that copies file data: from hosts to this machine, and from this machine to the archive.

Each file gets its name complete or not at all; an interrupted transfer is resumed; every wait has a bound.
"""

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from logging import Logger
from pathlib import Path
from typing import Protocol

from aurora_platform.errors import BusyError, OversizeError, TransferError
from aurora_platform.fs.atomic import remove
from aurora_platform.fs.disk_errors import OF_DISKS, naming, next_step_in
from aurora_platform.text import MOST_NAMED, printable
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.process import FLOODED, LOCKED, MOST_OUTPUT, TIMED_OUT, run_program
from aurora_platform.transport.protocols import NEW, PARTIAL, WANTED, TransferResult
from aurora_platform.transport.stall import DELIVERY_PROGRESS, READ_PROGRESS, Progress

# Exit codes of rsync that count as success: all files, or all but single files, which its messages name.
_SOME_FAILED, VANISHED = 23, 24
_SUCCESS_CODES = (0, _SOME_FAILED, VANISHED)
_DISK_ERROR = re.compile(
    r"^rsync: \[(receiver|generator)\].*(No space left|Disk quota|Read-only file system|Input/output error)"
)
_DISK_FULL = re.compile(r"^rsync: \[(receiver|generator)\].*(No space left|Disk quota)")
_WRITE_DENIED = re.compile(r"^rsync: \[(receiver|generator)\].*Permission denied")
# rsync was called wrongly, or is not installed: trying again would give the same result.
_PERMANENT_ERRORS = (1, 2, 3, 4, 6, 127)
_MEANINGS = {
    5: "the host refused to start the transfer",
    10: "error in socket I/O",
    11: "error in file I/O: is the disk full?",
    12: "the connection broke",
    13: "it could not write its messages",
    20: "ended by a signal",
    30: "nothing moved for too long",
    FLOODED: f"it said more than {MOST_OUTPUT >> 20} MB of messages, so it was ended",
    35: "no connection in time",
    TIMED_OUT: "took longer than the site's limit for a transfer",
    127: "rsync is not installed there",
    137: "killed",
    143: "ended by a signal",
    255: "ssh could not connect, or the connection broke",
}


@dataclass(frozen=True)
class RsyncResult:
    """Result of an rsync run: its exit code, as a shell gives it, and the lines of its output."""

    code: int
    lines: tuple[str, ...]

    @property
    def messages(self) -> tuple[str, ...]:
        """Errors and warnings: about single files, or about the whole transfer."""
        prefixes = ("rsync: ", "rsync error: ", "rsync warning: ", "ssh: ", "file has vanished: ")
        return tuple(printable(line) for line in self.lines if line.startswith(prefixes))

    @property
    def disk_error(self) -> str | None:
        """The message that the disk of the receiving side failed (full, broken, ...), and the next step."""
        return self._first_with_next_step(_DISK_ERROR)

    @property
    def is_full(self) -> bool:
        """Whether the disk of the receiving side, or a quota there, is full."""
        return any(_DISK_FULL.search(line) for line in self.lines)

    @property
    def write_denied(self) -> str | None:
        """The message that the receiving side has no permission to write a file, and the next step."""
        return self._first_with_next_step(_WRITE_DENIED)

    def _first_with_next_step(self, pattern: re.Pattern[str]) -> str | None:
        # The step is that of the whole line: a long one is cut for people.
        lines = (line for line in self.lines if pattern.search(line))
        return next((f"{printable(line)}. {next_step_of(line)}" for line in lines), None)

    def check(self) -> None:
        """Raise :class:`TransferError` unless all files were copied, or all but single files."""
        if self.code in _SUCCESS_CODES:
            return
        # ssh gives the reason in a line of its own, before rsync reports that the connection is gone.
        last_lines = "; ".join(printable(line) for line in self.lines[-3:])
        meaning = _MEANINGS.get(self.code, "see man rsync")
        step = next((step for line in self.lines if (step := next_step_of(line))), "`aurora audit` tries the host.")
        raise TransferError(
            f"rsync ended with {self.code} ({meaning}): {last_lines}. {step}",
            transient=self.code not in _PERMANENT_ERRORS,
            is_full=self.is_full,
        )

    def stat(self, name: str) -> int:
        """A number of bytes from rsync's statistics."""
        match = re.search(rf"^{re.escape(name)}: (\d+) bytes", "\n".join(self.lines), re.MULTILINE)
        return int(match[1]) if match else 0


def next_step_of(line: str) -> str:
    """The next step after an error of a disk that a line of rsync reports; empty if it reports none."""
    found = next((code for code in OF_DISKS | {errno.EACCES} if os.strerror(code) in line), None)
    path = re.search(r"(?<![\w.])/[^\"\n]*?(?=[\":])", line)
    return "" if found is None else next_step_in(found, Path(path[0] if path else "/.").parent)


class Endpoint(Protocol):
    """The other side of a transfer, as rsync reaches it."""

    def reach(self, root: str) -> tuple[str, list[str]]:
        """The directory ``root`` as rsync names it, and the options to reach it."""
        ...


class LocalEndpoint:
    """A directory of this machine."""

    def reach(self, root: str) -> tuple[str, list[str]]:
        """See :meth:`Endpoint.reach`."""
        # Both ends run on this machine. The writing end must report its own error: the other end may see the broken
        # pipe first, and then the reason is lost.
        return f"{root.rstrip('/')}/", ["--msgs2stderr"]


@dataclass(frozen=True)
class Rsync:
    """rsync to and from one host."""

    endpoint: Endpoint
    bounds: Bounds

    def arguments(
        self, root: str, target: Path, work: Path, basis: Path | None = None, largest: int | None = None
    ) -> list[str]:
        """The argument vector that copies the files listed in ``work`` from ``root`` on the host to ``target``.

        Files that are larger than ``largest`` bytes on the host are left out.
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
        self,
        upload_tree: Path,
        file_list: Path,
        root: str,
        work: str,
        keep_in: str | None = None,
        *,
        is_flushed: bool = False,
    ) -> list[str]:
        """The argument vector that copies the files in ``file_list`` from ``upload_tree`` to ``root`` on the host.

        ``work`` is a directory on the host, with one directory for new files and one for partial files; ``keep_in`` is
        one for the files that are replaced. With ``is_flushed`` each file is on the disk before it gets its name.
        """
        target, remote = self.endpoint.reach(root)
        # Not --fsync on a host: older versions do not know it, and copies are listed before they count. Without
        # --no-implied-dirs, rsync would replace a symlink to another disk by a directory. We end a stalled transfer
        # ourselves; rsync's own timeout is for the host, and longer: it takes a slow connection for a dead one.
        return [
            *self._options(file_list, f"{work}/{NEW}", f"{work}/{PARTIAL}", 2 * self.bounds.stall_seconds),
            "--no-implied-dirs",
            *(() if keep_in is None else ("--backup", "--backup-dir", keep_in)),
            *(("--fsync",) if is_flushed else ()),
            *remote,
            "--",
            f"{upload_tree}/",
            target,
        ]

    def _options(self, file_list: Path, new: str, partial: str, timeout: float) -> list[str]:
        """The options of every transfer; ``new`` and ``partial`` are directories of the receiving side."""
        return [
            "rsync",
            *("--files-from", str(file_list), "--from0", "--ignore-missing-args"),
            # The plan has compared size and mtime to the nanosecond; rsync compares to the second and would skip some.
            *("--ignore-times", "--times", "--omit-dir-times"),
            # Files get the owner and mode of the user that runs this; only regular files are ever created.
            *("--no-perms", "--chmod=D777,F666", "--no-links", "--no-devices", "--no-specials"),
            *("--temp-dir", new, "--partial-dir", partial),
            # The server side gets its arguments over the connection, not through its shell.
            "--secluded-args",
            *("--timeout", str(max(1, round(timeout)))),
            *("--stats", "--no-human-readable"),
            *((f"--bwlimit={self.bounds.bandwidth_kib}",) if self.bounds.bandwidth_kib else ()),
        ]

    def push(
        self,
        upload_tree: Path,
        paths: Sequence[str],
        root: str,
        work: str,
        lock: Path,
        keep_in: str | None,
        log: Logger,
        *,
        is_flushed: bool = False,
    ) -> TransferResult:
        """Copy files to the archive: :meth:`aurora_platform.transport.protocols.ArchiveHost.send`, without directories.

        ``is_flushed``: see :meth:`push_arguments`.
        """
        file_list = upload_tree.with_name(f"{upload_tree.name}.files")
        write_file_list(file_list, paths)
        arguments = self.push_arguments(upload_tree, file_list, root, work, keep_in, is_flushed=is_flushed)
        result = self.run(arguments, log, lock, DELIVERY_PROGRESS)
        if result.code and (message := result.disk_error):
            raise TransferError(f"rsync could not write in the archive: {message}")
        result.check()
        return TransferResult(
            result.stat("Literal data"), result.stat("Matched data"), result.messages[:1000], result.code == VANISHED
        )

    def run(
        self, arguments: Sequence[str], log: Logger, lock: Path, progress: Progress, largest: int | None = None
    ) -> RsyncResult:
        """Run rsync within our bounds; :class:`BusyError` if ``lock`` is not free.

        It cannot write more than ``largest`` bytes into any file, whatever the other side sends.
        """
        output, code = run_program(
            arguments,
            log,
            bound=timedelta(seconds=self.bounds.transfer_seconds),
            lock=lock,
            lock_wait=timedelta(seconds=self.bounds.stall_seconds),
            # Its own --timeout is not enough: rsync counts the keep-alives that it sends itself as progress.
            stall=timedelta(seconds=self.bounds.stall_seconds),
            progress=progress,
            largest=largest,
            # These lines decide the meaning of the result; messages about single files may be more than is kept.
            matching=[re.compile(pattern.pattern.encode()) for pattern in (_DISK_FULL, _DISK_ERROR, _WRITE_DENIED)],
        )
        if code == LOCKED:
            raise BusyError(f"{lock}: an earlier transfer of this stream is still ending. See `fuser -v {lock}`.")
        # As a shell does: 128 plus the number of the signal.
        return RsyncResult(
            code if code >= 0 else 128 - code, tuple(line.strip() for line in output.splitlines() if line.strip())
        )


@dataclass(frozen=True)
class RsyncTransfer:
    """Transfers from one host; see :class:`aurora_platform.transport.protocols.Transfer`."""

    rsync: Rsync
    log: Logger
    basis: Path | None = None

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        """See :meth:`aurora_platform.transport.protocols.Transfer.fetch`."""
        _prepare(work, paths)
        arguments = self.rsync.arguments(root, target, work, self.basis, largest)
        result = self.rsync.run(arguments, self.log, lock, READ_PROGRESS, largest)
        if result.code == _SOME_FAILED and (message := result.disk_error or result.write_denied):
            # Code 23 is for single files that the host cannot read; a failed write on this machine is not their fault.
            raise TransferError(
                f"rsync could not write on this machine: {message}",
                transient=result.disk_error is not None,
                is_full=result.is_full,
            )
        if result.code and (oversize := _oversize(work, paths, largest)):
            names = ", ".join(printable(path) for path in oversize[:MOST_NAMED])
            raise OversizeError(
                f"received more than {largest} bytes of {names}: the host had listed fewer. "
                "The transfer was ended; the next pass lists the file again.",
                oversize,
            )
        result.check()
        return TransferResult(result.stat("Literal data"), result.stat("Matched data"), result.messages[:10])


def _oversize(work: Path, paths: Sequence[str], largest: int) -> list[str]:
    """The paths that may be oversize: a partial file of the same name has the size at which rsync was stopped."""
    stopped = {partial.name for partial in (work / PARTIAL).iterdir() if partial.lstat().st_size >= largest}
    return [path for path in paths if path.rpartition("/")[2] in stopped]


def write_file_list(file: Path, paths: Sequence[str]) -> None:
    """Write the list of files that a transfer copies."""
    # "./" in front: rsync would take a name that begins with "#" or ";" for a comment.
    with naming(file):
        file.write_bytes(b"".join(b"./" + path.encode() + b"\0" for path in paths))


def _prepare(work: Path, paths: Sequence[str]) -> None:
    remove(work / NEW)  # left by a killed transfer; the data that it could save is in partial/
    for name in (NEW, PARTIAL):
        (work / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_file_list(work / WANTED, paths)


def escape_wildcards(path: str) -> str:
    """Escape a remote path: rsync treats a path with a wildcard as a pattern."""
    return re.sub(r"([*?\[\\])", r"\\\1", path) if re.search(r"[*?\[]", path) else path
