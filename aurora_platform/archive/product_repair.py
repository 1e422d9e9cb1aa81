"""Plans the repair of a collection of products: only files that are wrong, and only where the right bytes are proved.

Bytes are right where the finalization, or the ledger's last verification, has the same checksum. A new version of a
product has no other witness than the run that made it: the local file is what the archive should have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date

from aurora_platform.archive.acceptance import ArchivedFiles, archived_files
from aurora_platform.archive.compare import PROBLEMS, Compared, MatchClass
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.product_proof import UNDATED, ProductProof, finalized_key
from aurora_platform.archive.repair import RepairKind, RepairStep
from aurora_platform.errors import EvidenceError
from aurora_platform.layout import FinalizedKey
from aurora_platform.text import counted

MISSING_LOCALLY = f"{MatchClass.MISSING} locally"
_NO_GOOD_COPY = (
    "neither place has the finalized version. If nobody can bring it back: make it again, or `aurora accept --lost`"
)
_UNKNOWN = "both places differ, and no checksum of this version was verified before: make the product again"


def plan_product_repair(proof: ProductProof) -> Iterator[RepairStep]:
    """Yield a step for each wrong file of a collection, by the evidence of its last verification.

    A finalized file that is not local any more is a step too where its program may have deleted it on purpose.
    """
    for day in proof.days:
        try:
            for compared, by_side, finalized in proof.compare(day):
                local, archived = by_side.get("local"), by_side.get("gws")
                if compared.local in PROBLEMS or (local is None and finalized is not None):
                    yield _local_step(compared, archived, finalized)
                elif compared.archive in PROBLEMS:
                    yield _archive_step(proof, compared, local, archived, finalized)
        except EvidenceError:  # the verification reported it; the other days go on
            continue


def _local_step(compared: Compared, archived: FixityRecord | None, finalized: FixityRecord | None) -> RepairStep:
    wrong = MISSING_LOCALLY if compared.local is MatchClass.EXTRA else f"{compared.local} locally"
    if finalized is None:
        return RepairStep(compared.path, wrong, RepairKind.NONE, "it was never finalized: inspect the file", None)
    if archived is None or archived.sha256 is None or archived.sha256 != finalized.sha256:
        return RepairStep(compared.path, wrong, RepairKind.NONE, _NO_GOOD_COPY, finalized.version)
    why = "the archive has the finalized version"
    return RepairStep(compared.path, wrong, RepairKind.RESTORE, why, finalized.version, finalized.sha256)


def _archive_step(
    proof: ProductProof,
    compared: Compared,
    local: FixityRecord | None,
    archived: FixityRecord | None,
    finalized: FixityRecord | None,
) -> RepairStep:
    wrong = f"{compared.archive} in the archive"
    if local is None or local.sha256 is None:
        unread = "the local file is gone" if local is None else local.error or "it was not read yet"
        why = f"there are no local bytes to send: {unread}"
        return RepairStep(compared.path, wrong, RepairKind.NONE, why, None)
    if compared.right is finalized:
        why = "the local file is the finalized version"
        return RepairStep(compared.path, wrong, RepairKind.SEND, why, local.version, local.sha256)
    if compared.archive is not MatchClass.CHECKSUM:
        why = "the local file is the newest version of the product"
        return RepairStep(compared.path, wrong, RepairKind.SEND, why, local.version, local.sha256)
    row = proof.ledger.row(proof.archive.name, proof.remote_path(compared.path))
    verified = row.remote_sha256 if row is not None and row.version.same_as(local.version) else None
    if verified == local.sha256:
        why = "the last verification found these local bytes in both places"
        return RepairStep(compared.path, wrong, RepairKind.SEND, why, local.version, local.sha256)
    if archived is not None and verified is not None and verified == archived.sha256:
        why = "the last verification found the archive's bytes in both places"
        return RepairStep(compared.path, "different checksum locally", RepairKind.RESTORE, why, local.version, verified)
    return RepairStep(compared.path, wrong, RepairKind.NONE, _UNKNOWN, local.version)


def lost_finalizations(proof: ProductProof) -> dict[FinalizedKey, ArchivedFiles]:
    """Return each finalization that is lost on this machine, with the files that it may have had."""
    found = dict[FinalizedKey, ArchivedFiles]()
    for key in proof.finalizations.missing_keys():
        day = key if isinstance(key, date) else None
        files = proof.evidence.files(proof.stored_as, day or UNDATED)
        rows = proof.ledger.rows_of_day(proof.archive.name, proof.name, day)
        found[key] = archived_files(files, rows, proof.finalizations.archive_root.rstrip("/"))
    return found


def accept_deleted(proof: ProductProof, paths: Collection[str]) -> int:
    """Take files that were deleted on purpose out of the finalizations; the archive keeps them. Returns how many.

    Where another file of a finalization is wrong in the archive, it is not changed: that is to be repaired first.

    """
    accepted = 0
    for day in proof.days:
        key = finalized_key(day)
        proved = proof.proved.of(key).proved  # of one that is damaged nothing; the verification reports it
        gone = proved.keys() & set(paths)
        if not gone:
            continue
        others = (compared for compared, _, finalized in proof.compare(day) if finalized and compared.path not in gone)
        if all(compared.is_proved for compared in others):
            kept = sorted((path, proved[path]) for path in proved.keys() - gone)
            # Whether the day is complete without them, the next verification finds out.
            why = f"{counted(len(gone), 'deleted file')} accepted; all are compared again"
            if proof.finalizations.complete(key, kept, is_sent=lambda: proof.is_sent(key, proved), why_not=why):  # noqa: B023
                accepted += len(gone)
    return accepted
