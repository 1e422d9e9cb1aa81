"""Selects the files for the archive and their destinations: raw files of a stream, camera products, other products.

Only regular files with valid names are selected; other entries are counted as refused, with their names. Names that
begin with a dot are selected too: a Zarr v2 store keeps its metadata in such files. Left out are only the platform's
own names at the root of a product tree; they are counted, as are empty directories, which no transfer makes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.upload_tree import database_mtime
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.fs.atomic import is_copy_name
from aurora_platform.fs.sqlite_errors import damage_mark
from aurora_platform.fs.versions import DIRECTORY, FileVersion
from aurora_platform.layout import (
    CATALOG,
    CLIPS,
    CORE_PRODUCTS,
    OPS_MONITOR,
    OUR_DIRECTORIES,
    STAGING,
    THUMBNAILS,
    VIDEOS,
    WXCAM,
    WXCAM_PRODUCTS,
    CameraLayout,
    compact,
)
from aurora_platform.streams.classify import Classifier, Directories, why_unusable
from aurora_platform.text import Count
from aurora_platform.transport.listing import ListedEntry, LocalSource
from aurora_platform.transport.name_store import NameStore

# The platform's own names at the root of the camera's products. The archive has the images that the pixels are made of.
_OURS_OF_CAMERA = OUR_DIRECTORIES | {CLIPS, CameraLayout(Path(), Path()).store.name, f"{CATALOG}-wal", f"{CATALOG}-shm"}
_OURS_OF_CAMERA |= {damage_mark(Path(CATALOG)).name}
# The health files are staged beside themselves.
_OURS_BELOW = tuple(f"{OPS_MONITOR}/{part}/{STAGING}/" for part in ("health", "alerts"))
_DATED = {VIDEOS: re.compile(r"([0-9]{8})\.mp4"), THUMBNAILS: re.compile("([0-9]{8})")}


@dataclass
class SelectionCounts:
    """What a selection of products does not copy, with the first names."""

    refused: Count = field(default_factory=Count)
    """Entries that may not be copied: links, special files, names that are not valid, unreadable directories."""
    left_out: Count = field(default_factory=Count)
    """The platform's own entries, which the archive does not need."""
    empty_directories: Count = field(default_factory=Count)
    """Directories without any entry: the archive has files and their directories only."""
    unreadable: Count = field(default_factory=Count)
    """The refused directories that could not be read: their files are unknown."""


def raw_items(
    stream: Stream,
    raw_root: Path,
    archive_raw: str,
    days: Collection[date],
    refused: Count,
    names: NameStore | None = None,
) -> Iterator[Item]:
    """Yield the local files of some UTC days of a stream.

    Parameters
    ----------
    stream
        Its settings; with ``day_dirs`` only the directories of these days are read.
    raw_root
        Its local directory (``Layout.of(site).raw_root(name)``).
    archive_raw
        ``archive.raw``.
    days
        UTC days.
    refused
        Counts the entries that may not be copied.
    names
        The stored names of local directories; without it, the directory is read.
    """
    if not raw_root.is_dir():  # nothing is mirrored yet
        return
    directories = Directories(stream, sorted(days))
    listing = directories.list_source(LocalSource(store=names), str(raw_root))
    classify = Classifier(stream, directories, listing.clock_ns)
    for entry in listing.entries:
        classified = classify(entry)
        if classified.reason is not None and (classified.day is None or classified.day in days):
            refused.add(entry.path)
        elif classified.file is not None and classified.day in days:
            yield _item(entry, raw_root, f"{archive_raw}/{stream.raw}", classified.day)
    _count_unreadable(listing.unreadable, refused)


def wxcam_items(
    products: Path, archive_products: str, days: Collection[date] | None, counts: SelectionCounts
) -> Iterator[Item]:
    """Yield the camera's products of some UTC days (None: of all days), and those without a day.

    Videos and thumbnails have a day. Everything else in its directory has none: the newest video of each camera, and
    files of other programs. The catalogue is :func:`catalog_item`. ``products`` is the camera's own directory,
    ``archive_products`` that of all products in the archive.
    """
    below = list(_camera_entries(products, None if days is None else {compact(day) for day in days}, counts))
    for entry, path in _products(products, below, counts):
        yield _item(entry, products, f"{archive_products}/{WXCAM}", camera_product_day(path))


def _camera_entries(products: Path, names: Collection[str] | None, counts: SelectionCounts) -> Iterator[str]:
    """Yield what to list: entries without a day, and those of the days with these names (None: of all)."""
    for name in _names(products):
        if name in _OURS_OF_CAMERA:
            counts.left_out.add(name)
        elif name in _DATED and _is_directory(products / name):
            yield from _dated_entries(products, name, names)
        elif name != CATALOG:
            yield name


def _dated_entries(products: Path, kind: str, names: Collection[str] | None) -> Iterator[str]:
    cameras = _names(products / kind)
    if names is None or not cameras:
        yield kind
        return
    for camera in cameras:
        found = _names(products / kind / camera) if _is_directory(products / kind / camera) else []
        paths = (f"{kind}/{camera}/{name}" for name in found)
        yield from (path for path in paths if (day := camera_product_day(path)) is None or compact(day) in names)
        if not found:  # a file, a link, or an empty directory
            yield f"{kind}/{camera}"


def camera_product_day(path: str) -> date | None:
    """Return the UTC day of a product of the camera, by its path in the camera's directory; None where it has none."""
    kind, _, rest = path.partition("/")
    name = rest.split("/")[1:2]
    match = _DATED[kind].fullmatch(name[0]) if kind in _DATED and name else None
    try:
        return None if match is None else datetime.strptime(match[1], "%Y%m%d").date()  # noqa: DTZ007
    except ValueError:  # eight digits that are no day
        return None


def core_items(site: Site, archive_products: str, counts: SelectionCounts) -> Iterator[Item]:
    """Yield all products except the camera's: every other file in ``paths.products``.

    Left out are the platform's own directories, and the camera's directory where the site has no camera stream, so that
    no push copies it.
    """
    root = site.paths.products
    below = []
    for name in _names(root):
        if name in OUR_DIRECTORIES or (name == WXCAM and WXCAM not in site.streams):
            counts.left_out.add(name)
        elif name != WXCAM:
            below.append(name)
    for entry, path in _products(root, below, counts):
        if path.startswith(_OURS_BELOW):
            counts.left_out.add(path)
        else:
            yield _item(entry, root, archive_products, None)


def collection_of(path: str, streams: Collection[str]) -> str | None:
    """Return the collection that has a file of ``paths.products``, by its relative path; None where it is left out."""
    first, _, rest = path.partition("/")
    if first == WXCAM:
        is_left_out = WXCAM not in streams or rest.partition("/")[0] in _OURS_OF_CAMERA
        return None if is_left_out else WXCAM_PRODUCTS
    return None if first in OUR_DIRECTORIES or path.startswith(_OURS_BELOW) else CORE_PRODUCTS


def catalog_item(catalog: Path, archive_products: str, archive: str, ledger: Ledger) -> Item | None:
    """Return the camera's catalogue; None where it does not exist yet.

    The archive gets a backup, whose size is not known before it is made. So where the ledger has a row of this mtime,
    its size is used.
    """
    remote_path = f"{archive_products}/{WXCAM}/{CATALOG}"
    try:
        size, mtime = catalog.stat().st_size, database_mtime(catalog)
    except FileNotFoundError:
        return None
    row = ledger.row(archive, remote_path)
    if row and row.version.mtime_ns == mtime:
        size = row.version.size
    return Item(str(catalog), remote_path, FileVersion(size, mtime))


def registered_items(queued: Sequence[Item]) -> list[Item]:
    """Return registered files with their current versions; a file that is gone keeps its queued version."""
    items = []
    for item in queued:
        try:
            status = os.lstat(item.local_path)
        except OSError:
            items.append(item)
            continue
        items.append(replace(item, version=FileVersion.of(status)))
    return items


def _products(root: Path, below: Sequence[str], counts: SelectionCounts) -> Iterator[tuple[ListedEntry, str]]:
    """Yield the files below some entries of a product directory, with their relative paths."""
    if not below or not root.is_dir():  # without entries, a listing would have the whole directory
        return
    listing = LocalSource().list(str(root), below)
    empty = dict[bytes, None]()  # in the order of the listing, which has each directory before its entries
    for entry in listing.entries:
        empty.pop(entry.path.rpartition(b"/")[0], None)
        if entry.kind == DIRECTORY:
            empty[entry.path] = None
        elif b"/." in entry.path and any(map(is_copy_name, os.fsdecode(entry.path).split("/"))):
            counts.left_out.add(entry.path)
        elif why_unusable(entry) is not None:
            counts.refused.add(entry.path)
        else:
            yield entry, entry.path.decode()
    for path in empty:
        is_ours = f"{os.fsdecode(path)}/".startswith(_OURS_BELOW)
        (counts.left_out if is_ours else counts.empty_directories).add(path)
    _count_unreadable(listing.unreadable, counts.refused)
    _count_unreadable(listing.unreadable, counts.unreadable)


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _names(root: Path) -> list[str]:
    try:
        return sorted(os.listdir(root))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _item(entry: ListedEntry, root: Path, destination: str, day: date | None) -> Item:
    path = entry.path.decode()
    return Item(os.path.join(root, path), f"{destination}/{path}", entry.version, day)


def _count_unreadable(unreadable: Count, refused: Count) -> None:
    for name in unreadable.first:
        refused.add(name)
    refused.total += unreadable.total - len(unreadable.first)
