"""Connections to the hosts of a site, made from their settings.

Other packages use the clients of this package through :class:`Connections`. A kind of host is a line in :data:`_KINDS`
and a module, which is loaded for the first host of that kind: hosts of kind ``local`` need no SSH library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from logging import Logger
from pathlib import Path
from typing import Any

from aurora_platform import transport
from aurora_platform.config.archive import Archive
from aurora_platform.config.hosts import ArchiveDirectory, Host, SshHost
from aurora_platform.config.site import Site
from aurora_platform.layout import Layout
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.protocols import ArchiveHost, Hasher, HostAccess, Source, Transfer

_KINDS: dict[str, Callable[[], Callable[[Any, Bounds], HostAccess]]] = {
    "local": lambda: transport.local_host.LocalAccess,
    "ssh": lambda: transport.ssh_host.SshAccess,
}


@dataclass(frozen=True)
class Connections:
    """Connections to hosts, all with the same bounds."""

    bounds: Bounds
    local_copies: tuple[Path, ...] = ()
    """The raw files on this machine: an archive on it must be apart from them. Without them it cannot be used."""

    @classmethod
    def of(cls, site: Site, known_hosts: Path | None = None) -> Connections:
        """The connections of a site; ``known_hosts`` is another file for host keys, for callers that must not write."""
        limits = site.limits
        return cls(
            Bounds(
                known_hosts or Layout.of(site).known_hosts,
                connect_seconds=limits.connect.total_seconds(),
                listing_seconds=limits.listing.total_seconds(),
                stall_seconds=limits.stall.total_seconds(),
                transfer_seconds=limits.transfer.total_seconds(),
            ),
            Layout.of(site).raw_roots,
        )

    def but(self, **changes: Any) -> Connections:
        """A copy with other bounds."""
        return replace(self, bounds=self.bounds.but(**changes))

    def access(self, host: Host, within: float | None = None) -> HostAccess:
        """The access to ``host``; ``within`` limits all requests to it, in s, if that is less than the bounds."""
        bounds = self.bounds.within(within)
        if isinstance(host, ArchiveDirectory):
            return transport.local_archive.LocalArchiveAccess(host, self._required_copies, bounds)
        return _KINDS[host.kind]()(host, bounds)

    def login(self, host: Host) -> None:
        """Open the session that all requests to ``host`` share: one attempt, however many streams it has."""
        self.access(host).login()

    def source(self, host: Host, within: float | None = None) -> Source:
        """Lists a host; ``within`` s, if that is less than the bound of a run: a tick has a bound of its own."""
        return self.access(host, within).source()

    def hasher(self, host: Host, within: float | None = None) -> Hasher:
        """Hashes the files of a host, on the host's own cores."""
        return self.access(host, within).hasher()

    def transfer(self, host: Host, log: Logger, basis: Path | None = None) -> Transfer:
        """Copies files from a host to this machine; see :meth:`HostAccess.transfer`."""
        return self.access(host).transfer(log, basis)

    def ask(self, host: SshHost, argv: Sequence[str]) -> str:
        """Run a program on ``host`` and return its output; :class:`HostError` if it cannot be run, or fails."""
        return transport.ssh_host.SshAccess(host, self.bounds).session.ask(argv)

    def archive_hosts(self, archive: Archive, log: Logger) -> tuple[ArchiveHost, ...]:
        """The archive's hosts, in the order of the site file."""
        return tuple(
            transport.local_archive.LocalArchiveHost(archive, host, self._required_copies, self.bounds, log)
            if isinstance(host, ArchiveDirectory)
            else transport.archive_host.SshArchiveHost(transport.ssh_host.SshAccess(host, self.bounds), log)
            for host in archive.hosts
        )

    @property
    def _required_copies(self) -> tuple[Path, ...]:
        if not self.local_copies:
            raise ValueError("these connections do not have local_copies, which an archive on this machine needs")
        return self.local_copies
