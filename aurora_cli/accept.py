"""``aurora accept``: take changes of finalized files that are held back, or accept that files are lost."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click

from aurora_cli.console import print_line, print_table
from aurora_cli.context import describe_error, load_site_or_exit, require_archive
from aurora_cli.repair_products import ProductRepair, show_archived
from aurora_cli.verified_day import VerifiedDay, require_day
from aurora_platform.archive.acceptance import (
    HeldChange,
    LostFile,
    archived_files,
    held_changes,
    is_finalization_lost,
    lost_files,
)
from aurora_platform.archive.vanished_files import Acceptance
from aurora_platform.archive.verify_days import Verification
from aurora_platform.config.types import format_duration
from aurora_platform.errors import AuroraError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import COLLECTIONS, raw_group
from aurora_platform.text import counted, human_size
from aurora_platform.transport.connections import Connections


@click.command()
@click.argument("stream")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="UTC day of a stream.")
@click.option("--lost", "is_loss", is_flag=True, help="Accept that files are lost, in place of changes.")
@click.option("--file", "files", multiple=True, metavar="PATH", help="Accept only this file (may be given repeatedly).")
@click.option("--emptied", "is_emptied", is_flag=True, help="Of products: all were deleted, and no disk is missing.")
@click.option("--apply", "is_applied", is_flag=True, help="Accept. Without it the files are only shown.")
@click.pass_obj
def accept(
    file: Path | None,
    stream: str,
    day: datetime | None,
    is_loss: bool,
    files: tuple[str, ...],
    is_emptied: bool,
    is_applied: bool,
) -> None:
    """Accept changes or losses of finished days, which Aurora does not accept by itself.

    Files of a finalized day that have changed at the source are held back: neither the local copy nor the archive gets
    the new version. Compare both versions first. With --apply the versions that are shown are accepted: the next pass
    copies them, and the archive keeps the finalized versions.

    Where the finalization of the day is lost, and archive.manifests has no copy: with --apply, what the archive has now
    counts as finalized.

    With --lost: a day is not complete while a file is missing that the source once had. With --apply the files that are
    shown are accepted as lost: the day can become complete, and its manifest names them as lost.

    In place of a stream and a day: core_products, registered or wxcam_products. With --lost, finalized products that
    were deleted on purpose are no gap any more; the archive keeps them. Without it, what the archive has counts as
    finalized where a finalization is lost; no change of a product is held back for another reason.

    The day is verified first, at the source, local and in the archive.

    \b
    Exit codes: 0 nothing is left to accept; 1 something is, or an error (see the
    last line); 2 a wrong argument.
    Example: aurora accept wxcam --day 2026-08-18
    """
    site = load_site_or_exit(file)
    require_archive(site)
    if stream in COLLECTIONS and day is not None:
        raise click.UsageError(f"{stream} is accepted as a whole: leave out --day")
    if stream in COLLECTIONS:
        products = ProductRepair(site, stream, Connections.of(site), is_emptied=is_emptied)
        try:
            left = products.accept_deleted(files, is_applied) if is_loss else products.accept_archived(is_applied)
        except AuroraError as error:
            raise click.ClickException(describe_error(error)) from None
        raise click.exceptions.Exit(1 if left else 0)
    if day is None:
        raise click.UsageError("Missing option '--day': a stream is accepted by UTC day")
    verified = VerifiedDay(site, stream, require_day(site, stream, day), Connections.of(site))
    try:
        print_line(f"verifying {stream} on {verified.day}, at the source, local and in the archive ...", "dim")
        verified.verify(full=False)
        left = _accept_lost(verified, files, is_applied) if is_loss else _accept_changes(verified, files, is_applied)
    except AuroraError as error:
        raise click.ClickException(describe_error(error)) from None
    raise click.exceptions.Exit(1 if left else 0)


def _accept_changes(verified: VerifiedDay, files: Sequence[str], is_applied: bool) -> int:
    """Show the changes that are held back, and accept them; returns how many are left."""
    name, day = verified.name, verified.day
    with verified.records() as records:
        if is_finalization_lost(records, day):
            return _accept_archived(records, day, is_applied)
        held = held_changes(records, day)
        chosen = _choose({change.decision.change.path: change for change in held}, files)
        if not held:
            print_line(f"nothing is held back on {day}", "green")
            return 0
        print_table(
            f"{name} {day}: {counted(len(chosen), 'change')} held back" + ("" if is_applied else " (dry run)"),
            ["file", "finalized version", "version at the source", "first seen", "reason"],
            [_row(change) for change in chosen],
        )
        takeable = [change for change in chosen if change.can_be_taken]
        if not is_applied:
            if takeable:
                print_line(f"next: compare both versions, then aurora accept {name} --day {day} --apply")
        elif takeable:
            records.evidence.changes.accept(name, [change.decision for change in takeable])
            print_line(f"accepted {counted(len(takeable), 'change')}. The next pass copies them; now:", "green")
            settle = format_duration(records.stream.settle)
            print_line(f"  aurora sync {name} --day {day} (a file that has changed within {settle} waits)")
        for change in chosen:
            if not change.can_be_taken:
                path = change.decision.change.path
                print_line(
                    f"{path}: only its bytes differ, not size and mtime, so no pass copies it. Compare it.", "yellow"
                )
                print_line(
                    "  If the host is wrong, put the file right there; if it is right, `touch` it there.", "yellow"
                )
        return len(held) - (len(takeable) if is_applied else 0)


def _accept_archived(records: Verification, day: date, is_applied: bool) -> int:
    """Take what the archive has for what was finalized, where the finalization is lost; returns what is left."""
    name, archive = records.name, records.archive.name
    rows = records.ledger.rows_of_day(archive, raw_group(name), day)
    evidence = records.evidence
    others = {**evidence.vanished.expected(name, day), **evidence.released(name, day)}
    files = archived_files(evidence.files(name, day), rows, records.finalizations.archive_root, others)
    print_line(f"the finalization of {day} is lost. Without it no file of the day is replaced, here or in the archive.")
    show_archived(files)
    if not is_applied:
        print_line(
            f"next, if archive.manifests has no copy: aurora accept {name} --day {day} --apply takes them as finalized"
        )
        return 1
    files.remake(records.finalizations, day)
    print_line(f"{counted(files.total, 'file')} count as finalized now; {day} is not complete", "green")
    print_line(f"now: aurora accept {name} --day {day} shows what differs from them at the source; with --lost, what")
    print_line("no place has any more")
    return 0


def _accept_lost(verified: VerifiedDay, files: Sequence[str], is_applied: bool) -> int:
    """Show the files that are lost, and accept that; returns how many are left."""
    name, day = verified.name, verified.day
    with verified.records() as records:
        lost = list(lost_files(records, day))
        chosen = _choose({file.path: file for file in lost}, files)
        if not lost:
            print_line(f"no file of {day} is lost", "green")
            return 0
        print_table(
            f"{name} {day}: {counted(len(chosen), 'file')} lost" + ("" if is_applied else " (dry run)"),
            ["file", "last version at the source", "local", "archive"],
            [[file.path, *map(_version, (file.last_seen.version, file.local, file.archived))] for file in chosen],
        )
        if not is_applied:
            print_line(f"next, if nobody can bring them back: aurora accept {name} --day {day} --lost --apply")
            return len(lost)
        accepted = {file.path: file.last_seen for file in chosen}
        records.evidence.vanished.accept(name, day, accepted, Acceptance.LOST)
    print_line(f"accepted {counted(len(chosen), 'file')} as lost", "green")
    verdict = verified.verify(full=False).report.days[0].verdict
    print_line(f"{day} is complete" if verdict.is_final else f"{day} is not complete: {verdict.sentence()}")
    return len(lost) - len(chosen)


def _choose[Item: (HeldChange, LostFile)](found: dict[str, Item], files: Sequence[str]) -> list[Item]:
    """Return the items of the files that were named, or all; a name that is not among them ends the command."""
    if unknown := [path for path in files if path not in found]:
        raise click.UsageError(f"{unknown[0]!r} cannot be accepted; these can: {', '.join(found) or 'none'}")
    return [found[path] for path in files or found]


def _row(change: HeldChange) -> list[str]:
    decision = change.decision
    since = "" if change.since is None else f"{datetime.fromtimestamp(change.since, UTC):%Y-%m-%d %H:%M}"
    return [decision.change.path, _version(change.finalized), _version(decision.change.version), since, decision.why]


def _version(version: FileVersion | None) -> str:
    if version is None:
        return "-"
    return f"{human_size(version.size)}, {datetime.fromtimestamp(version.mtime_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"
