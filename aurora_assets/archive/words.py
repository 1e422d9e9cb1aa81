"""The words about days, brought to the archive: whoever reads it there must never read an old one for long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from aurora_assets.archive.certify import Records
from aurora_assets.archive.errand import PushReport
from aurora_assets.archive.finalize import Finalizations
from aurora_assets.archive.names import EVIDENCE
from aurora_assets.archive.pushes import Pushing
from aurora_assets.errors import EvidenceError


def push_words(records: Records, pushing: Pushing, name: str, days: Sequence[date]) -> list[PushReport]:
    """Copy the finalizations of some days of a stream to the archive: each manifest before the word that names it.

    Raises
    ------
    ArchiveError
        Where no host of the archive works; the next pass over these days tries again.
    """
    archive, ledger = records.archive, pushing.ledger
    finalizations = records.finalizations(name)
    manifests, words = dict[Path, str](), dict[Path, str]()
    for file in (file for day in days for file in _files(finalizations, day)):
        remote = f"{archive.evidence}/{file.relative_to(records.site.paths.manifests)}"
        (words if file.suffix == ".yaml" else manifests)[file] = remote
    for kind in ("manifests", "words"):  # never given up: an old word in the archive may be wrong
        parked = ledger.parked(archive.name, f"{EVIDENCE}/{name}/{kind}")
        ledger.requeue(archive.name, [row.remote_path for row in parked])
    return [
        pushing.files(f"{EVIDENCE}/{name}/{kind}", files)
        for kind, files in (("manifests", manifests), ("words", words))
        if files
    ]


def _files(finalizations: Finalizations, day: date) -> Sequence[Path]:
    try:
        return finalizations.files(day)
    except EvidenceError:  # one day's error: its verification has said so, and the other days go on
        return ()
