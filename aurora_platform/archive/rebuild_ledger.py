"""Fills a lost ledger again, from the local files and a listing of the archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.selection import SelectionCounts, catalog_item, core_items, raw_items, wxcam_items
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site
from aurora_platform.errors import ArchiveError, HostError
from aurora_platform.fs.paths import UnsafePathError, safe_relative
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import CORE_PRODUCTS, WXCAM, WXCAM_PRODUCTS, Layout, raw_group
from aurora_platform.text import Count
from aurora_platform.transport.protocols import Source


def rebuild(site: Site, archive: Archive, ledger: Ledger, sources: Sequence[Source]) -> Iterator[tuple[str, int, int]]:
    """List local files and archive, group by group; yields (group, local files, those newly found in the archive).

    Parameters
    ----------
    sources
        The archive's hosts in order of preference; the first that answers is used.

    Raises
    ------
    ArchiveError
        Where no host answers.
    """
    today = datetime.now(UTC).date()
    for name, stream in site.streams.items():
        days = {stream.start + timedelta(days=n) for n in range((today - stream.start).days + 1)}
        items = list(raw_items(stream, Layout.of(site).raw_root(name), archive.raw, days, Count()))
        listed = _list(sources, archive.raw, stream.raw, {item.remote_path for item in items})
        yield raw_group(name), len(items), ledger.rebuild(archive.name, raw_group(name), items, listed)
    for group, items in _products(site, archive, ledger):
        listed = _list(sources, archive.products, "", {item.remote_path for item in items})
        yield group, len(items), ledger.rebuild(archive.name, group, items, listed)


def _products(site: Site, archive: Archive, ledger: Ledger) -> Iterator[tuple[str, list[Item]]]:
    yield CORE_PRODUCTS, list(core_items(site, archive.products, SelectionCounts()))
    if WXCAM in site.streams:
        items = list(wxcam_items(Layout.of(site).camera.products, archive.products, None, SelectionCounts()))
        catalog = catalog_item(Layout.of(site).camera.catalog, archive.products, archive.name, ledger)
        yield WXCAM_PRODUCTS, items + ([catalog] if catalog else [])


def _list(sources: Sequence[Source], root: str, below: str, wanted: set[str]) -> Iterable[ScannedEntry[str]]:
    """List the wanted files of a directory of the archive, by absolute path."""
    if not wanted:
        return []
    errors = []
    for source in sources:
        try:
            return list(_files(source, root, below, wanted))
        except HostError as error:
            errors.append(str(error))
    raise ArchiveError(f"no host of the archive can list {root}. {'; '.join(errors)}")


def _files(source: Source, root: str, below: str, wanted: set[str]) -> Iterator[ScannedEntry[str]]:
    for entry in source.list(root, [below] if below else []).entries:
        if not entry.is_regular:
            continue
        try:
            path = f"{root.rstrip('/')}/{safe_relative(entry.path)}"
        except UnsafePathError:
            continue  # no file of ours has such a name
        if path in wanted:
            yield ScannedEntry(path, entry.version)
