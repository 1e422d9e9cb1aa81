"""``hosts``: the connections to the hosts of the site, as a Dagster resource."""

from pathlib import Path
from typing import Self

from dagster import ConfigurableResource

from aurora_platform.config.site import Site
from aurora_platform.errors import HostRefusedError
from aurora_platform.layout import Layout
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections

_OF_SITES: set[tuple[str, tuple[str, ...]]] = set()
"""Host keys and local copies of the sites that this process has loaded."""


class HostsResource(ConfigurableResource):
    """The fields of :class:`aurora_platform.transport.bounds.Bounds`, and the local copies, for Dagster."""

    local_copies: list[str]
    known_hosts: str
    """The path of the site; run configuration cannot replace it (:meth:`connections`)."""
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
        values = {name: getattr(bounds, name) for name in cls.model_fields if name != "local_copies"}
        local_copies = [str(path) for path in Layout.of(site).raw_roots]
        made = cls(**values | {"known_hosts": str(bounds.known_hosts), "local_copies": local_copies})
        _OF_SITES.add((made.known_hosts, tuple(local_copies)))
        return made

    @property
    def connections(self) -> Connections:
        """The connections with these bounds.

        Raises
        ------
        HostRefusedError
            If run configuration has replaced the file of host keys, or the local copies: whoever may start a run must
            not choose which host is believed.
        """
        if (self.known_hosts, tuple(self.local_copies)) not in _OF_SITES:
            raise HostRefusedError(
                f"{self.known_hosts!r}: run configuration may not replace the host keys or the local copies "
                "of the site. Remove `known_hosts` and `local_copies` from the configuration of `hosts`; "
                "change `paths.state` or `paths.raw` in the site file instead."
            )
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "local_copies"}
        bounds = Bounds(**values | {"known_hosts": Path(self.known_hosts)})
        return Connections(bounds, tuple(map(Path, self.local_copies)))
