"""The archive's hosts: what is pushed goes to one of them by rsync, and is looked at there over the pooled session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from logging import Logger
from pathlib import Path

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostRefusedError, TransferError
from aurora_platform.text import printable
from aurora_platform.transport.listing import Listing
from aurora_platform.transport.protocols import NEW, PARTIAL, TransferResult
from aurora_platform.transport.rsync import VANISHED, write_wanted
from aurora_platform.transport.ssh_errors import by_hand
from aurora_platform.transport.ssh_host import SshAccess
from aurora_platform.transport.ssh_session import SshSession
from aurora_platform.transport.stall import DELIVERS

# It removes nothing, not even what killed transfers have left in our own hidden directory: no program of ours deletes
# anything in the archive.
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
        """Its address, with the port where that is not the usual one."""
        return self.host.address if self.host.port == 22 else self.host.where

    @cached_property
    def session(self) -> SshSession:
        """A session in which nothing takes long: a host that is slower than a stall is left."""
        bounds = self.access.bounds
        return SshSession(self.host, bounds.but(listing_seconds=bounds.stall_seconds))

    def prepare(self, root: str, work: str) -> None:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.prepare`. It also proves that a shell works."""
        said = self.session.ask(["sh", "-c", _PREPARE, "aurora-prepare", root, work, NEW, PARTIAL])
        if said != "ready\n":
            raise HostRefusedError(
                f"{self.host.where}: {self.host.user} is let in, but a program cannot be run, or "
                f"something else speaks before it: {printable(said.strip()) or 'nothing'!r}. {by_hand(self.host)}"
            )

    def list(self, root: str, below: Sequence[str]) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.list`."""
        return self.session.list(root, below)

    def send(
        self, upload_tree: Path, paths: Sequence[str], root: str, work: str, lock: Path, keep_in: str | None = None
    ) -> TransferResult:
        """See :meth:`aurora_platform.transport.protocols.ArchiveHost.send`."""
        if keep_in is not None:
            self.session.ask(["mkdir", "-p", "--", keep_in])
        wanted = upload_tree.with_name(f"{upload_tree.name}.files")
        write_wanted(wanted, paths)
        rsync = self.access.rsync()
        arguments = rsync.push_arguments(upload_tree, wanted, root, work, keep_in)
        ended = rsync.run(arguments, self.log, lock, DELIVERS)
        if ended.code and (full := ended.disk_failed):
            raise TransferError(f"rsync could not write there: {full}")
        ended.check()
        return TransferResult(
            ended.stat("Literal data"), ended.stat("Matched data"), ended.messages[:1000], ended.code == VANISHED
        )
