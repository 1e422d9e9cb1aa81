"""An archive in directories of this machine: a NAS that is mounted, or a second disk.

rsync copies to it with the options of a transfer over SSH, and this machine lists and hashes it. Before each use its
directories are checked (:func:`check_root`): an unmounted disk must not let a push fill the system disk, and a copy
beside the original is none. A disk that does not answer in time counts as a host that is down.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import batched
from logging import Logger
from pathlib import Path

from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.archive import Archive
from aurora_platform.config.hosts import ArchiveDirectory
from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.fs.atomic import nearest
from aurora_platform.fs.disk_errors import describe_os_error
from aurora_platform.layout import ArchiveLayout
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.checksums import Checksum, LocalHasher
from aurora_platform.transport.listing import ListedEntry, Listing, LocalSource
from aurora_platform.transport.local_host import LocalAccess
from aurora_platform.transport.protocols import NEW, PARTIAL, TransferResult
from aurora_platform.transport.rsync import LocalEndpoint, Rsync, RsyncTransfer
from aurora_platform.transport.threads import ResultQueue, run_in_threads

_BATCH = 500  # entries of a listing that are passed on at once


class ArchiveDirectoryError(HostRefusedError):
    """A directory of the archive must not be used; the problem and the next step are also separate."""

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(f"{problem}. {next_step[:1].upper()}{next_step[1:]}.")
        self.problem = problem
        self.next_step = next_step


def shared_disk(directory: str, local_copies: Sequence[Path]) -> Path | None:
    """The first local directory on the file system of a directory, which need not exist yet; None without one."""
    device = _device(directory)
    return next((path for path in local_copies if _device(path) == device), None)


def _device(path: str | Path) -> int:
    return nearest(Path(os.path.realpath(path))).stat().st_dev


def refuse_shared(directory: str, local_copies: Sequence[Path], *, same_disk: bool) -> None:
    """Refuse a directory of the archive that is no copy: one with local raw files, or on their file system.

    Parameters
    ----------
    directory
        The directory, or one that is to be made.
    local_copies
        ``paths.raw``, and the directories of the streams in it, which may be on other disks.
    same_disk
        Whether the site file allows the same file system.

    Raises
    ------
    ArchiveDirectoryError
        If it is refused.
    OSError
        If a disk cannot be asked.
    """
    real = Path(os.path.realpath(directory))
    for path in local_copies:
        local = Path(os.path.realpath(path))
        if real.is_relative_to(local) or local.is_relative_to(real):
            raise ArchiveDirectoryError(
                f"{directory} shares a directory with the local copies in {path}, so it is no copy",
                "name other directories in archive",
            )
    if not same_disk and (shared := shared_disk(directory, local_copies)):
        raise ArchiveDirectoryError(
            f"{directory} is on the same file system as the local copies in {shared}: a broken disk would take both",
            "mount the archive's disk; or allow it by same_disk: true in archive.hosts",
        )


def check_root(archive: Archive, host: ArchiveDirectory, local_copies: Sequence[Path], root: str) -> None:
    """Check that ``root``, a directory of the archive, may be used, or made by us. It makes nothing.

    ``archive.raw`` shows that the disk is mounted: only an operator makes it. Another directory may be made beside it.

    Raises
    ------
    ArchiveDirectoryError
        If it must not be used.
    OSError
        If a disk cannot be asked.
    """
    if not os.path.isdir(archive.raw):
        raise ArchiveDirectoryError(
            f"{archive.raw}: no such directory, so the archive's disk may not be mounted",
            f"mount it; on a new disk: mkdir -p {shlex.quote(archive.raw)}",
        )
    parent = os.path.dirname(root)
    if not os.path.isdir(root) and not (
        os.path.isdir(parent) and os.stat(parent).st_dev == os.stat(archive.raw).st_dev and not os.path.lexists(root)
    ):
        raise ArchiveDirectoryError(
            f"{root}: no such directory, and only directories on the disk of {archive.raw} are made by Aurora",
            f"mount its disk; on a new disk: mkdir -p {shlex.quote(root)}",
        )
    refuse_shared(root, local_copies, same_disk=host.same_disk)
    existing = nearest(Path(root))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ArchiveDirectoryError(f"{existing} is not writable", "allow the user that runs Aurora to write it")


def _within[Result](seconds: float, directory: str, job: Callable[[], Result]) -> Result:
    """Run a job that asks the disk of a directory; its thread may be left behind.

    Raises
    ------
    HostError
        If the disk does not answer within ``seconds``, or answers with an error.
    """
    result = run_concurrently({directory: job}, within=seconds)[directory]
    if isinstance(result, TimeoutError):
        raise _no_answer(directory, seconds)
    if isinstance(result, PermissionError):
        raise HostRefusedError(
            f"{result.filename or directory}: {result.strerror}. Allow the user that runs Aurora to write it."
        )
    if isinstance(result, OSError):
        result.filename = result.filename or directory
        raise HostError(describe_os_error(result))
    if isinstance(result, Exception):
        raise result
    return result


def _no_answer(directory: str, seconds: float) -> HostError:
    return HostError(f"{directory}: the disk does not answer within {seconds:.0f} s. Is the file server up?")


def _read_within[Item](directory: str, seconds: float, items: Iterator[Item]) -> Generator[Item]:
    """Yield items that come from the disk of a directory; :class:`HostError` if it gives none for ``seconds``."""
    try:
        yield from items
    except TimeoutError:
        raise _no_answer(directory, seconds) from None


@dataclass(frozen=True)
class LocalArchiveHost:
    """This machine as a host of the archive; see :class:`aurora_platform.transport.protocols.ArchiveHost`."""

    archive: Archive
    host: ArchiveDirectory
    local_copies: Sequence[Path]
    bounds: Bounds
    log: Logger

    @property
    def name(self) -> str:
        return self.host.report_name

    def prepare(self, root: str, work: str) -> None:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.prepare`; :func:`check_root` before that."""
        self._make(root, [root, f"{work}/{NEW}", f"{work}/{PARTIAL}"])

    def list(self, root: str, below: Sequence[str]) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.list`."""
        bounds = self.bounds.but(listing_seconds=self.bounds.stall_seconds)
        return LocalArchiveAccess(self.host, self.local_copies, bounds).source().list(root, below)

    def fetching(self) -> CheckedTransfer:
        """Copies files of the archive to another directory of this machine."""
        return LocalArchiveAccess(self.host, self.local_copies, self.bounds).transfer(self.log)

    def send(
        self, upload_tree: Path, paths: Sequence[str], root: str, work: str, lock: Path, keep_in: str | None = None
    ) -> TransferResult:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.send`."""
        if keep_in is not None:
            self._make(ArchiveLayout.of(self.archive).versions, [keep_in])
        # With the dot rsync does not make the root, which would show a mounted disk where it was unmounted just now.
        # Flushed: a power failure of this machine interrupts both copies at once.
        return Rsync(LocalEndpoint(), self.bounds).push(
            upload_tree, paths, f"{root}/.", work, lock, keep_in, self.log, is_flushed=True
        )

    def _make(self, root: str, directories: Sequence[str]) -> None:
        """Check a root of the archive, and make directories in it."""

        def make() -> None:
            check_root(self.archive, self.host, self.local_copies, root)
            for directory in directories:
                os.makedirs(directory, exist_ok=True)
                if not os.access(directory, os.W_OK | os.X_OK):
                    raise PermissionError(0, "not writable", directory)

        _within(self.bounds.stall_seconds, root, make)


class LocalArchiveAccess(LocalAccess):
    """Lists and hashes the archive, after a check of its disk.

    See :class:`aurora_platform.transport.protocols.HostAccess`.
    """

    def __init__(self, host: ArchiveDirectory, local_copies: Sequence[Path], bounds: Bounds) -> None:
        super().__init__(host, bounds)
        self.name = host.report_name
        self.check = partial(refuse_shared, local_copies=local_copies, same_disk=host.same_disk)

    def source(self) -> CheckedSource:
        """The archive's directories, read directly."""
        return CheckedSource(self.check, self.bounds)

    def hasher(self) -> CheckedHasher:
        """The archive's files, hashed by threads of this process."""
        return CheckedHasher(self.check, self.bounds)

    def transfer(self, log: Logger, basis: Path | None = None) -> CheckedTransfer:
        """rsync from the archive's directories."""
        return CheckedTransfer(Rsync(LocalEndpoint(), self.bounds), log, basis, check=self.check)


class CheckedSource(LocalSource):
    """A source on this machine whose root is checked before each listing, and whose disk must answer in time."""

    def __init__(self, check: Callable[[str], None], bounds: Bounds) -> None:
        super().__init__()
        self.check = check
        self.seconds = bounds.listing_seconds

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.Source.list`."""

        def begin() -> Listing:
            self.check(root)
            return LocalSource.list(self, root, below, without, named)

        def work(queue: ResultQueue[ListedEntry]) -> None:
            for entries in batched(listing.entries, _BATCH):
                queue.put(list(entries))

        listing = _within(self.seconds, root, begin)
        return replace(listing, entries=_read_within(root, self.seconds, run_in_threads(work, 1, self.seconds)))


@dataclass(frozen=True)
class CheckedTransfer(RsyncTransfer):
    """Copies files from directories of this machine, whose root is checked before each transfer."""

    check: Callable[[str], None] = field(kw_only=True)

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        """See :meth:`aurora_platform.transport.protocols.Transfer.fetch`."""
        _within(self.rsync.bounds.stall_seconds, root, partial(self.check, root))
        return super().fetch(root, paths, target, work, lock, largest)


class CheckedHasher(LocalHasher):
    """A hasher of this machine whose root is checked before each request, and whose disk must answer in time."""

    def __init__(self, check: Callable[[str], None], bounds: Bounds) -> None:
        super().__init__(stall=bounds.hashing_stall_seconds)
        self.check = check
        self.seconds = bounds.hashing_stall_seconds

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        """See :meth:`aurora_platform.transport.protocols.Hasher.checksums`."""

        def begin() -> Iterator[Checksum]:
            self.check(root)
            return LocalHasher.checksums(self, root, paths)

        return _read_within(root, self.seconds, _within(self.seconds, root, begin))
