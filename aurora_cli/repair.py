"""``aurora repair``: repair exactly the wrong files of a day, if it is proved which bytes are right.

Health observes and never repairs. An operator runs this command, for one day of one stream, after a dry run has shown
what would be done.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import click

from aurora_cli.console import print_line
from aurora_cli.context import describe_error, load_site_or_exit, require_archive
from aurora_cli.repair_products import ProductRepair
from aurora_cli.repair_table import reason_of, show_steps
from aurora_cli.verified_day import VerifiedDay, require_day, require_stream
from aurora_platform.archive.change_guard import guard_of
from aurora_platform.archive.repair import RepairKind, RepairStep, plan_repair
from aurora_platform.archive.reports import VerifyOutcome
from aurora_platform.archive.restore import Restoring, WantedFile
from aurora_platform.archive.selection import raw_items
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import REPAIR
from aurora_platform.errors import AuroraError
from aurora_platform.fs.staging import Staging
from aurora_platform.layout import COLLECTIONS, OUTGOING, ArchiveLayout, Layout, raw_group
from aurora_platform.mirror.publish import publish
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.text import Count, counted
from aurora_platform.transport.connections import Connections

_LOG = logging.getLogger("aurora.repair")


@click.command()
@click.argument("stream")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="UTC day of a stream.")
@click.option("--full", "is_full", is_flag=True, help="Of products: read every file again, which is done for a stream.")
@click.option(
    "--emptied", "is_emptied", is_flag=True, help="Of products: all were deleted, and no disk is missing. Restore them."
)
@click.option("--apply", "is_applied", is_flag=True, help="Repair. Without it the wrong files are only shown.")
@click.pass_obj
def repair(
    file: Path | None, stream: str, day: datetime | None, is_full: bool, is_emptied: bool, is_applied: bool
) -> None:
    """Repair wrong files of STREAM on one day, in the local copy and in the archive.

    In place of a stream and a day: core_products, registered or wxcam_products, without --day. Wrong or missing local
    products are restored from the archive, if that has the finalized version; the earlier local files move to
    .quarantine in `paths.products`. Products that are wrong or missing in the archive are sent again. Files that were
    read before are read again only with --full, or when `archive.scrub` is over.

    Of a stream, reads every file of the day again: at the source, local and in the archive. Then, with --apply:

    \b
    - wrong in the archive: sent again, if the local file is the same as at the
      source, or as in the finalization of the day;
    - wrong local bytes: moved to .quarantine in `paths.raw` and fetched again, if
      source and archive are the same, or source and finalization;
    - wrong or missing locally, and gone from the source: restored from the
      archive, if that has the finalized version;
    - wrong local mtime, right bytes: the mtime is corrected;
    - no two sides agree: not changed.

    Without --apply no file of the stream is changed. But the day is verified: the result is written to the manifests,
    and to the finalization of the day, local and in the archive.

    \b
    Exit codes: 0 nothing is wrong any more; 1 a file is wrong, or an error (see
    the last line); 2 a wrong argument.
    Example: aurora repair wxcam --day 2026-08-18 --apply
    Example: aurora repair core_products --apply
    """
    site = load_site_or_exit(file)
    require_archive(site)
    if stream in COLLECTIONS and day is not None:
        raise click.UsageError(f"{stream} is repaired as a whole: leave out --day")
    if stream not in COLLECTIONS and day is None:
        require_stream(site, stream)
        raise click.UsageError("Missing option '--day': a stream is repaired by UTC day")
    if day is not None and is_emptied:
        raise click.UsageError("--emptied is for products: every file of a day of a stream is restored without it")
    try:
        if day is None:
            left = ProductRepair(site, stream, Connections.of(site), is_full=is_full, is_emptied=is_emptied).run(
                is_applied
            )
        else:
            left = _Repair(site, stream, require_day(site, stream, day), Connections.of(site)).run(is_applied)
    except AuroraError as error:
        raise click.ClickException(describe_error(error)) from None
    raise click.exceptions.Exit(1 if left else 0)


@dataclass(frozen=True)
class _Repair(VerifiedDay):
    def run(self, is_applied: bool) -> int:
        """Show what is wrong, repair it if ``is_applied``, and return how many files are still wrong."""
        print_line(
            f"reading every file of {self.name} on {self.day}, at the source, local and in the archive ...", "dim"
        )
        outcome = self.verify(full=True, needs_source=False)
        steps = self._plan()
        self._show(steps, outcome, is_applied)
        curable = [step for step in steps if step.kind is not RepairKind.NONE]
        if not curable or not is_applied:
            return len(steps)
        self._set_mtimes([step for step in curable if step.kind is RepairKind.TIME])
        self._fetch([step for step in curable if step.kind is RepairKind.FETCH])
        self._restore([step for step in curable if step.kind is RepairKind.RESTORE])
        self._send([step for step in curable if step.kind is RepairKind.SEND])
        with Records(self.site).evidence() as evidence:
            evidence.forget_checksums(self.name, [step.path for step in curable])
        self.verify(full=False, needs_source=False)
        left = self._plan()
        if sends := [step for step in left if step.kind is RepairKind.SEND and step not in curable]:
            self._send(sends)  # what could be sent only after the local copy was right
            with Records(self.site).evidence() as evidence:
                evidence.forget_checksums(self.name, [step.path for step in sends])
            self.verify(full=False, needs_source=False)
            left = self._plan()
        for step in left:
            print_line(f"  still wrong: {step.path}: {step.wrong}; {reason_of(step, self._target)}", "red")
        print_line(f"repaired {len(steps) - len(left)} of {counted(len(steps), 'file')}", "red" if left else "green")
        return len(left)

    def _plan(self) -> list[RepairStep]:
        with self.records() as verification:
            return list(plan_repair(verification, self.day))

    def _show(self, steps: Sequence[RepairStep], outcome: VerifyOutcome, is_applied: bool) -> None:
        if not steps:
            verdict = outcome.report.days[0].verdict
            print_line(f"nothing is wrong: {verdict.sentence()}", "yellow" if verdict.held else "green")
            if verdict.held:
                print_line(f"next, for what is held back: aurora accept {self._target}")
            return
        command = f"aurora repair {self._target} --apply"
        show_steps(f"{self.name} {self.day}", steps, is_applied=is_applied, command=command, target=self._target)
        if any("`aurora sync`" in step.why for step in steps):
            print_line(f"next, for what the mirror copies: aurora sync {self._target}")

    @property
    def _target(self) -> str:
        return f"{self.name} --day {self.day}"

    def _set_mtimes(self, steps: Sequence[RepairStep]) -> None:
        """Set the mtime of files whose bytes are right to the mtime in the finalization of the day."""
        for step in steps:
            assert step.right is not None  # its mtime is the cure
            local = Layout.of(self.site).raw_root(self.name) / step.path
            os.utime(local, ns=(step.right.mtime_ns, step.right.mtime_ns), follow_symlinks=False)
        if steps:
            print_line(f"set the mtime of {counted(len(steps), 'file')} to that in the finalization of the day")

    def _send(self, steps: Sequence[RepairStep]) -> None:
        """Send exactly these files again, even if size and mtime are the same in the archive."""
        if not steps:
            return
        archive = require_archive(self.site)
        stream, root = self.site.streams[self.name], Layout.of(self.site).raw_root(self.name)
        wrong = {str(root / step.path) for step in steps}
        items = [item for item in raw_items(stream, root, archive.raw, {self.day}, Count()) if item.local_path in wrong]
        with Records(self.site).ledger() as ledger:
            ledger.offer(archive.name, raw_group(self.name), items)
            ledger.requeue(archive.name, [item.remote_path for item in items])
            print_line(self.pushing(ledger).exactly(self.name, self._lane, items).summary())

    @property
    def _lane(self) -> str:
        return f"{REPAIR}{self.name}"

    def _restore(self, steps: Sequence[RepairStep]) -> None:
        """Fetch these files from the archive, and put those that are right in the place of the local ones."""
        if not steps:
            return
        archive, layout = require_archive(self.site), Layout.of(self.site)
        root, lane = layout.raw_root(self.name), self._lane

        def put(fetched: Path, path: str) -> None:
            self._move_away(root, path)
            publish(fetched, root, path)

        staging = Staging(self.site.paths.raw / OUTGOING, layout.locks, self.site.limits.lock)
        restoring = Restoring(self.connections.archive_hosts(archive, _LOG), staging, lane)
        wanted = [
            WantedFile(step.path, step.right, step.sha256) for step in steps if step.right is not None and step.sha256
        ]
        report = restoring.restore(ArchiveLayout.of(archive).raw_root(self.site.streams[self.name]), wanted, put)
        print_line(f"restored {counted(report.restored, 'file')} from the archive")
        if self._quarantine.is_dir():
            print_line(f"the earlier local files are in {self._quarantine}")
        for path, why in report.failed.items():
            print_line(f"  not restored: {path}: {why}", "red")

    @cached_property
    def _quarantine(self) -> Path:
        """The directory for the local files that this repair moves out of the way; nothing in it is deleted."""
        stream = self.site.streams[self.name]
        return Layout.of(self.site).raw_quarantine / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" / stream.raw

    def _move_away(self, root: Path, path: str) -> None:
        """Move a local file to the quarantine, if there is one."""
        if os.path.lexists(root / path):
            target = self._quarantine / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / path, target)  # a stream's directory may be on another device

    def _fetch(self, steps: Sequence[RepairStep]) -> None:
        """Move these files to the quarantine, and let the mirror fetch them again."""
        if not steps:
            return
        stream, root = self.site.streams[self.name], Layout.of(self.site).raw_root(self.name)
        for step in steps:
            self._move_away(root, step.path)
        print_line(f"moved {counted(len(steps), 'file')} to {self._quarantine}")
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
            reserve=self.site.limits.reserve,
            live_from=stream.live_from(datetime.now(UTC)),
            guard=guard_of(self.site, self.name),
            sync_lock=Layout.of(self.site).sync_lock(self.name),
        )
        print_line(report.summary())
