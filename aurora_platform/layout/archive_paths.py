"""Paths in the archive, absolute on its hosts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from aurora_platform.layout.keys import CORE_PRODUCTS, WXCAM, WXCAM_PRODUCTS
from aurora_platform.layout.paths import CATALOG, INCOMING, RawDirectory


class ArchiveRoots(Protocol):
    """The directories of an archive, from the site file (:class:`aurora_platform.config.archive.Archive`)."""

    @property
    def raw(self) -> str: ...
    @property
    def products(self) -> str: ...
    @property
    def manifests(self) -> str | None: ...
    @property
    def versions(self) -> str | None: ...


@dataclass(frozen=True)
class ArchiveLayout:
    """The directories of an archive, absolute on its hosts."""

    raw: str
    products: str
    manifests: str
    versions: str
    """For earlier versions of replaced files; outside of all :attr:`roots`."""

    @classmethod
    def of(cls, archive: ArchiveRoots) -> ArchiveLayout:
        """The layout of an archive; directories that the site file does not name are beside its ``raw``."""
        manifests = archive.manifests or str(PurePosixPath(archive.raw).parent / "manifests")
        layout = cls(
            archive.raw, archive.products, manifests, archive.versions or f"{archive.raw.rstrip('/')}.versions"
        )
        versions = layout.versions
        while root := layout.root_of(versions):
            versions = f"{root.rstrip('/')}.versions"
        return cls(layout.raw, layout.products, layout.manifests, versions)

    @property
    def roots(self) -> tuple[str, ...]:
        """The directories that files are copied to."""
        return tuple(sorted({self.raw, self.products, self.manifests}))

    def collection_root(self, collection: str) -> str:
        """The directory to which the paths of a collection are relative; that of registered files is the root."""
        return {CORE_PRODUCTS: self.products, WXCAM_PRODUCTS: self.camera_products}.get(collection, "/")

    def root_of(self, path: str) -> str | None:
        """The root (of :attr:`roots`) above a path, or None; the innermost, where one contains another."""
        return max((root for root in self.roots if PurePosixPath(path).is_relative_to(root)), key=len, default=None)

    def destination_of(self, path: str) -> str | None:
        """The root that a file is copied to by its path; None outside of all, and among the files in transfer."""
        root = self.root_of(path)
        is_outside = root is None or path.removeprefix(root).lstrip("/").split("/")[0] in ("", INCOMING)
        return None if is_outside else root

    def raw_root(self, stream: RawDirectory) -> str:
        """The copies of a stream in the archive."""
        return f"{self.raw}/{stream.raw}"

    @property
    def finalized(self) -> str:
        """The finalizations of all streams and collections, with their manifests."""
        return f"{self.manifests}/finalized"

    @property
    def camera_products(self) -> str:
        return f"{self.products}/{WXCAM}"

    @property
    def catalog(self) -> str:
        return f"{self.camera_products}/{CATALOG}"

    @staticmethod
    def work(root: str, lane: str) -> str:
        """The directory for incomplete files of a push to ``root``."""
        return f"{root.rstrip('/')}/{INCOMING}/{lane}"
