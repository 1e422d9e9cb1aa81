"""``archive_hosts``: the hosts of the site's archive, as a Dagster resource."""

from logging import Logger

from dagster import ConfigurableResource

from aurora_platform.config.archive import Archive
from aurora_platform.transport.protocols import ArchiveHost
from resources.hosts import HostsResource


class ArchiveHostsResource(ConfigurableResource):
    """Opens the hosts of the site's archive."""

    hosts: HostsResource

    def of(self, archive: Archive, log: Logger) -> tuple[ArchiveHost, ...]:
        """The hosts in the order of the site file, for a push."""
        return self.hosts.connections.archive_hosts(archive, log)
