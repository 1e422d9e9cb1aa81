"""``aurora evidence``: show the evidence, and make it anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from aurora_cli.console import print_line, print_table
from aurora_cli.context import describe_error, load_site_or_exit, open_state_or_exit, require_archive
from aurora_platform.archive.fixity import HOLDING
from aurora_platform.archive.fixity_tables import SCHEMA
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.errors import AuroraError
from aurora_platform.fs.sqlite_aside import inode_of, move_aside, what_is_wrong
from aurora_platform.fs.sqlite_errors import explaining
from aurora_platform.layout import Layout
from aurora_platform.text import human_size


@click.command()
@click.option("--rebuild", "is_rebuilt", is_flag=True, help="Show what making it anew would do.")
@click.option("--apply", "is_applied", is_flag=True, help="With --rebuild: do it.")
@click.pass_obj
def evidence(file: Path | None, is_rebuilt: bool, is_applied: bool) -> None:
    """Show the evidence: what is recorded of the files of each stream.

    The evidence may be lost: what was finalized is in `paths.manifests` and in the archive. With --rebuild --apply it
    is moved to `damaged` below `paths.state`; the next verifications make it anew, and read every file once more, here,
    on the instrument hosts and in the archive.

    \b
    Exit codes: 0 it is whole, or was moved aside; 1 it is damaged, or an error (see the last line).
    Example: aurora evidence --rebuild
    """
    site = load_site_or_exit(file)
    require_archive(site)
    if is_applied and not is_rebuilt:
        raise click.UsageError("--apply is for --rebuild")
    path = Layout.of(site).fixity
    try:
        if is_rebuilt:
            if is_applied:
                open_state_or_exit(site)
            _rebuild(path, is_applied=is_applied)
        else:
            _show(path, ReadOnlyRecords(site))
    except (AuroraError, OSError) as error:
        raise click.ClickException(describe_error(error)) from None


def _show(path: Path, records: ReadOnlyRecords) -> None:
    with records.evidence() as evidence:
        rows = evidence.count_files()
    sides = {"source": "source", "local": "local", "gws": "archive"}
    print_table(
        str(path),
        ["stream", "side", "files", "with a checksum"],
        [[stream, sides.get(side, side), str(files), str(read)] for stream, side, files, read in rows],
    )
    with explaining(path, replace(HOLDING, leaves_mark=False)):
        reason = what_is_wrong(path, SCHEMA)
    if reason:
        step = f"`{HOLDING.rebuild}` shows what making it anew would do"
        raise click.ClickException(f"{path} is damaged: {reason}. {step}")
    print_line(f"{human_size(path.stat().st_size)}, every page was read", "green")


def _rebuild(path: Path, *, is_applied: bool) -> None:
    inode = inode_of(path)
    if not inode:
        print_line(f"{path}: there is none; the next verification makes it")
        return
    print_line(f"would move {path} ({human_size(path.stat().st_size)}) to {path.parent / 'damaged'}")
    print_line("the next verifications would read every file once more, within the budgets of the streams (`verify`)")
    print_line("decisions of `aurora accept` that no finalization has yet would have to be made again")
    if not is_applied:
        print_line("nothing was changed; with --apply it is moved")
        return
    place = move_aside(path, inode, "aurora evidence --rebuild")
    print_line(f"moved to {place}; next: materialize manifests/<stream>, or wait for the schedule", "green")
