"""``archive_hosts``: the hosts of the site's archive, as a Dagster resource."""

from logging import Logger

from dagster import ConfigurableResource

from aurora_platform.config.archive import Archive
from aurora_platform.transport.protocols import ArchiveHost
from resources.hosts import HostsResource


class ArchiveHostsResource(ConfigurableResource):
    """Pushes to the hosts of the site's archive."""

    hosts: HostsResource

    def of(self, archive: Archive, log: Logger) -> tuple[ArchiveHost, ...]:
        """The hosts in the site's order, as a push wants them."""
        return self.hosts.connections.archive_hosts(archive, log)
