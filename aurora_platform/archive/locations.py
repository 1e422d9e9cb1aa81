"""Returns access to the three places of a stream: its host, the local tree, and the archive by each of its hosts."""

import logging
from collections.abc import Sequence

from aurora_platform.archive.verify_days import Place
from aurora_platform.config.hosts import Host, LocalHost
from aurora_platform.config.site import Site
from aurora_platform.layout import Side
from aurora_platform.transport.connections import Connections

_LOCAL = LocalHost(kind="local")
_LOG = logging.getLogger("aurora.archive")


def places_of(site: Site, name: str, connections: Connections) -> dict[Side, Sequence[Place]]:
    """Return the places of a stream's files; those of the archive in the site's order of preference."""
    stream = site.streams[name]
    assert site.archive is not None  # only sites with an archive verify
    source_host = site.hosts[stream.host]
    return {
        "source": [_place(connections, source_host, stream.host, stream.path)],
        "local": [local_access(connections, str(site.paths.raw), stream.raw)],
        "gws": archive_access(site, connections, site.archive.raw, stream.raw),
    }


def local_access(connections: Connections, root: str, below: str = "") -> Place:
    """Return a directory of this machine as a place."""
    return _place(connections, _LOCAL, "here", root, below)


def archive_access(site: Site, connections: Connections, root: str, below: str = "") -> list[Place]:
    """Return a directory of the archive as a place, by each of its hosts."""
    assert site.archive is not None  # only sites with an archive verify
    return [_place(connections, host, host.report_name, root, below) for host in site.archive.hosts]


def _place(connections: Connections, host: Host, default_name: str, root: str, prefix: str = "") -> Place:
    """Return the place under the name of its host, or ``default_name`` where the host has none."""
    access = connections.access(host)
    transfer = access.transfer(_LOG)
    return Place(access.name or default_name, access.source(), access.hasher(), root, prefix, transfer)
