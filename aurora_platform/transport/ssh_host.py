"""Hosts of kind ``ssh``: one login a process, in which they are listed and hashed; rsync has a login of its own."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from logging import Logger
from pathlib import Path

from aurora_platform.config.hosts import SshHost
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.openssh import openssh_command
from aurora_platform.transport.process import ENDS_WITH_PARENT
from aurora_platform.transport.rsync import Rsync, RsyncTransfer, literal
from aurora_platform.transport.ssh_checksums import SshHasher
from aurora_platform.transport.ssh_session import SshSession


class SshAccess:
    """See :class:`aurora_platform.transport.protocols.HostAccess`."""

    def __init__(self, host: SshHost, bounds: Bounds) -> None:
        self.host = host
        self.bounds = bounds

    @property
    def name(self) -> str:
        """Its address."""
        return self.host.address

    @cached_property
    def session(self) -> SshSession:
        """What is said to it."""
        return SshSession(self.host, self.bounds)

    def login(self) -> None:
        """Log in, unless this process has."""
        self.session.connection()

    def source(self) -> SshSession:
        """Its directories, listed by one ``find`` in the session."""
        return self.session

    def hasher(self) -> SshHasher:
        """Its files, hashed on its own cores."""
        return SshHasher(self.session)

    def transfer(self, log: Logger, basis: Path | None = None) -> RsyncTransfer:
        """rsync over SSH."""
        return RsyncTransfer(self.rsync(), log, basis)

    def rsync(self) -> Rsync:
        """rsync to and from it."""
        return Rsync(SshEndpoint(self.host, self.bounds), self.bounds)


@dataclass(frozen=True)
class SshEndpoint:
    """See :class:`aurora_platform.transport.rsync.Endpoint`."""

    host: SshHost
    bounds: Bounds

    def reach(self, root: str) -> tuple[str, list[str]]:
        """A directory there, and the ``ssh`` by which rsync gets there."""
        address = f"[{self.host.address}]" if ":" in self.host.address else self.host.address
        # Its ssh ends with rsync; else it would stay for as long as a frozen far side keeps the session open.
        ssh = shlex.join([*ENDS_WITH_PARENT, *openssh_command(self.host, self.bounds)])
        return f"{address}:{literal(f'{root.rstrip("/")}/')}", ["--rsh", ssh]
