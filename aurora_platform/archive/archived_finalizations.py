"""Makes known which finalizations the archive has, and fetches those back that are missing on this machine.

What a finalization vouches for must be known before a file of the archive is replaced. This machine may have lost its
finalizations, or all its records: then the archive's own are the only ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Protocol

from aurora_platform.archive.finalization import DAMAGE, MAX_BYTES, Finalization, newest_revisions, parse_finalization
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.read_back import ReadBack
from aurora_platform.archive.stores import Records
from aurora_platform.errors import ArchiveError, HostError, NoSuchRootError, TransferError
from aurora_platform.fs.atomic import Staging
from aurora_platform.fs.paths import UnsafePathError, safe_relative
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.layout import OUTGOING, ArchiveLayout, FinalizedKey, finalization_groups
from aurora_platform.text import counted
from aurora_platform.transport.listing import Listing
from aurora_platform.transport.protocols import ArchiveHost

_MAX_MANIFEST = 1 << 30  # bytes; an archive must not fill our disk with one


class Lists(Protocol):
    """Lists directories of the archive: one of its hosts."""

    def list(self, root: str, below: Sequence[str]) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.Source.list`."""
        ...


def prepare_verification(
    records: Records,
    hosts: Sequence[ArchiveHost],
    name: str,
    keys: Collection[FinalizedKey] | None,
    log: Callable[[str], None],
) -> str:
    """Learn which finalizations the archive has, and fetch back those of ``keys`` that are missing here; None: all.

    Returns why nobody knows which it has; then nothing may be finalized. Empty where it is known.
    """
    try:
        with records.ledger() as ledger:
            learn_finalizations(records, ledger, {host.name: host for host in hosts}, name, log)
    except ArchiveError as error:
        return str(error)
    restore_finalizations(records, hosts, name, keys, log)
    return ""


def learn_finalizations(
    records: Records, ledger: Ledger, hosts: Mapping[str, Lists], name: str, log: Callable[[str], None]
) -> None:
    """List the finalizations that the archive has of a stream or a collection, once for each ledger, and record them.

    ``hosts`` are those of the archive by name, in order of preference.

    Raises
    ------
    ArchiveError
        Where no host of the archive can list them.
    """
    archive = records.archive
    if ledger.knows_finalizations(archive.name, name):
        return
    errors, is_transient = list[str](), False
    for host_name, host in hosts.items():
        try:
            listed = _list(host, ArchiveLayout.of(archive), name)
        except NoSuchRootError:
            return  # nothing was ever copied there; whoever asks later finds out what is there then
        except HostError as error:
            errors.append(f"{host_name}: {error}")
            is_transient |= error.transient
            continue
        manifests, words = finalization_groups(name)
        for group, end in ((manifests, ".tsv"), (words, ".yaml")):
            of_group = [entry for entry in listed if entry.path.endswith(end)]
            ledger.record_copied(archive.name, group, [_item(records, entry) for entry in of_group])
        ledger.note_finalizations(archive.name, name)
        if revisions := newest_revisions(name, [entry.path for entry in listed]):
            log(f"the archive has {counted(len(revisions), 'finalization')} of {name}")
        return
    raise ArchiveError(f"no host of archive {archive.name} works. {'; '.join(errors)}", transient=is_transient)


def _list(host: Lists, layout: ArchiveLayout, name: str) -> list[ScannedEntry[str]]:
    """List the finalizations of a stream in the archive and their manifests, by absolute path."""
    root, directory, found = layout.manifests, PurePosixPath(layout.finalized, name), []
    for entry in host.list(root, [str(directory.relative_to(root))]).entries:
        with suppress(UnsafePathError):  # no file of ours has such a name
            path = f"{root}/{safe_relative(entry.path)}"
            if entry.is_regular and PurePosixPath(path).parent == directory:
                found.append(ScannedEntry(path, entry.version))
    return found


def _item(records: Records, entry: ScannedEntry[str]) -> Item:
    below = PurePosixPath(entry.path).relative_to(ArchiveLayout.of(records.archive).manifests)
    return Item(str(records.site.paths.manifests / below), entry.path, entry.version)


def restore_finalizations(
    records: Records,
    hosts: Sequence[ArchiveHost],
    name: str,
    keys: Collection[FinalizedKey] | None,
    log: Callable[[str], None],
) -> list[FinalizedKey]:
    """Fetch finalizations back that are missing on this machine, with their manifests; returns which.

    Parameters
    ----------
    name, keys
        The stream or collection, and what of it; None: everything.
    """
    finalizations = records.finalizations(name)
    missing = finalizations.missing_keys(keys)
    if not missing:
        return []
    for host in hosts:
        with suppress(HostError, TransferError):  # the next host; without any, each day says what is missing
            restored = _restore(records, host, finalizations, missing)
            if restored:
                what = f"{counted(len(restored), 'finalization')} of {name}"
                log(f"fetched {what} back from {host.name}: {', '.join(map(str, restored[:5]))}")
            return restored
    return []


def _restore(
    records: Records, host: ArchiveHost, finalizations: Finalizations, keys: Sequence[FinalizedKey]
) -> list[FinalizedKey]:
    root, staging = ArchiveLayout.of(records.archive).manifests, _staging(records)
    staging.sweep()
    read_back = ReadBack(host.fetching(), staging, f"finalizations.{finalizations.stream}")
    words = {finalizations.archived_path(finalizations.file(key)): key for key in keys}
    restored = []
    with read_back.fetched(root, dict.fromkeys(words, FileVersion(MAX_BYTES, 0))) as (directory, read):
        found = dict[FinalizedKey, tuple[Path, Finalization]]()
        for path, key in words.items():
            with suppress(*DAMAGE):  # no finalization, or a damaged one: it stays missing, and its day says so
                if read[path].sha256 is not None:
                    found[key] = directory / path, parse_finalization((directory / path).read_bytes())
        wanted = {
            finalizations.archived_path(finalizations.manifest(key, word.revision)): key
            for key, (_, word) in found.items()
            if not finalizations.is_superseded(key, word.revision)
        }
        manifests = ReadBack(host.fetching(), staging, f"manifests.{finalizations.stream}")
        with manifests.fetched(root, _bounds(wanted)) as (below, fetched):
            for path, key in wanted.items():
                file, word = found[key]
                if fetched[path].sha256 == word.manifest_sha256:
                    finalizations.put_back(key, file, below / path, word.revision)
                    restored.append(key)
    return restored


def _bounds(paths: Mapping[str, FinalizedKey]) -> dict[str, FileVersion]:
    return dict.fromkeys(paths, FileVersion(_MAX_MANIFEST, 0))


def _staging(records: Records) -> Staging:
    return Staging(records.site.paths.manifests / OUTGOING, records.layout.locks, records.site.limits.lock)
