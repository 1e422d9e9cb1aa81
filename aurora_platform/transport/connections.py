"""The outside world of one site: its resources, made from the site file once for Dagster and for the command line."""

from dataclasses import dataclass
from pathlib import Path

from aurora_platform.config.site import Site
from aurora_platform.layout import Layout
from aurora_platform.transport.archive_host import ArchiveResource
from aurora_platform.transport.process import ShellResource
from aurora_platform.transport.rsync import RsyncResource
from aurora_platform.transport.ssh import SshResource


@dataclass(frozen=True)
class Outside:
    """How this site reaches its hosts."""

    ssh: SshResource
    rsync: RsyncResource
    archive: ArchiveResource | None
    """None where the site has no archive."""


def outside_of(site: Site, known_hosts: Path | None = None) -> Outside:
    """The resources of a site; ``known_hosts`` is another place for host keys, for who must write nothing."""
    limits = site.limits
    ssh = SshResource(
        known_hosts=str(known_hosts or Layout.of(site).known_hosts),
        connect_seconds=limits.connect.total_seconds(),
        listing_seconds=limits.listing.total_seconds(),
    )
    rsync = RsyncResource(
        shell=ShellResource(),
        ssh=ssh,
        stall_seconds=limits.stall.total_seconds(),
        transfer_seconds=limits.transfer.total_seconds(),
    )
    return Outside(ssh, rsync, ArchiveResource(rsync=rsync) if site.archive else None)
