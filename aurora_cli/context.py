"""What the verbs share: the site, read-only connections, ranges of days, and errors as one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from aurora_cli import process
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site, load_site
from aurora_platform.config.streams import Stream
from aurora_platform.errors import AuroraError
from aurora_platform.fs.atomic import tighten_umask
from aurora_platform.fs.disk_errors import describe_os_error
from aurora_platform.layout import Layout, check_state, open_state
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.known_hosts_copy import copied_known_hosts


def load_site_or_exit(file: Path | None) -> Site:
    """Load the site file; an error in it, or state of a newer Aurora, ends the command with one line."""
    try:
        site = load_site(file)
        if process.is_program:
            tighten_umask(site.umask)
        check_state(site.paths.state)
    except AuroraError as error:
        raise click.ClickException(str(error)) from None
    return site


def open_state_or_exit(site: Site) -> None:
    """Bring the state directory to the version of this Aurora; an error ends the command with one line."""
    try:
        open_state(site.paths.state)
    except (AuroraError, OSError) as error:
        raise click.ClickException(describe_error(error)) from None


def require_archive(site: Site) -> Archive:
    """Return the archive of a site; without one the command ends with one line."""
    if site.archive is None:
        raise click.ClickException(f"{site.name} has no archive: add the key `archive` to the site file")
    return site.archive


@contextmanager
def read_only_connections(site: Site, within: timedelta | None = None) -> Iterator[tuple[Connections, Path]]:
    """Connect without writing: keys of new hosts go to a temporary copy of ``known_hosts``.

    Yields the connections and the path of the copy. A program on a host may run for ``within``; by default for
    ``limits.listing``.
    """
    with copied_known_hosts(Layout.of(site).known_hosts) as copy:
        limits = site.limits.model_copy(update={"listing": within or site.limits.listing})
        yield Connections.of(site.model_copy(update={"limits": limits}), copy), copy


def days_until_today(first: date, now: datetime) -> list[date]:
    """List the UTC days from ``first`` to today."""
    return [first + timedelta(days=n) for n in range((now.astimezone(UTC).date() - first).days + 1)]


def describe_host_error(error: Exception, site: Site, copy: Path) -> str:
    """Describe an error in one line that names the site's ``known_hosts`` and not its temporary copy."""
    return describe_error(error).replace(str(copy), str(Layout.of(site).known_hosts))


def describe_error(error: Exception) -> str:
    """Describe an error in one line: our own as they are, those of disks with a next step, others with their type."""
    if isinstance(error, AuroraError):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return describe_os_error(error)
    return f"{type(error).__name__}: {error}"


def describe_later_start(stream: Stream, now: datetime) -> str:
    """Describe when a stream begins if that is in the future; else an empty text."""
    return f"begins on {stream.start} (start in the site file)" if stream.start > now.astimezone(UTC).date() else ""
