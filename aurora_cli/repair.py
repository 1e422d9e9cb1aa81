"""``aurora repair``: makes exactly those files of a day right that are wrong, where it is proved which bytes are right.

Not a part of the health side, which never repairs anything: somebody asks for it, for one day of one stream, and sees
first what would be done.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import click

from aurora_cli.console import say, show_table
from aurora_cli.context import archive_of, message_of, site_of
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.locations import places_of
from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.archive.repair import Cure, Mend, plan_repair
from aurora_platform.archive.reports import VerifyOutcome
from aurora_platform.archive.selection import raw_items
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import REPAIR
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError
from aurora_platform.layout import Layout, raw_group
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.text import Count
from aurora_platform.transport.connections import Connections

_LOG = logging.getLogger("aurora.repair")


@click.command()
@click.argument("stream")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", required=True, help="The UTC day.")
@click.option("--apply", "is_applied", is_flag=True, help="Do it. Without this it is only said what would be done.")
@click.pass_obj
def repair(file: Path | None, stream: str, day: datetime, is_applied: bool) -> None:
    """Make the copies of a day of STREAM right, here and in the archive.

    First every file of the day is read again, on its host, here and in the archive. A file that is wrong in the archive
    is sent again where the copy here is what the source has, or what the day was finalized with. One that is wrong here
    is put aside and fetched again where source and archive agree. Where no two places agree nothing is done.

    The dry run is a verification of that day as well: what it finds stands in the manifests, and in the day's word here
    and in the archive. It touches no file of the stream.

    Exit code 1: something is wrong, and it was not asked for, or it could not be made right.
    """
    site = site_of(file)
    archive_of(site)
    if stream not in site.streams:
        raise click.UsageError(f"{stream!r} is no stream of {site.name}: {', '.join(site.streams)}")
    start, today = site.streams[stream].start, datetime.now(UTC).date()
    if not start <= day.date() <= today:
        raise click.UsageError(f"{stream} has days from {start} to {today} (UTC)")
    try:
        left = _Repair(site, stream, day.date(), Connections.of(site)).run(is_applied)
    except AuroraError as error:
        raise click.ClickException(message_of(error)) from None
    raise click.exceptions.Exit(1 if left else 0)


@dataclass(frozen=True)
class _Repair:
    site: Site
    name: str
    day: date
    connections: Connections

    def run(self, is_applied: bool) -> int:
        """Returns how many files are wrong in the end."""
        say(f"reading every file of {self.name} of {self.day}, on its host, here and in the archive ...", "dim")
        before = self._verify(full=True)
        mends = self._mends()
        self._show(mends, before, is_applied)
        curable = [mend for mend in mends if mend.cure is not Cure.NONE]
        if not curable or not is_applied:
            return len(mends)
        self._set_mtimes([mend for mend in curable if mend.cure is Cure.TIME])
        self._fetch([mend for mend in curable if mend.cure is Cure.FETCH])
        self._send([mend for mend in curable if mend.cure is Cure.SEND])
        with Records(self.site).evidence() as evidence:
            evidence.forget(self.name, [mend.path for mend in curable])
        self._verify(full=False)
        left = self._mends()
        if sends := [mend for mend in left if mend.cure is Cure.SEND and mend not in curable]:
            self._send(sends)  # what could be sent only after its mtime was set
            self._verify(full=False)
            left = self._mends()
        for mend in left:
            say(f"  still wrong: {mend.path}: {mend.wrong}; {mend.why}", "red")
        say(f"{len(mends) - len(left)} of {len(mends)} files made right", "red" if left else "green")
        return len(left)

    def _verify(self, *, full: bool) -> VerifyOutcome:
        records = Records(self.site)
        certified = verify_and_publish(
            records, self.name, [self.day], places_of(self.site, self.name, self.connections), full=full
        )
        if "gws" not in certified.report.errors:
            with records.ledger() as ledger:
                push_finalizations(records, self._pushing(ledger), self.name, [self.day])
        for side, why in certified.report.errors.items():
            raise click.ClickException(f"{side} cannot be seen, so nothing is proved: {why}")
        return certified

    def _mends(self) -> list[Mend]:
        places = places_of(self.site, self.name, self.connections)
        with Records(self.site).verification(self.name, places) as verification:
            return list(plan_repair(verification, self.day))

    def _show(self, mends: Sequence[Mend], found: VerifyOutcome, is_applied: bool) -> None:
        if not mends:
            say(f"nothing is wrong: {found.report.days[0].verdict.sentence()}", "green")
            return
        show_table(
            f"{self.name} {self.day}: {len(mends)} files are wrong" + ("" if is_applied else " (dry run)"),
            ["file", "bytes", "what is wrong", "what is done" if is_applied else "what would be done", "why"],
            [[mend.path, str(mend.right.size if mend.right else 0), mend.wrong, mend.cure, mend.why] for mend in mends],
        )
        if not is_applied and any(mend.cure is not Cure.NONE for mend in mends):
            say(f"to do it: aurora repair {self.name} --day {self.day} --apply")

    def _set_mtimes(self, mends: Sequence[Mend]) -> None:
        """Give files that are right in every byte the mtime that their day was finalized with."""
        for mend in mends:
            assert mend.right is not None  # its mtime is the cure
            place = Layout.of(self.site).raw_root(self.name) / mend.path
            os.utime(place, ns=(mend.right.mtime_ns, mend.right.mtime_ns), follow_symlinks=False)
        if mends:
            say(f"the mtimes of {len(mends)} files set to those that the day was finalized with")

    def _send(self, mends: Sequence[Mend]) -> None:
        """Send exactly these files again, whatever size and mtime say there."""
        if not mends:
            return
        archive = archive_of(self.site)
        stream, root = self.site.streams[self.name], Layout.of(self.site).raw_root(self.name)
        wrong = {str(root / mend.path) for mend in mends}
        items = [item for item in raw_items(stream, root, archive.raw, {self.day}, Count()) if item.local_path in wrong]
        with Records(self.site).ledger() as ledger:
            ledger.offer(archive.name, raw_group(self.name), items)
            ledger.requeue(archive.name, [item.remote_path for item in items])
            say(self._pushing(ledger).exactly(self.name, self._lane, items).summary())

    def _pushing(self, ledger: Ledger) -> Pushing:
        archive = archive_of(self.site)
        return Pushing(self.site, archive, self.connections.archive_hosts(archive, _LOG), ledger)

    @property
    def _lane(self) -> str:
        return f"{REPAIR}{self.name}"

    def _fetch(self, mends: Sequence[Mend]) -> None:
        """Put these files aside and let the mirror bring them again."""
        if not mends:
            return
        stream, root = self.site.streams[self.name], Layout.of(self.site).raw_root(self.name)
        aside = Layout.of(self.site).raw_quarantine / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" / stream.raw
        for mend in mends:
            place = aside / mend.path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / mend.path, place)  # a stream's directory may be on a device of its own
        say(f"{len(mends)} files put aside below {aside}")
        host = self.site.hosts[stream.host]
        report = mirror_days(
            self.name,
            stream,
            [self.day],
            source=self.connections.source(host),
            transfer=self.connections.transfer(host, _LOG),
            raw=self.site.paths.raw,
            locks=Layout.of(self.site).locks,
            wait=self.site.limits.lock,
            keep_free=self.site.limits.keep_free,
            live_from=stream.live_from(datetime.now(UTC)),
        )
        say(report.summary())
