"""A day of a stream that a command verifies, as a run does: listed and read in all three places, and published."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

import click

from aurora_cli.console import print_line
from aurora_cli.context import require_archive
from aurora_platform.archive.archived_finalizations import prepare_verification
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.locations import places_of
from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.archive.reports import VerifyOutcome
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.archive.verify_days import Verification
from aurora_platform.config.site import Site
from aurora_platform.layout import SIDE_NAMES
from aurora_platform.transport.connections import Connections

_LOG = logging.getLogger("aurora.archive")


def require_stream(site: Site, stream: str) -> None:
    """End the command with its usage if the site does not have a stream."""
    if stream not in site.streams:
        raise click.UsageError(f"{stream!r} is not a stream of {site.name}; choose one of {', '.join(site.streams)}")


def require_day(site: Site, stream: str, day: datetime) -> date:
    """Return the UTC day; a stream or a day that the site does not have ends the command with its usage."""
    require_stream(site, stream)
    start, today = site.streams[stream].start, datetime.now(UTC).date()
    if not start <= day.date() <= today:
        raise click.UsageError(f"{stream} has days from {start} to {today} (UTC)")
    return day.date()


@dataclass(frozen=True)
class VerifiedDay:
    """A day of a stream, and the connections to its three places."""

    site: Site
    name: str
    day: date
    connections: Connections

    def verify(self, *, full: bool, needs_source: bool = True) -> VerifyOutcome:
        """Verify the day and copy its finalization to the archive; a place that cannot be read ends the command.

        Without ``needs_source`` a source that cannot be read is only reported.
        """
        records = Records(self.site)
        places = places_of(self.site, self.name, self.connections)
        hosts = self.connections.archive_hosts(require_archive(self.site), _LOG)
        prepare_verification(records, hosts, self.name, {self.day}, lambda text: print_line(text, "dim"))
        outcome = verify_and_publish(records, self.name, [self.day], places, full=full, publish_now=True)
        if "gws" not in outcome.report.errors:
            with records.ledger() as ledger:
                push_finalizations(records, self.pushing(ledger), self.name, [self.day])
        for side, why in outcome.report.errors.items():
            if side == "source" and not needs_source:
                print_line(f"{SIDE_NAMES[side]} cannot be read; only finalizations prove files: {why}", "yellow")
                continue
            raise click.ClickException(f"{SIDE_NAMES[side]} cannot be read, so no file can be proved right: {why}")
        return outcome

    @contextmanager
    def records(self) -> Iterator[Verification]:
        """Open the records of the day, under the lock of its stream's verifications."""
        places = places_of(self.site, self.name, self.connections)
        with Records(self.site).verification(self.name, places) as verification:
            yield verification

    def pushing(self, ledger: Ledger) -> Pushing:
        """The pushes of the site."""
        archive = require_archive(self.site)
        return Pushing(self.site, archive, self.connections.archive_hosts(archive, _LOG), ledger)
