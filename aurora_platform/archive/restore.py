"""Restores files from the archive: fetches them, proves their bytes on this machine, and hands over what is right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aurora_platform.archive.read_back import PART_BYTES, ReadBack, describe_difference
from aurora_platform.errors import ArchiveError, HostError, TransferError
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import FileVersion, in_parts
from aurora_platform.transport.protocols import ArchiveHost


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file of the archive, in the version that is right."""

    path: str
    version: FileVersion
    sha256: str


@dataclass
class RestoreReport:
    """The result of a restoration."""

    restored: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Path -> why the archive does not have the right version."""


@dataclass(frozen=True)
class Restoring:
    """Restores files of a site by the first host of its archive that works."""

    hosts: Sequence[ArchiveHost]
    staging: Staging
    """Where fetched files lie until they are proved; on the file system of their destination."""
    lane: str

    def restore(self, root: str, wanted: Iterable[WantedFile], put: Callable[[Path, str], None]) -> RestoreReport:
        """Fetch files of ``root``, and call ``put`` with the path of each that is right, and its relative path.

        ``put`` may move the file away.

        Raises
        ------
        ArchiveError
            Where no host works; what was put until then stays.
        """
        report = RestoreReport()
        for part in in_parts(wanted, lambda file: file.version.size, most_bytes=PART_BYTES):
            errors = []
            for host in self.hosts:
                try:
                    self._restore_part(host, root, part, put, report)
                except (HostError, TransferError) as error:
                    errors.append(f"{host.name}: {error}")
                else:
                    break
            else:
                raise ArchiveError(f"no host of the archive can give back its files. {'; '.join(errors)}")
        return report

    def _restore_part(
        self,
        host: ArchiveHost,
        root: str,
        part: Sequence[WantedFile],
        put: Callable[[Path, str], None],
        report: RestoreReport,
    ) -> None:
        read_back = ReadBack(host.fetching(), self.staging, self.lane)
        with read_back.fetched(root, {file.path: file.version for file in part}) as (directory, read):
            for file in part:
                if why := describe_difference(read.get(file.path), file.version, file.sha256):
                    report.failed[file.path] = why
                    continue
                fetched = directory / file.path
                # The archive's file system may have coarser mtimes than the right version.
                os.utime(fetched, ns=(file.version.mtime_ns, file.version.mtime_ns), follow_symlinks=False)
                put(fetched, file.path)
                report.restored += 1
                report.bytes += file.version.size
