"""The three places of a stream, for who verifies them: its host, this machine, and the archive by each of its hosts."""

from collections.abc import Sequence

from aurora_platform.archive.verify_days import Place
from aurora_platform.config.hosts import Host, LocalHost
from aurora_platform.config.site import Site
from aurora_platform.layout import Side
from aurora_platform.transport.connections import Connections

_HERE = LocalHost(kind="local")


def places_of(site: Site, name: str, connections: Connections) -> dict[Side, Sequence[Place]]:
    """The ways to a stream's files; those to the archive in the site's order of preference."""
    stream, archive = site.streams[name], site.archive
    assert archive is not None  # who verifies has one
    host = site.hosts[stream.host]
    return {
        "source": [_place(connections, host, stream.host, stream.path)],
        "local": [_place(connections, _HERE, "here", str(site.paths.raw), stream.raw)],
        "gws": [_place(connections, one, one.address, archive.raw, stream.raw) for one in archive.hosts],
    }


def _place(connections: Connections, host: Host, otherwise: str, root: str, prefix: str = "") -> Place:
    """By the name of its host, or another where that has none."""
    access = connections.access(host)
    return Place(access.name or otherwise, access.source(), access.hasher(), root, prefix)
