"""Hosts of the archive: rsync copies files to one of them; the pooled SSH session lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from logging import Logger
from pathlib import Path

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostRefusedError
from aurora_platform.text import printable
from aurora_platform.transport.listing import Listing
from aurora_platform.transport.protocols import NEW, PARTIAL, Transfer, TransferResult
from aurora_platform.transport.ssh_errors import try_ssh_hint
from aurora_platform.transport.ssh_host import SshAccess
from aurora_platform.transport.ssh_session import SshSession

# This removes nothing, not even leftovers of killed transfers in our own hidden directory: we never delete anything in
# the archive.
_PREPARE = """
mkdir -p -- "$1" "$2/$3" "$2/$4" || exit 1
for place in "$1" "$2/$3" "$2/$4"; do
    [ -w "$place" ] || { echo "$place may not be written by $(id -un)" >&2; exit 1; }
done
echo ready
"""


@dataclass(frozen=True)
class SshArchiveHost:
    """One host of the archive, over SSH; see :class:`aurora_platform.transport.protocols.ArchiveHost`."""

    access: SshAccess
    log: Logger

    @property
    def host(self) -> SshHost:
        return self.access.host

    @property
    def name(self) -> str:
        """Its address, with the port if that is not 22."""
        return self.host.address if self.host.port == 22 else self.host.address_and_port

    @cached_property
    def session(self) -> SshSession:
        """A session with short bounds: an archive host that does not answer within the stall time is skipped."""
        bounds = self.access.bounds
        return SshSession(self.host, bounds.but(listing_seconds=bounds.stall_seconds))

    def prepare(self, root: str, work: str) -> None:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.prepare`. It also proves that a shell works."""
        output = self.session.ask(["sh", "-c", _PREPARE, "aurora-prepare", root, work, NEW, PARTIAL])
        if output != "ready\n":
            raise HostRefusedError(
                f"{self.host.address_and_port}: the login of {self.host.user} works, but a program cannot be run, or "
                f"the login shell prints something before it: {printable(output.strip()) or 'nothing'!r}. "
                f"{try_ssh_hint(self.host)}"
            )

    def list(self, root: str, below: Sequence[str]) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.list`."""
        return self.session.list(root, below)

    def fetching(self) -> Transfer:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.fetching`."""
        return self.access.transfer(self.log)

    def send(
        self, upload_tree: Path, paths: Sequence[str], root: str, work: str, lock: Path, keep_in: str | None = None
    ) -> TransferResult:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.send`."""
        if keep_in is not None:
            self.session.ask(["mkdir", "-p", "--", keep_in])
        return self.access.rsync().push(upload_tree, paths, root, work, lock, keep_in, self.log)
