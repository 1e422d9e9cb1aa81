"""The archive's hosts: what is pushed goes to one of them by rsync, and is looked at there over the pooled session."""

from collections.abc import Sequence
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from aurora_platform.config.archive import Archive
from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostRefusedError, TransferError
from aurora_platform.text import shown
from aurora_platform.transport.listing import Listing
from aurora_platform.transport.protocols import NEW, PARTIAL
from aurora_platform.transport.rsync import VANISHED, RsyncResource, write_wanted
from aurora_platform.transport.ssh import SshResource
from aurora_platform.transport.stall import DELIVERS

if TYPE_CHECKING:
    from aurora_platform.transport.protocols import Sent

# It removes nothing, not even what killed transfers have left in our own hidden directory: no program of ours deletes
# anything in the archive.
_PREPARE = """
mkdir -p -- "$1" "$2/$3" "$2/$4" || exit 1
for place in "$1" "$2/$3" "$2/$4"; do
    [ -w "$place" ] || { echo "$place may not be written by $(id -un)" >&2; exit 1; }
done
echo ready
"""


class ArchiveResource(ConfigurableResource):
    """Pushes to the hosts of the site's archive."""

    rsync: RsyncResource

    def hosts(self, archive: Archive, log: Logger) -> "tuple[ArchiveHost, ...]":
        """The archive's hosts in the site's order, as a push wants them."""
        return tuple(ArchiveHost(self.rsync, host, log) for host in archive.hosts)


@dataclass(frozen=True)
class ArchiveHost:
    """One host of the archive; see :class:`aurora_platform.transport.protocols.FarSide`."""

    rsync: RsyncResource
    host: SshHost
    log: Logger

    @property
    def name(self) -> str:
        """Its address, with the port where that is not the usual one."""
        return self.host.address if self.host.port == 22 else f"{self.host.address}:{self.host.port}"

    @property
    def ssh(self) -> SshResource:
        """Sessions in which nothing takes long: a host that is slower than a stall is left."""
        return self.rsync.ssh.model_copy(update={"listing_seconds": self.rsync.stall_seconds})

    def prepare(self, root: str, work: str) -> None:
        """See :meth:`aurora_platform.transport.protocols.FarSide.prepare`. It also proves that a shell works."""
        said = self.ssh.ask(self.host, ["sh", "-c", _PREPARE, "aurora-prepare", root, work, NEW, PARTIAL])
        if said != "ready\n":
            from aurora_platform.transport.ssh_errors import by_hand

            raise HostRefusedError(
                f"{self.host.address}:{self.host.port}: {self.host.user} is let in, but a program cannot be run, or "
                f"something else speaks before it: {shown(said.strip()) or 'nothing'!r}. {by_hand(self.host)}"
            )

    def list(self, root: str, below: Sequence[str]) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.FarSide.list`."""
        return self.ssh.source(self.host).list(root, below)

    def send(
        self, view: Path, paths: Sequence[str], root: str, work: str, lock: Path, keep_in: str | None = None
    ) -> "Sent":
        """See :meth:`aurora_platform.transport.protocols.FarSide.send`."""
        from aurora_platform.transport.protocols import Sent

        if keep_in is not None:
            self.ssh.ask(self.host, ["mkdir", "-p", "--", keep_in])
        wanted = view.with_name(f"{view.name}.files")
        write_wanted(wanted, paths)
        arguments = self.rsync.push_arguments(self.host, view, wanted, root, work, keep_in)
        ended = self.rsync.run(arguments, self.log, lock, DELIVERS)
        if ended.code and (full := ended.disk_failed):
            raise TransferError(f"rsync could not write there: {full}")
        ended.check()
        return Sent(
            ended.stat("Literal data"), ended.stat("Matched data"), ended.complaints[:1000], ended.code == VANISHED
        )
