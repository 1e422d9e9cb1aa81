"""Sending files that a finalization vouches for: what they replace in the archive is kept, outside of its roots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.replacement_log import Earlier
from aurora_platform.archive.transfer import REPAIR
from aurora_platform.config.archive import Archive
from aurora_platform.errors import HostError
from aurora_platform.fs.versions import ScannedEntry, in_parts
from aurora_platform.layout import ArchiveLayout
from aurora_platform.text import Count
from aurora_platform.transport.protocols import ArchiveHost, TransferResult

_MOST_NAMED_BYTES = 50_000  # names on one command line of a far shell
_NO_FILE = "something else than a file stands there under its name"


@dataclass
class Replacing:
    """The transfers of one push that keep what they replace, and what is known of earlier ones."""

    archive: Archive
    ledger: Ledger
    lane: str
    is_asked_for: bool
    """Whether somebody asks for just these files: then they are sent also where this version is there."""
    log: Callable[[str], None]
    replaced: Count = field(default_factory=Count)
    kept_in: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def send(
        self,
        host: ArchiveHost,
        root: str,
        files: Mapping[str, tuple[str, Item]],
        send: Callable[[Sequence[str], str | None], TransferResult],
    ) -> TransferResult:
        """Send files. What stands in the way of one is a complaint of the transfer.

        What is there in this very version is not sent again: a copy of each would be kept.

        Parameters
        ----------
        host, root
            The archive's host and its directory.
        files
            Path below ``root`` -> the ledger's group and the file.
        send
            Sends some of these paths, and keeps what they replace in a directory, where one is given.
        """
        self._settle(host, {group for group, _ in files.values()})
        before = entries_there(host, root, list(files))
        in_the_way = {path for path, there in before.items() if not there.is_regular}
        paths = [
            path
            for path, (_, item) in files.items()
            if path not in in_the_way and (self.is_asked_for or not _is_there(before.get(path), item))
        ]
        complaints = [f'{_NO_FILE}: "{path}"' for path in sorted(in_the_way)]
        earlier = [path for path in paths if path in before]
        if not earlier:
            return _with(send(paths, None) if paths else TransferResult(0, 0), complaints)
        # One for each attempt: a second one in the same would put what the first has sent over what it has kept.
        keep_in = f"{ArchiveLayout.of(self.archive).replaced}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}_{self.lane}"
        self.log(f"{len(earlier)} of them replace what a finalization vouches for; that is kept in {keep_in}")
        groups = {files[path][0] for path in earlier}
        for group in groups:
            versions = [
                Earlier(files[path][1].remote_path, path, before[path].version.size)
                for path in earlier
                if files[path][0] == group
            ]
            self.ledger.replaced.begin(self.archive.name, group, keep_in, versions)
        try:
            return _with(send(paths, keep_in), complaints)
        finally:
            with suppress(HostError):  # what cannot be seen now is settled by the next push
                self._settle(host, groups)

    def _settle(self, host: ArchiveHost, groups: set[str]) -> None:
        """Find out of which files earlier versions are kept: of those that are there whole."""
        # From above: where nothing was kept, the directory may not be there.
        above = PurePosixPath(ArchiveLayout.of(self.archive).replaced).parent
        for group in groups:
            for keep_in, files in self.ledger.replaced.open(self.archive.name, group).items():
                try:
                    place = PurePosixPath(keep_in).relative_to(above)
                except ValueError:  # the site file names another directory since
                    continue
                there = entries_there(host, str(above), [f"{place}/{file.kept_path}" for file in files])
                whole = []
                for file in files:
                    found = there.get(f"{place}/{file.kept_path}")
                    if found is not None and found.version.size == file.size:
                        whole.append(file.remote_path)
                        self.replaced.add(file.remote_path)
                    elif found is not None:
                        self.notes.append(f"{keep_in}/{file.kept_path} is no whole copy, and nothing was replaced")
                # Who has asked for it need not be told by a check.
                is_told = not place.name.partition("_")[2].startswith(REPAIR)
                self.ledger.replaced.settle(self.archive.name, keep_in, whole, is_told=is_told)
                self.kept_in += [keep_in] if whole else []


def _with(sent: TransferResult, complaints: Sequence[str]) -> TransferResult:
    return replace(sent, complaints=[*complaints, *sent.complaints])


def _is_there(there: ScannedEntry[str] | None, item: Item) -> bool:
    return there is not None and there.version.same_as(item.version)


def files_there(host: ArchiveHost, root: str, paths: Sequence[str]) -> dict[str, ScannedEntry[str]]:
    """The files of some paths that are there, each looked at by name."""
    return {path: entry for path, entry in entries_there(host, root, paths).items() if entry.is_regular}


def entries_there(host: ArchiveHost, root: str, paths: Sequence[str]) -> dict[str, ScannedEntry[str]]:
    """What stands there under some paths, whatever it is."""
    found, wanted = {}, set(paths)
    for names in in_parts(paths, lambda path: len(path.encode()), most_bytes=_MOST_NAMED_BYTES):
        for entry in host.list(root, names).entries:
            path = entry.path.decode("utf-8", "surrogateescape")
            if path in wanted:  # below a directory there may be more
                found[path] = ScannedEntry(path, entry.version, entry.kind)
    return found
