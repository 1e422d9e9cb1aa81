"""Reads files back from the archive: fetches their bytes and hashes them on this machine.

A checksum that an archive host has computed proves nothing where the host itself is wrong, or lies. What is fetched
lies in a private directory, a bounded part at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aurora_platform.fs.atomic import Staging
from aurora_platform.fs.versions import FileVersion, in_parts
from aurora_platform.text import counted
from aurora_platform.transport.checksums import Checksum, LocalHasher
from aurora_platform.transport.protocols import Transfer

PART_BYTES = 1 << 30
"""The bytes that are fetched at once; a larger file is a part of its own."""
_LANE = "read_back"


@dataclass(frozen=True)
class ReadBack:
    """Fetches files of an archive to this machine, for as long as they are needed."""

    transfer: Transfer
    staging: Staging
    """The private directory is one of its entries: a killed run's is removed by the next one."""
    name: str
    """Names the lock and the directory: readers of different names do not wait for each other."""

    @contextmanager
    def fetched(self, root: str, versions: Mapping[str, FileVersion]) -> Iterator[tuple[Path, dict[str, Checksum]]]:
        """Fetch files of ``root``; yield the directory that has them until the block ends, and their checksums.

        Parameters
        ----------
        root
            A directory of the archive.
        versions
            Relative path -> the version that is expected. No file may become larger than the largest of them.

        Raises
        ------
        HostError, TransferError
            Where the archive, or this machine's disk, failed. A file that the archive does not have, or that is
            larger, has a checksum with an error.
        """
        lane = f"{_LANE}.{self.name}"
        self.staging.sweep()
        with self.staging.claim(lane) as directory:
            target = directory / "files"
            target.mkdir(parents=True)
            largest = max((version.size for version in versions.values()), default=0)
            lock = self.staging.locks / f"{lane}.transfer.lock"
            self.transfer.fetch(root, list(versions), target, directory / "work", lock, largest)
            yield target, {read.path: read for read in LocalHasher().checksums(str(target), list(versions))}

    def checksums(self, root: str, versions: Mapping[str, FileVersion]) -> Iterator[Checksum]:
        """Yield the checksum of each file, as it was read here; see :meth:`fetched`."""
        for part in in_parts(versions.items(), lambda item: item[1].size, most_bytes=PART_BYTES):
            with self.fetched(root, dict(part)) as (_, read):
                yield from read.values()


def describe_difference(read: Checksum | None, expected: FileVersion, sha256: str | None) -> str:
    """Why a file that was read back is not what it should be; empty where it is."""
    if read is None or read.sha256 is None:
        return f"could not be read back from the archive ({read.error if read is not None else 'no answer'})"
    if read.version.size != expected.size:
        return f"the archive has {counted(read.version.size, 'byte')} of {expected.size}"
    return "" if sha256 is None or read.sha256 == sha256 else "the archive has other bytes, read back from it"
