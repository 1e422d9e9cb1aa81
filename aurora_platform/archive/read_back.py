"""Reads files back from the archive: fetches their bytes and hashes them on this machine.

A checksum that an archive host has computed proves nothing where the host itself is wrong, or lies. What is fetched
lies in a private directory, a bounded part at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from aurora_platform.errors import HostError, TransferError
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import FileVersion, in_parts
from aurora_platform.text import Count, counted
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


@dataclass
class SampledReadBack:
    """Reads some of the files of one push back: a share of them, and at least one."""

    share: float
    """From 0 to 1; with 0 no file is read back."""
    staging: Staging
    name: str
    random: Random = field(default_factory=SystemRandom)
    files: int = 0
    bytes: int = 0
    wrong: Count = field(default_factory=Count)
    """Files of which the archive has other bytes."""
    failed: Count = field(default_factory=Count)
    """Files that could not be fetched."""

    def check(self, transfer: Transfer, root: str, sent: Path, versions: Mapping[str, FileVersion]) -> dict[str, str]:
        """Read a sample of the files that arrived back; returns path -> what is wrong with the copy in the archive.

        Parameters
        ----------
        transfer, root
            How to fetch from the archive, and the directory of it that has the files.
        sent
            The directory here that has the files as they were sent.
        versions
            Relative path -> the version that arrived.
        """
        sample = self._sample(sorted(versions))
        if not sample:
            return {}
        expected = {
            read.path: read.sha256
            for read in LocalHasher().checksums(str(sent), sample)
            if read.version.same_as(versions[read.path])  # a file in place may have been written since
        }
        chosen = {path: versions[path] for path in sample if expected.get(path)}
        wrong = {}
        try:
            for read in ReadBack(transfer, self.staging, self.name).checksums(root, chosen):
                self.files += 1
                self.bytes += read.version.size
                if why := describe_difference(read, chosen[read.path], expected[read.path]):
                    wrong[read.path] = why
                    self.wrong.add(f"{root}/{read.path}: {why}")
        except (HostError, TransferError) as error:  # the copy stays; the report shows that nobody has read it
            self.failed.add(f"{root}: {error}")
        return wrong

    def _sample(self, paths: Sequence[str]) -> list[str]:
        """Choose each path with the probability of the share, and one where none of the push was chosen yet."""
        if not self.share or not paths:
            return []
        chosen = [path for path in paths if self.random.random() < self.share]
        return chosen or ([] if self.files else [self.random.choice(paths)])


def describe_difference(read: Checksum | None, expected: FileVersion, sha256: str | None) -> str:
    """Why a file that was read back is not what it should be; empty where it is."""
    if read is None or read.sha256 is None:
        return f"could not be read back from the archive ({read.error if read is not None else 'no answer'})"
    if read.version.size != expected.size:
        return f"the archive has {counted(read.version.size, 'byte')} of {expected.size}"
    return "" if sha256 is None or read.sha256 == sha256 else "the archive has other bytes, read back from it"
