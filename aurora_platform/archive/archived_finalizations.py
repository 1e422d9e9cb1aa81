"""Makes known which finalizations the archive has, and fetches those back that are missing on this machine.

What a finalization vouches for must be known before a file of the archive is replaced. This machine may have lost its
finalizations, or all its records: then the archive's own are the only ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from aurora_platform.archive import manifest
from aurora_platform.archive.finalization import DAMAGE, MAX_BYTES, Finalization, newest_revisions, parse_finalization
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.place import unreadable_in
from aurora_platform.archive.read_back import ReadBack
from aurora_platform.archive.stores import Records
from aurora_platform.errors import EvidenceError, HostError, NoSuchRootError, TransferError
from aurora_platform.fs.paths import UnsafePathError, safe_relative
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import (
    COLLECTIONS,
    INCOMING,
    OUTGOING,
    WXCAM,
    WXCAM_PRODUCTS,
    ArchiveLayout,
    FinalizedKey,
    raw_group,
)
from aurora_platform.text import counted
from aurora_platform.transport.listing import Listing
from aurora_platform.transport.protocols import ArchiveHost

_MAX_MANIFEST = 1 << 26
_MOST_AT_ONCE = 50  # manifests; with their bound, an archive must not fill our disk
_LIST_AGAIN_AFTER = timedelta(hours=1)  # the ledger may be a backup
_OLD_LEDGER = timedelta(days=2)


class Lists(Protocol):
    """Lists directories of the archive: one of its hosts."""

    def list(self, root: str, below: Sequence[str]) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.Source.list`."""
        ...


class Learned(NamedTuple):
    """What is known of the archive's finalizations of a stream or collection."""

    is_certain: bool
    """Whether all of them are known; else any file may be finalized."""
    error: str = ""
    """Why no host could list them; empty also where there seem to be none."""


def prepare_verification(
    records: Records,
    hosts: Sequence[ArchiveHost],
    name: str,
    keys: Collection[FinalizedKey] | None,
    log: Callable[[str], None],
) -> str:
    """Do :func:`learn_and_restore`; returns why they could not be listed: then nothing may be finalized."""
    with records.ledger() as ledger:
        return learn_and_restore(records, ledger, hosts, name, keys, log).error


def learn_and_restore(
    records: Records,
    ledger: Ledger,
    hosts: Sequence[ArchiveHost],
    name: str,
    keys: Collection[FinalizedKey] | None,
    log: Callable[[str], None],
) -> Learned:
    """Learn which finalizations the archive has, and fetch back those of ``keys`` that are missing here; None: all."""
    learned = learn_finalizations(records, ledger, {host.name: host for host in hosts}, name, log)
    if not learned.error:
        restore_finalizations(records, hosts, name, keys, log)
    return learned


def learn_finalizations(
    records: Records, ledger: Ledger, hosts: Mapping[str, Lists], name: str, log: Callable[[str], None]
) -> Learned:
    """List the finalizations that the archive has of a stream or a collection, once an hour, and record them.

    ``hosts`` are those of the archive by name, in order of preference.
    """
    archive, now = records.archive.name, datetime.now(UTC)
    listed_at = ledger.archived.listed_at(archive, name)
    if listed_at is not None and timedelta(0) <= now - listed_at < _LIST_AGAIN_AFTER:
        return Learned(True)
    errors = []
    for host_name, host in hosts.items():
        try:
            revisions = _list(host, ArchiveLayout.of(records.archive), name)
            # Where there seem to be none: this ledger was certain before, or has a history, or the archive is new.
            is_certain = bool(revisions or listed_at) or _has_history(ledger, archive, name, now)
            is_certain = is_certain or not _has_files(host, records, name)
        except HostError as error:
            errors.append(f"{host_name}: {error}")
            continue
        if is_certain:
            ledger.archived.note(archive, name, revisions)
            if revisions and listed_at is None:
                log(f"the archive has {counted(len(revisions), 'finalization')} of {name}")
        return Learned(is_certain)
    if listed_at is not None:  # what was listed last still holds, and our own pushes are in the ledger
        return Learned(True)
    return Learned(False, f"the finalizations of {name} in archive {archive} cannot be listed. {'; '.join(errors)}")


def _list(host: Lists, layout: ArchiveLayout, name: str) -> dict[FinalizedKey, int]:
    """List the finalizations of a stream in the archive; returns the newest revision of each.

    Raises
    ------
    HostError
        Also where only a part could be listed.
    """
    root, directory, found = layout.manifests, PurePosixPath(layout.finalized, name), list[str]()
    try:
        listing = host.list(root, [str(directory.relative_to(root))])
        for entry in listing.entries:
            with suppress(UnsafePathError):  # no file of ours has such a name
                path = f"{root}/{safe_relative(entry.path)}"
                if entry.is_regular and PurePosixPath(path).parent == directory:
                    found.append(path)
    except NoSuchRootError:
        return {}
    if error := unreadable_in(listing):
        raise HostError(f"{root}: {error}")
    return newest_revisions(name, found)


def _has_history(ledger: Ledger, archive: str, name: str, now: datetime) -> bool:
    """Whether the ledger has recorded pushes for long, or has copied finalizations: this is no new machine."""
    group, archived = name if name in COLLECTIONS else raw_group(name), ledger.archived
    return archived.has_copied_finalizations(archive) or archived.has_copied_before(archive, group, now - _OLD_LEDGER)


def _has_files(host: Lists, records: Records, name: str) -> bool:
    """Whether the archive has any file of a stream or collection; of a collection, any product but the camera's."""
    layout = ArchiveLayout.of(records.archive)
    root, below = layout.products, [WXCAM] if name == WXCAM_PRODUCTS else []
    if name not in COLLECTIONS:
        root, below = layout.raw, [records.site.streams[name].raw]
    others = () if below else (f"{WXCAM}/".encode(), f"{INCOMING}/".encode())
    try:
        with closing(host.list(root, below).entries) as entries:
            return any(entry.is_regular and not entry.path.startswith(others) for entry in entries)
    except NoSuchRootError:
        return False


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
    restored = list[FinalizedKey]()
    for host in hosts:
        left = [key for key in missing if key not in restored]
        with suppress(HostError, TransferError):  # the next host; each day says what is missing still
            fetched = _restore(records, host, finalizations, left) if left else []
            if fetched:
                what = f"{counted(len(fetched), 'finalization')} of {name}"
                log(f"fetched {what} back from {host.name}: {', '.join(map(str, fetched[:5]))}")
            restored += fetched
    return restored


def _restore(
    records: Records, host: ArchiveHost, finalizations: Finalizations, keys: Sequence[FinalizedKey]
) -> list[FinalizedKey]:
    root, staging = ArchiveLayout.of(records.archive).manifests, _staging(records)
    staging.sweep()
    read_back = ReadBack(host.fetching(), staging, f"finalizations.{finalizations.stream}")
    manifests = ReadBack(host.fetching(), staging, f"manifests.{finalizations.stream}")
    restored = []
    for part in batched(keys, _MOST_AT_ONCE):
        words = {finalizations.archived_path(finalizations.file(key)): key for key in part}
        with read_back.fetched(root, dict.fromkeys(words, FileVersion(MAX_BYTES, 0))) as (directory, read):
            found = dict[str, tuple[FinalizedKey, Path, Finalization]]()
            for path, key in words.items():
                with suppress(*DAMAGE):  # no finalization, or a damaged one: it stays missing, and its day says so
                    word = parse_finalization((directory / path).read_bytes())
                    if read[path].sha256 is not None and not finalizations.is_superseded(key, word.revision):
                        manifest_path = finalizations.archived_path(finalizations.manifest(key, word.revision))
                        found[manifest_path] = key, directory / path, word
            with manifests.fetched(root, dict.fromkeys(found, FileVersion(_MAX_MANIFEST, 0))) as (below, fetched):
                for path, (key, file, word) in found.items():
                    if fetched[path].sha256 == word.manifest_sha256 and _is_manifest(below / path):
                        finalizations.put_back(key, file, below / path, word.revision)
                        restored.append(key)
    return restored


def _is_manifest(path: Path) -> bool:
    try:
        for _ in manifest.read(path):
            pass
    except (EvidenceError, *DAMAGE):
        return False
    return True


def _staging(records: Records) -> Staging:
    return Staging(records.site.paths.manifests / OUTGOING, records.layout.locks, records.site.limits.lock)
