"""A place of a stream: the source, the local tree or the archive, with the clients that list and read its files."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from aurora_platform.fs.versions import SYMLINK, ScannedEntry
from aurora_platform.text import Count
from aurora_platform.transport.listing import ListedEntry, Listing
from aurora_platform.transport.protocols import Hasher, Source, Transfer


@dataclass(frozen=True)
class Place:
    """Access to one of the three places: the root of a tree, the stream's directory in it, and clients to read it."""

    host: str
    """The name of the host, for the report."""
    source: Source
    hasher: Hasher
    root: str
    """Must exist: a missing root means an unmounted disk, and does not prove that files are missing."""
    below: str = ""
    """The stream's directory below the root, where it need not exist yet."""
    transfer: Transfer | None = None
    """Fetches files of the place; None where nobody has to."""

    def list(self, directories: Sequence[str], named: Sequence[str] = (), without: Sequence[str] = ()) -> Listing:
        """List the files below the root, relative to the stream's own directory; ``without`` patterns of paths."""
        if not self.below:
            return self.source.list(self.root, directories, without=without, named=named)
        prefix = f"{self.below}/"
        # With a trailing slash: the directory may be a symlink to another disk.
        listing = self.source.list(
            self.root,
            [prefix + directory for directory in directories] or [prefix],
            without=[prefix + pattern for pattern in without],
            named=named,
        )
        return replace(listing, entries=_below(listing.entries, prefix.encode()))

    def list_without(self, patterns: Sequence[str]) -> Listing:
        """List the stream's files, except those whose relative path matches a pattern (``fnmatch``).

        Only for a place whose root is the stream's own directory.
        """
        return self.source.list(self.root, [], patterns)

    @property
    def base(self) -> str:
        """The stream's own directory."""
        return f"{self.root.rstrip('/')}/{self.below}".rstrip("/")


def unreadable_in(listing: Listing) -> str | None:
    """Describe the directories that a consumed listing could not read; None without any."""
    unreadable = listing.unreadable
    return f"{unreadable.total} directories not readable: {unreadable.first[0]}" if unreadable.total else None


def _below(entries: Generator[ListedEntry], prefix: bytes) -> Generator[ListedEntry]:
    with closing(entries):
        for entry in entries:
            if entry.path.startswith(prefix) and entry.path != prefix:
                yield ScannedEntry(entry.path[len(prefix) :], entry.version, entry.kind)


def joined(first: Listing, second: Listing) -> Listing:
    """Two listings of the same place as one. Symlinks are in both, whatever their names, and come once."""
    unreadable = Count()

    def entries() -> Generator[ListedEntry]:
        links = set[bytes]()
        for listing in (first, second):
            with closing(listing.entries):
                for entry in listing.entries:
                    if entry.kind == SYMLINK:
                        if entry.path in links:
                            continue
                        links.add(entry.path)
                    yield entry
            unreadable.add_counted(listing.unreadable)

    return Listing(first.clock_ns, entries(), unreadable)
