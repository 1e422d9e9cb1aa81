"""Ways to the hosts of a site, and which days to ask them about."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site, load_site
from aurora_platform.config.streams import Stream
from aurora_platform.errors import AuroraError
from aurora_platform.layout import Layout, check_state, open_state
from aurora_platform.transport.connections import Connections


def site_of(file: Path | None) -> Site:
    """The site of the group's option; an error in it, or state of a newer Aurora, ends the command with one line."""
    try:
        site = load_site(file)
        check_state(site.paths.state)
    except AuroraError as error:
        raise click.ClickException(str(error)) from None
    return site


def begin_to_write(site: Site) -> None:
    """Bring the state directory to the version of this Aurora; where that fails, the command ends with one line."""
    try:
        open_state(site.paths.state)
    except (AuroraError, OSError) as error:
        raise click.ClickException(message_of(error)) from None


def archive_of(site: Site) -> Archive:
    """The archive of a site; without one the command ends with one line."""
    if site.archive is None:
        raise click.ClickException(f"{site.name} has no archive: the site file has no key `archive`")
    return site.archive


@contextmanager
def read_only_connections(site: Site, within: timedelta | None = None) -> Iterator[tuple[Connections, Path]]:
    """Connections for who writes nothing: keys of new hosts go to a copy of ``known_hosts`` that is thrown away.

    Yields them and the copy. What is said on a host takes ``within`` at most; without it, ``limits.listing``.
    """
    with tempfile.TemporaryDirectory(prefix="aurora-") as directory:
        known = Path(directory) / "known_hosts"
        try:
            shutil.copyfile(Layout.of(site).known_hosts, known)
        except FileNotFoundError:
            known.touch()
        except OSError as error:
            raise click.ClickException(
                f"{Layout.of(site).known_hosts}: {error.strerror}. Are you the user that runs the platform?"
            ) from None
        limits = site.limits.model_copy(update={"listing": within or site.limits.listing})
        yield Connections.of(site.model_copy(update={"limits": limits}), known), known


def days_from(first: date, now: datetime) -> list[date]:
    """The UTC days from ``first`` to today."""
    return [first + timedelta(days=n) for n in range((now.astimezone(UTC).date() - first).days + 1)]


def errors_of_hosts(error: Exception, site: Site, copy: Path) -> str:
    """A message in which the copy of ``known_hosts`` is called what it is a copy of."""
    return message_of(error).replace(str(copy), str(Layout.of(site).known_hosts))


def message_of(error: Exception) -> str:
    """One line: our own errors are sentences, those of files get a next step; of any other the type says the most."""
    if isinstance(error, AuroraError):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        may_not = "The user that runs this may not do that there. " * isinstance(error, PermissionError)
        return f"{os.fsdecode(error.filename)}: {error.strerror}. {may_not}What is wrong here, `aurora audit` says."
    return f"{type(error).__name__}: {error}"


def not_begun(stream: Stream, now: datetime) -> str:
    """That a stream begins later, where it does."""
    return f"begins on {stream.start} (start in the site file)" if stream.start > now.astimezone(UTC).date() else ""
