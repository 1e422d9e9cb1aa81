"""Opens the records of a site: ledger and evidence in the state directory, manifests and finalizations."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial

from aurora_platform.archive.finalization import newest_revisions
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.manifest_store import Publication
from aurora_platform.archive.verify_days import Place, Verification
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site
from aurora_platform.errors import EvidenceError, LedgerError, NewerError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import (
    COLLECTIONS,
    ArchiveLayout,
    FinalizedKey,
    Layout,
    Side,
    evidence_name,
    finalization_groups,
    open_state,
    verify_lock,
)

_UNREADABLE = (EvidenceError, LedgerError, NewerError, sqlite3.Error)
_HISTORY_EVERY = timedelta(minutes=10)


class Records:
    """The records of a site: databases in ``paths.state``, published files in ``paths.manifests``.

    Opening a database may write: a state directory of another version is migrated, or refused.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.layout = Layout.of(site)
        self.staging = Staging(self.layout.finalizations.staging, self.layout.locks, site.limits.lock)

    @property
    def archive(self) -> Archive:
        assert self.site.archive is not None  # without an archive there are no archive assets and commands
        return self.site.archive

    def ledger(self) -> Ledger:
        open_state(self.layout.state)
        ledger = Ledger(self.layout.ledger)
        ledger.add_archive(self.archive.name)
        return ledger

    def evidence(self) -> Evidence:
        open_state(self.layout.state)
        return Evidence(self.layout.fixity)

    def finalizations(self, stream: str) -> Finalizations:
        """The finalizations of a stream, or of a collection of products."""
        layout = ArchiveLayout.of(self.archive)
        if stream in COLLECTIONS:
            archive_root = layout.collection_root(stream)
        else:
            archive_root = layout.raw_root(self.site.streams[stream])
        published = partial(self._published_revisions, stream)
        return Finalizations(self.layout.finalizations, stream, self.site.name, archive_root, self.staging, published)

    def copied_versions(self, remote_paths: Collection[str]) -> dict[str, FileVersion]:
        """Return remote path -> the version that the archive got last, by the ledger; nothing without a ledger."""
        if not self.layout.ledger.exists():
            return {}
        with self.ledger() as ledger:
            rows = ((path, ledger.row(self.archive.name, path)) for path in remote_paths)
            return {path: row.version for path, row in rows if row is not None and row.copied_at is not None}

    def _published_revisions(self, stream: str) -> dict[FinalizedKey, int]:
        """See ``published`` of :class:`Finalizations`: by the ledger, and by the evidence.

        What cannot be read tells nothing: whoever writes to it reports it, and new files must not wait for it.
        """
        found = dict[FinalizedKey, int]()
        if self.layout.fixity.exists():
            with suppress(*_UNREADABLE), self.evidence() as evidence:
                found |= evidence.finalized.revisions(evidence_name(stream) if stream in COLLECTIONS else stream)
        if self.layout.ledger.exists():
            with suppress(*_UNREADABLE), self.ledger() as ledger:
                paths = ledger.copied_paths(self.archive.name, finalization_groups(stream)[0])
                listed = ledger.archived.revisions(self.archive.name, stream)
                for revisions in (newest_revisions(stream, paths), listed):
                    for key, revision in revisions.items():
                        found[key] = max(revision, found.get(key, 0))
        return found

    def publication(self) -> Publication:
        return Publication(self.layout.finalizations, self.staging, self.archive.keep_history, _HISTORY_EVERY)

    @contextmanager
    def verification(
        self,
        name: str,
        places: dict[Side, Sequence[Place]],
        log: Callable[[str], None] = lambda text: None,
        *,
        accept_loss: bool = False,
    ) -> Iterator[Verification]:
        """Open the verification of a stream, under a lock that keeps out other verifications of it."""
        open_state(self.layout.state)
        with (
            hold_lock(self.layout.locks, verify_lock(name), self.site.limits.lock),
            self.evidence() as evidence,
            self.ledger() as ledger,
        ):
            yield Verification(
                name,
                self.site.streams[name],
                self.archive,
                places,
                evidence,
                self.finalizations(name),
                ledger,
                log,
                accept_loss,
            )
