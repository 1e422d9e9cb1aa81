"""Connections to the hosts of a site: what reaches each of them, made from its settings.

The one door to the clients of this package. A kind of host is a line in :data:`_KINDS` and a module of its own, which
is loaded when a host of that kind is first asked for: this machine needs no SSH library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import Any

from aurora_platform import transport
from aurora_platform.config.archive import Archive
from aurora_platform.config.hosts import Host, SshHost
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
    """Ways to hosts, all within the same bounds."""

    bounds: Bounds

    @classmethod
    def of(cls, site: Site, known_hosts: Path | None = None) -> Connections:
        """Those of a site; ``known_hosts`` is another place for host keys, for who must write nothing."""
        limits = site.limits
        return cls(
            Bounds(
                known_hosts or Layout.of(site).known_hosts,
                connect_seconds=limits.connect.total_seconds(),
                listing_seconds=limits.listing.total_seconds(),
                stall_seconds=limits.stall.total_seconds(),
                transfer_seconds=limits.transfer.total_seconds(),
            )
        )

    def but(self, **changes: Any) -> Connections:
        """The same within other bounds."""
        return Connections(self.bounds.but(**changes))

    def access(self, host: Host, within: float | None = None) -> HostAccess:
        """How ``host`` is reached; ``within`` s for what is said to it, where that is less than the bounds."""
        return _KINDS[host.kind]()(host, self.bounds.within(within))

    def login(self, host: Host) -> None:
        """Open what all who ask ``host`` share: one attempt, however many streams it has."""
        self.access(host).login()

    def source(self, host: Host, within: float | None = None) -> Source:
        """The way to list a host; ``within`` s, where that is less than a run may take: a tick has its own bound."""
        return self.access(host, within).source()

    def hasher(self, host: Host, within: float | None = None) -> Hasher:
        """The way to hash the files of a host: on its own cores, wherever it is."""
        return self.access(host, within).hasher()

    def transfer(self, host: Host, log: Logger, basis: Path | None = None) -> Transfer:
        """The way to copy files of a host to here; see :meth:`HostAccess.transfer`."""
        return self.access(host).transfer(log, basis)

    def ask(self, host: SshHost, argv: Sequence[str]) -> str:
        """What a program on ``host`` prints; :class:`HostError` where it cannot be asked, or fails."""
        return transport.ssh_host.SshAccess(host, self.bounds).session.ask(argv)

    def archive_hosts(self, archive: Archive, log: Logger) -> tuple[ArchiveHost, ...]:
        """The archive's hosts in the site's order, as a push wants them."""
        return tuple(
            transport.archive_host.SshArchiveHost(transport.ssh_host.SshAccess(host, self.bounds), log)
            for host in archive.hosts
        )
