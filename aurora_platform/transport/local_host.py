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
        """Do nothing: this machine needs no login."""

    def source(self) -> LocalSource:
        """The directories of this machine, read directly."""
        return LocalSource(store=self.bounds.names)

    def hasher(self) -> LocalHasher:
        """The files of this machine, hashed by threads of this process."""
        return LocalHasher()

    def transfer(self, log: Logger, basis: Path | None = None) -> RsyncTransfer:
        """rsync from one directory to the other."""
        return RsyncTransfer(Rsync(LocalEndpoint(), self.bounds), log, basis)
