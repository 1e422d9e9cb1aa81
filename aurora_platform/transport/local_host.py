"""Hosts of kind ``local``: a directory of this machine."""

from __future__ import annotations

from logging import Logger
from pathlib import Path

from aurora_platform.config.hosts import LocalHost
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.checksums import LocalHasher
from aurora_platform.transport.listing import LocalSource
from aurora_platform.transport.rsync import LocalEndpoint, Rsync, RsyncTransfer


class LocalAccess:
    """See :class:`aurora_platform.transport.protocols.HostAccess`."""

    name = ""

    def __init__(self, host: LocalHost, bounds: Bounds) -> None:
        self.bounds = bounds

    def login(self) -> None:
        """Nothing: nobody logs in to this machine."""

    def source(self) -> LocalSource:
        """Its directories, read directly."""
        return LocalSource()

    def hasher(self) -> LocalHasher:
        """Its files, hashed by threads of this process."""
        return LocalHasher()

    def transfer(self, log: Logger, basis: Path | None = None) -> RsyncTransfer:
        """rsync from one directory to the other."""
        return RsyncTransfer(Rsync(LocalEndpoint(), self.bounds), log, basis)
