"""The two places of a collection of products: the files on this machine, and their copies in the archive.

What belongs to a collection is what its push selects (:mod:`aurora_platform.archive.selection`). The paths are relative
to :meth:`aurora_platform.layout.ArchiveLayout.collection_root`; those of registered files are the remote paths without
the slash in front, because each may have any local path.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.locations import archive_access, local_access
from aurora_platform.archive.selection import (
    SelectionCounts,
    catalog_item,
    core_items,
    registered_items,
    wxcam_items,
)
from aurora_platform.archive.stores import Records
from aurora_platform.archive.upload_tree import UnusableError, add_to_upload_tree, database_mtime
from aurora_platform.archive.verify_days import Place
from aurora_platform.errors import HostRefusedError
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import FileVersion, ScannedEntry, in_parts
from aurora_platform.layout import (
    CATALOG,
    CORE_PRODUCTS,
    INCOMING,
    OUTGOING,
    REGISTERED,
    WXCAM,
    WXCAM_PRODUCTS,
    ArchiveLayout,
    Layout,
)
from aurora_platform.transport.checksums import Checksum, failed_checksum
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.listing import ListedEntry

_MOST_NAMED_BYTES = 50_000  # of file names on one command line of a remote shell


class LocalProducts(Protocol):
    """The files of a collection on this machine."""

    @property
    def base(self) -> str:
        """Where they are; other checksums of the evidence are of another place."""
        ...

    def items(self, ledger: Ledger, counts: SelectionCounts) -> Iterator[tuple[str, Item]]:
        """Yield each file with its path; :class:`HostRefusedError` where the place cannot be seen."""
        ...

    def checksums(self, paths: Sequence[str]) -> Iterator[Checksum]:
        """Hash files that :meth:`items` has yielded."""
        ...

    def file(self, path: str) -> Path:
        """The local file of a path."""
        ...

    @property
    def databases(self) -> Sequence[str]:
        """The paths of databases: their versions and checksums are those of a backup."""
        ...


@dataclass(frozen=True)
class ProductTree:
    """The files of a collection that are in one tree: the core products, or those of the camera."""

    records: Records
    collection: str
    place: Place

    @property
    def base(self) -> str:
        return self.place.base

    def file(self, path: str) -> Path:
        return Path(self.base, path)

    def items(self, ledger: Ledger, counts: SelectionCounts) -> Iterator[tuple[str, Item]]:
        if not os.path.isdir(self.place.root):
            raise HostRefusedError(f"{self.place.root}: no such directory. Is its disk mounted?")
        root = ArchiveLayout.of(self.records.archive).collection_root(self.collection)
        for item in self._items(ledger, counts):
            yield item.remote_path.removeprefix(f"{root}/"), item
        if counts.unreadable.total:
            first = counts.unreadable.first[0]
            raise HostRefusedError(f"{counts.unreadable.total} directories not readable: {first}")

    def _items(self, ledger: Ledger, counts: SelectionCounts) -> Iterator[Item]:
        site, archive = self.records.site, self.records.archive
        if self.collection == CORE_PRODUCTS:
            yield from core_items(site, archive.products, counts)
            return
        camera = Layout.of(site).camera
        yield from wxcam_items(camera.products, archive.products, None, counts)
        if (catalog := catalog_item(camera.catalog, archive.products, archive.name, ledger)) is not None:
            yield catalog

    def checksums(self, paths: Sequence[str]) -> Iterator[Checksum]:
        plain = [path for path in paths if path not in self.databases]
        if plain:
            yield from self.place.hasher.checksums(self.base, plain)
        yield from (self._backup_checksum(path) for path in self.databases if path in paths)

    @property
    def databases(self) -> Sequence[str]:
        return (CATALOG,) if self.collection == WXCAM_PRODUCTS else ()

    def _backup_checksum(self, path: str) -> Checksum:
        """Hash a new backup of a database, as the archive has one: its bytes are those of the pages."""
        database = self.file(path)
        staging = Staging(Path(self.base, OUTGOING), self.records.layout.locks, self.records.site.limits.lock)
        try:
            with staging.claim(f"hash.{self.collection}") as target:
                mtime_ns = database_mtime(database)
                item = Item(str(database), path, FileVersion(0, mtime_ns))
                made = add_to_upload_tree(item, target, in_place=False, is_database=True)
                with target.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, UnusableError) as error:
            return failed_checksum(path, str(error))
        assert made is not None  # None is for a file that is written while it is copied
        return Checksum(path, FileVersion(made.version.size, mtime_ns), sha256)


@dataclass(frozen=True)
class RegisteredFiles:
    """The files that other programs have registered, wherever they are on this machine."""

    records: Records
    place: Place
    """This machine, from its root directory."""
    _local: dict[str, str] = field(default_factory=dict)

    base = "/"
    databases = ()

    def file(self, path: str) -> Path:
        return Path(self._local[path])

    def items(self, ledger: Ledger, counts: SelectionCounts) -> Iterator[tuple[str, Item]]:
        for item in ledger.items(self.records.archive.name, REGISTERED):
            path = item.remote_path.lstrip("/")
            self._local[path] = item.local_path
            if not os.path.lexists(item.local_path):
                continue
            if os.path.islink(item.local_path) or not os.path.isfile(item.local_path):
                counts.refused.add(item.local_path)
                continue
            [current] = registered_items([item])
            yield path, current

    def checksums(self, paths: Sequence[str]) -> Iterator[Checksum]:
        """A link to the directory of a file is followed, a link in the place of a file is not."""
        local = dict[str, str]()
        for path in paths:
            file = self.file(path)
            local[os.path.join(os.path.realpath(file.parent), file.name).lstrip("/")] = path
        for read in self.place.hasher.checksums(self.base, list(local)):
            yield replace(read, path=local[read.path])


class ArchivedProducts(Protocol):
    """The copies of a collection in the archive, by one of its hosts."""

    @property
    def host(self) -> str:
        """The name of the host, for the report."""
        ...

    @property
    def base(self) -> str:
        """The directory to which the paths are relative."""
        ...

    def entries(self, wanted: Iterable[str]) -> Iterator[ScannedEntry[bytes]]:
        """Yield the entries of the collection; of registered files only those that are wanted."""
        ...

    def checksums(self, paths: Sequence[str]) -> Iterator[Checksum]:
        """Hash copies."""
        ...


@dataclass(frozen=True)
class ArchivedTree:
    """The copies of a collection that are in one tree."""

    place: Place
    without: Sequence[str]
    """Directories of the tree that belong to others."""

    @property
    def host(self) -> str:
        return self.place.host

    @property
    def base(self) -> str:
        return self.place.base

    def entries(self, wanted: Iterable[str]) -> Iterator[ListedEntry]:
        listing = self.place.list([], without=self.without)
        yield from listing.entries
        if listing.unreadable.total:
            first = listing.unreadable.first[0]
            raise HostRefusedError(f"{listing.unreadable.total} directories not readable: {first}")

    def checksums(self, paths: Sequence[str]) -> Iterator[Checksum]:
        return self.place.hasher.checksums(self.base, paths)


@dataclass(frozen=True)
class ArchivedByName:
    """The copies of registered files, which may be anywhere below the archive's directories."""

    place: Place
    roots: Sequence[str]
    base = "/"

    @property
    def host(self) -> str:
        return self.place.host

    def entries(self, wanted: Iterable[str]) -> Iterator[ListedEntry]:
        for root, paths in self.by_root(wanted).items():
            for names in in_parts(paths, lambda path: len(path.encode()), most_bytes=_MOST_NAMED_BYTES):
                for entry in self.place.source.list(root, names).entries:
                    yield entry._replace(path=os.fsencode(f"{root}/".lstrip("/")) + entry.path)

    def checksums(self, paths: Sequence[str]) -> Iterator[Checksum]:
        for root, names in self.by_root(paths).items():
            for read in self.place.hasher.checksums(root, names):
                yield replace(read, path=f"{root}/{read.path}".lstrip("/"))

    def by_root(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Return directory of the archive -> the paths below it, relative to it; others have no copy."""
        found = dict[str, list[str]]()
        for path in paths:
            above = [root for root in self.roots if PurePosixPath(f"/{path}").is_relative_to(root)]
            if above:
                root = max(above, key=len).rstrip("/")
                found.setdefault(root, []).append(f"/{path}".removeprefix(f"{root}/"))
        return found


def product_places(
    records: Records, collection: str, connections: Connections
) -> tuple[LocalProducts, Sequence[ArchivedProducts]]:
    """Return the two places of a collection; the archive by each of its hosts, in the site's order of preference."""
    site, layout = records.site, ArchiveLayout.of(records.archive)
    if collection == REGISTERED:
        local = local_access(connections, "/")
        copies = archive_access(site, connections, layout.products)
        return RegisteredFiles(records, local), [ArchivedByName(place, layout.roots) for place in copies]
    below = WXCAM if collection == WXCAM_PRODUCTS else ""
    tree = ProductTree(records, collection, local_access(connections, str(site.paths.products), below))
    own = f"{layout.collection_root(collection)}/"
    nested = [root.removeprefix(own) for root in layout.roots if root.startswith(own)]
    without = nested if below else [WXCAM, INCOMING, *nested]
    return tree, [ArchivedTree(place, without) for place in archive_access(site, connections, layout.products, below)]
