"""The three places of a stream, for who verifies them: its host, this machine, and the archive by each of its hosts."""

from collections.abc import Sequence

from aurora_platform.archive.verify_days import Place
from aurora_platform.config.hosts import LocalHost, SshHost
from aurora_platform.config.site import Site
from aurora_platform.layout import Side
from aurora_platform.transport.ssh import SshResource

_HERE = LocalHost(kind="local")


def places_of(site: Site, name: str, ssh: SshResource) -> dict[Side, Sequence[Place]]:
    """The ways to a stream's files; those to the archive in the site's order of preference."""
    stream, archive = site.streams[name], site.archive
    assert archive is not None  # who verifies has one
    host = site.hosts[stream.host]
    address = host.address if isinstance(host, SshHost) else stream.host
    return {
        "source": [Place(address, ssh.source(host), ssh.hasher(host), stream.path)],
        "local": [Place("here", ssh.source(_HERE), ssh.hasher(_HERE), str(site.paths.raw), stream.raw)],
        "gws": [Place(h.address, ssh.source(h), ssh.hasher(h), archive.raw, stream.raw) for h in archive.hosts],
    }
