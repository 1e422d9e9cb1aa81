"""``hosts``: the connections to the hosts of the site, as a Dagster resource."""

from pathlib import Path
from typing import Self

from dagster import ConfigurableResource

from aurora_platform.config.site import Site
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections


class HostsResource(ConfigurableResource):
    """The values of :class:`aurora_platform.transport.bounds.Bounds`, as Dagster's configuration."""

    known_hosts: str
    connect_seconds: float
    listing_seconds: float
    stall_seconds: float
    transfer_seconds: float
    hashing_stall_seconds: float
    hashing_seconds: float
    bandwidth_kib: int

    @classmethod
    def of(cls, site: Site) -> Self:
        """The resource of a site."""
        bounds = Connections.of(site).bounds
        values = {name: getattr(bounds, name) for name in cls.model_fields}
        return cls(**values | {"known_hosts": str(bounds.known_hosts)})

    @property
    def connections(self) -> Connections:
        """The connections with these bounds."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return Connections(Bounds(**values | {"known_hosts": Path(self.known_hosts)}))
