"""``aurora ledger``: what was copied to the archive, what is queued, what was given up; and how to make it anew."""

from pathlib import Path

import click

from aurora_cli.console import say, show_table
from aurora_cli.context import archive_of, message_of, site_of
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.rebuild_ledger import rebuild
from aurora_platform.archive.stores import Records
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError
from aurora_platform.transport.connections import Connections


@click.command()
@click.option("--rebuild", "is_rebuilt", is_flag=True, help="Fill it from the two trees, here and there.")
@click.option("--retry", "is_retried", is_flag=True, help="Put the files that were given up into the queue again.")
@click.pass_obj
def ledger(file: Path | None, is_rebuilt: bool, is_retried: bool) -> None:
    """Show what the ledger knows: files copied to the archive, verified there, queued, and given up.

    It is no evidence, and may be lost: --rebuild lists the trees here and in the archive and takes what is in both, by
    size and mtime, for copied. What is in the archive is not touched.
    """
    site = site_of(file)
    archive = archive_of(site)
    try:
        with Records(site).ledger() as book:
            if is_rebuilt:
                _rebuild(site, archive, book)
            if is_retried:
                parked = [row.remote_path for row in book.parked(archive.name)]
                book.requeue(archive.name, parked)
                say(f"{len(parked)} files are queued again")
            _show(archive, book)
    except (AuroraError, OSError) as error:
        raise click.ClickException(message_of(error)) from None


def _rebuild(site: Site, archive: Archive, book: Ledger) -> None:
    connections = Connections.of(site)
    for group, here, both in rebuild(site, archive, book, [connections.source(host) for host in archive.hosts]):
        say(f"{group}: {here} files here, {both} of them newly found in the archive in the same version")


def _show(archive: Archive, book: Ledger) -> None:
    show_table(
        f"archive {archive.name}" + (f"; rebuilt from the trees at {book.rebuilt_at}" if book.rebuilt_at else ""),
        ["group", "files", "bytes", "copied", "verified", "queued", "given up"],
        [
            [c.group, *map(str, (c.files, c.bytes, c.copied, c.verified, c.queued, c.parked))]
            for c in book.counts(archive.name)
        ],
    )
    for row in book.parked(archive.name)[:50]:
        say(f"  given up after {row.attempts}: {row.remote_path}: {row.last_error}", "yellow")
