"""Hosts of kind ``ssh``: one login per process lists and hashes their files; rsync has a login of its own."""

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
from aurora_platform.transport.rsync import Rsync, RsyncTransfer, escape_wildcards
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
        """The session for requests to the host."""
        return SshSession(self.host, self.bounds)

    def login(self) -> None:
        """Log in, unless this process is logged in already."""
        self.session.connection()

    def source(self) -> SshSession:
        """The directories of the host, listed by one ``find`` in the session."""
        return self.session

    def hasher(self) -> SshHasher:
        """The files of the host, hashed on its own cores."""
        return SshHasher(self.session)

    def transfer(self, log: Logger, basis: Path | None = None) -> RsyncTransfer:
        """rsync over SSH."""
        return RsyncTransfer(self.rsync(), log, basis)

    def rsync(self) -> Rsync:
        """rsync to and from the host."""
        return Rsync(SshEndpoint(self.host, self.bounds), self.bounds)


@dataclass(frozen=True)
class SshEndpoint:
    """See :class:`aurora_platform.transport.rsync.Endpoint`."""

    host: SshHost
    bounds: Bounds

    def reach(self, root: str) -> tuple[str, list[str]]:
        """A directory of the host as rsync names it, and the ``ssh`` command for rsync."""
        address = f"[{self.host.address}]" if ":" in self.host.address else self.host.address
        # ssh ends with rsync; otherwise it would stay for as long as a frozen host keeps the session open.
        ssh = shlex.join([*ENDS_WITH_PARENT, *openssh_command(self.host, self.bounds)])
        return f"{address}:{escape_wildcards(f'{root.rstrip("/")}/')}", ["--rsh", ssh]
