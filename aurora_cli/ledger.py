"""``aurora ledger``: show which files were copied to the archive, are queued, or are parked; and rebuild the ledger."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from aurora_cli.console import print_line, print_table
from aurora_cli.context import describe_error, load_site_or_exit, require_archive
from aurora_platform.archive.ledger import HOLDING, Ledger
from aurora_platform.archive.ledger_tables import SCHEMA
from aurora_platform.archive.rebuild_ledger import rebuild
from aurora_platform.archive.stores import Records
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError, LedgerError
from aurora_platform.fs.sqlite_aside import inode_of, move_aside, what_is_wrong
from aurora_platform.fs.sqlite_errors import describe, is_damage
from aurora_platform.layout import ArchiveLayout, Layout
from aurora_platform.text import counted, human_size
from aurora_platform.transport.connections import Connections


@click.command()
@click.option("--rebuild", "is_rebuilt", is_flag=True, help="Fill it from the local and the archive tree.")
@click.option("--dry-run", is_flag=True, help="With --rebuild: only show what would be found.")
@click.option("--retry", "is_retried", is_flag=True, help="Queue the parked files again.")
@click.pass_obj
def ledger(file: Path | None, is_rebuilt: bool, dry_run: bool, is_retried: bool) -> None:
    """Show the ledger: files copied to the archive, verified, queued and parked.

    A file is parked when its copy has failed too often (`archive.max_attempts`). The ledger is not evidence and may be
    lost: --rebuild lists the local and the archive tree, and records a file as copied if size and mtime are the same in
    both. Writes the ledger in `paths.state` alone; the archive is never changed.

    \b
    Exit codes: 0 done; 1 an error (see the last line).
    Example: aurora ledger --retry
    """
    site = load_site_or_exit(file)
    archive = require_archive(site)
    if dry_run and (not is_rebuilt or is_retried):
        raise click.UsageError("--dry-run is for --rebuild alone")
    try:
        if is_rebuilt and not dry_run:
            _move_aside_if_damaged(Layout.of(site).ledger)
        with _copied_ledger(site) if dry_run else Records(site).ledger() as ledger:
            if is_rebuilt:
                _rebuild(site, archive, ledger)
            if is_retried:
                parked = [row.remote_path for row in ledger.parked(archive.name)]
                ledger.requeue(archive.name, parked)
                print_line(f"queued {len(parked)} parked files again")
            _show(archive, ledger)
    except (AuroraError, OSError) as error:
        raise click.ClickException(describe_error(error)) from None


def _move_aside_if_damaged(path: Path) -> None:
    inode = inode_of(path)
    if inode and (reason := what_is_wrong(path, SCHEMA)):
        print_line(f"{path} is damaged ({reason}): moved to {move_aside(path, inode, reason)}", "yellow")


@contextmanager
def _copied_ledger(site: Site) -> Iterator[Ledger]:
    """A copy of the ledger that is removed at the end; an empty one where it cannot be read."""
    source = Layout.of(site).ledger
    with tempfile.TemporaryDirectory(prefix="aurora-ledger-") as directory:
        copy = Path(directory) / source.name
        try:
            with (
                closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as old,
                closing(sqlite3.connect(copy)) as new,
            ):
                old.backup(new)
        except sqlite3.Error as error:
            if source.exists() and not is_damage(error):
                raise LedgerError(describe(error, source, HOLDING)) from None
            print_line("there is no ledger that can be read: a rebuild would begin with an empty one", "yellow")
            copy.unlink(missing_ok=True)
        with Ledger(copy) as ledger:
            ledger.add_archive(require_archive(site).name)
            yield ledger
    print_line("nothing was changed")


def _rebuild(site: Site, archive: Archive, ledger: Ledger) -> None:
    connections = Connections.of(site)
    for group, local, both in rebuild(site, archive, ledger, [connections.source(host) for host in archive.hosts]):
        print_line(f"{group}: {local} local files, {both} of them newly found in the archive in the same version")


def _show(archive: Archive, ledger: Ledger) -> None:
    print_table(
        f"archive {archive.name}" + (f"; rebuilt from the trees at {ledger.rebuilt_at}" if ledger.rebuilt_at else ""),
        ["group", "files", "bytes", "copied", "verified", "queued", "parked"],
        [
            [c.group, *map(str, (c.files, c.bytes, c.copied, c.verified, c.queued, c.parked))]
            for c in ledger.counts(archive.name)
        ],
    )
    if (kept := ledger.replaced.kept(archive.name)).files:
        versions = ArchiveLayout.of(archive).versions
        print_line(f"  {counted(kept.files, 'earlier version')}, {human_size(kept.bytes)}, kept in {versions}")
    for name, files in ledger.count_unknown(archive.name).items():
        print_line(f"  {counted(files, 'file')} registered for {name!r}, which is not the archive of this site", "red")
    for row in ledger.parked(archive.name)[:50]:
        print_line(f"  parked after {counted(row.attempts, 'attempt')}: {row.remote_path}: {row.last_error}", "yellow")
