"""Sends files that a finalization vouches for, and keeps the versions they replace, outside of the archive's roots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.replacement_log import UNKNOWN, EarlierVersion
from aurora_platform.archive.transfer import REPAIR
from aurora_platform.config.archive import Archive
from aurora_platform.errors import HostError
from aurora_platform.fs.versions import ScannedEntry, in_parts
from aurora_platform.layout import ArchiveLayout
from aurora_platform.text import Count
from aurora_platform.transport.protocols import ArchiveHost, TransferResult

_MOST_NAMED_BYTES = 50_000  # of file names on one command line of a remote shell
_NOT_A_FILE = "the archive has an entry of this name that is not a file"


@dataclass
class ReplacingTransfers:
    """The transfers of one push that keep the versions they replace; also settles the records of earlier pushes."""

    archive: Archive
    ledger: Ledger
    lane: str
    is_requested: bool
    """Whether an operator requested exactly these files: then they are sent even where the archive has this version."""
    log: Callable[[str], None]
    withdraw: Callable[[Sequence[Item]], None] | None = None
    """Called with the files that are about to be replaced."""
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
        """Send files; an entry that is not a file and blocks a path becomes a message of the transfer.

        Files that the archive has in this version are not sent again: that would keep a copy of each.

        Parameters
        ----------
        host, root
            The archive's host and the directory on it.
        files
            Path below ``root`` -> the ledger's group and the file.
        send
            Sends some of these paths; where a directory is given, keeps the replaced versions in it.
        """
        self._settle(host, {group for group, _ in files.values()})
        before = list_entries(host, root, list(files))
        blocked = {path for path, entry in before.items() if not entry.is_regular}
        paths = [
            path
            for path, (_, item) in files.items()
            if path not in blocked and (self.is_requested or not _has_version(before.get(path), item))
        ]
        messages = [f'{_NOT_A_FILE}: "{path}"' for path in sorted(blocked)]
        if not paths:
            return _with_messages(TransferResult(0, 0), messages)
        # A new directory per attempt: in the same one, a second attempt would overwrite kept versions with sent ones.
        # Also for files that the listing does not show: it may be wrong.
        keep_in = f"{ArchiveLayout.of(self.archive).versions}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}_{self.lane}"
        if earlier := [path for path in paths if path in before]:
            self.log(f"{len(earlier)} of them replace finalized files; the earlier versions are kept in {keep_in}")
        if self.withdraw is not None:
            self.withdraw([files[path][1] for path in paths])
        groups = {files[path][0] for path in paths}
        for group in groups:
            versions = [
                EarlierVersion(files[path][1].remote_path, path, _size(before.get(path)))
                for path in paths
                if files[path][0] == group
            ]
            self.ledger.replaced.begin(self.archive.name, group, keep_in, versions)
        try:
            return _with_messages(send(paths, keep_in), messages)
        finally:
            with suppress(HostError):  # what cannot be listed now is settled by the next push
                self._settle(host, groups)

    def _settle(self, host: ArchiveHost, groups: set[str]) -> None:
        """List which earlier versions are kept completely, and record that."""
        for group in groups:
            for keep_in, files in self.ledger.replaced.open(self.archive.name, group).items():
                # Listed from above: where no version was kept, neither the directory nor its parent may exist.
                parent = PurePosixPath(keep_in).parent.parent
                directory = PurePosixPath(keep_in).relative_to(parent)
                kept = list_entries(host, str(parent), [f"{directory}/{file.kept_path}" for file in files])
                complete = dict[str, int]()
                for file in files:
                    found = kept.get(f"{directory}/{file.kept_path}")
                    if found is not None and file.size in (found.version.size, UNKNOWN):
                        complete[file.remote_path] = found.version.size
                        self.replaced.add(file.remote_path)
                    elif found is not None:
                        self.notes.append(f"{keep_in}/{file.kept_path} is not a complete copy, so nothing was replaced")
                # The operator who requested a repair needs no check that reports it.
                is_reported = not directory.name.partition("_")[2].startswith(REPAIR)
                self.ledger.replaced.settle(self.archive.name, keep_in, complete, is_reported=is_reported)
                self.kept_in += [keep_in] if complete else []


def _with_messages(result: TransferResult, messages: Sequence[str]) -> TransferResult:
    return replace(result, messages=[*messages, *result.messages])


def _size(listed: ScannedEntry[str] | None) -> int:
    return listed.version.size if listed is not None else UNKNOWN


def _has_version(listed: ScannedEntry[str] | None, item: Item) -> bool:
    return listed is not None and listed.version.same_as(item.version)


def list_files(host: ArchiveHost, root: str, paths: Sequence[str]) -> dict[str, ScannedEntry[str]]:
    """List the files that a host has under some paths; each path is listed by name."""
    return {path: entry for path, entry in list_entries(host, root, paths).items() if entry.is_regular}


def list_entries(host: ArchiveHost, root: str, paths: Sequence[str]) -> dict[str, ScannedEntry[str]]:
    """List the entries of any kind that a host has under some paths."""
    found, wanted = {}, set(paths)
    for names in in_parts(paths, lambda path: len(path.encode()), most_bytes=_MOST_NAMED_BYTES):
        for entry in host.list(root, names).entries:
            path = entry.path.decode("utf-8", "surrogateescape")
            if path in wanted:  # a directory is listed with its contents
                found[path] = ScannedEntry(path, entry.version, entry.kind)
    return found
