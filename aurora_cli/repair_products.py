"""The repair of a collection of products, for ``aurora repair``: from the archive, or to it."""

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import click

from aurora_cli.console import print_line, print_table
from aurora_cli.context import require_archive
from aurora_cli.repair_table import reason_of, show_steps
from aurora_platform.archive.acceptance import ArchivedFiles
from aurora_platform.archive.product_proof import ProductProof
from aurora_platform.archive.product_repair import (
    MISSING_LOCALLY,
    accept_deleted,
    lost_finalizations,
    plan_product_repair,
)
from aurora_platform.archive.product_reports import CollectionReport
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.repair import RepairKind, RepairStep
from aurora_platform.archive.restore import Restoring, WantedFile
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import REPAIR
from aurora_platform.archive.verify_products import open_proof, verify_products
from aurora_platform.config.site import Site
from aurora_platform.fs.staging import Staging
from aurora_platform.layout import OUTGOING, SIDE_NAMES, Layout, evidence_name
from aurora_platform.mirror.publish import publish
from aurora_platform.text import counted
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.protocols import ArchiveHost

_LOG = logging.getLogger("aurora.repair")


def _is_archived(step: RepairStep) -> bool:
    return step.kind is RepairKind.RESTORE


def show_archived(files: ArchivedFiles) -> None:
    """Print how many files a lost finalization may have had."""
    shown = files.total - files.not_shown
    more = (
        f"; {counted(files.not_shown, 'more file')} may have been in it, and it does not show now"
        if files.not_shown
        else ""
    )
    print_line(f"the archive has {counted(shown, 'file')} of it{more}")


@dataclass(frozen=True)
class ProductRepair:
    """The repair of one collection."""

    site: Site
    name: str
    connections: Connections
    is_full: bool = False
    """Whether every file is read again, and not only what is new."""
    is_emptied: bool = False
    """Whether the operator vouches that an empty local directory is no missing disk."""

    def run(self, is_applied: bool) -> int:
        """Show what is wrong, repair it if ``is_applied``, and return how many files are still wrong."""
        print_line(f"comparing the files of {self.name}, local and in the archive ...", "dim")
        report = self._verify(full=self.is_full)
        steps = self._plan()
        self._show(steps, report, is_applied)
        curable = [step for step in steps if step.kind is not RepairKind.NONE]
        if not curable or not is_applied:
            return len(steps)
        with open_proof(self._records, self.name, self.connections) as proof:
            proof.local_files()  # where each path is on this machine
            self._restore(proof, [step for step in curable if step.kind is RepairKind.RESTORE])
            self._send(proof, [step for step in curable if step.kind is RepairKind.SEND])
            proof.evidence.forget_checksums(evidence_name(self.name), [step.path for step in curable])
        self._verify()
        left = self._plan()
        for step in left:
            print_line(f"  still wrong: {step.path}: {step.wrong}; {reason_of(step, self._target)}", "red")
        print_line(f"repaired {len(steps) - len(left)} of {counted(len(steps), 'file')}", "red" if left else "green")
        return len(left)

    def accept_deleted(self, files: Sequence[str], is_applied: bool) -> int:
        """Show the finalized files that are not local any more, accept that; returns how many are left."""
        self._verify()
        gone = [step for step in self._plan() if step.wrong == MISSING_LOCALLY]
        if unknown := set(files) - {step.path for step in gone}:
            raise click.UsageError(f"not one of the files: {', '.join(sorted(unknown))}")
        chosen = [step for step in gone if not files or step.path in files]
        if not gone:
            print_line(f"no finalized file of {self.name} is missing locally", "green")
            return 0
        print_table(
            f"{self.name}: {counted(len(chosen), 'finalized file')} missing locally"
            + ("" if is_applied else " (dry run)"),
            ["file", "bytes", "the finalized version in the archive"],
            [
                [step.path, str(step.right.size if step.right else 0), "yes" if _is_archived(step) else "NO"]
                for step in chosen
            ],
        )
        archived = sum(map(_is_archived, chosen))
        if not is_applied:
            if archived:
                print_line(f"next: aurora repair {self._target} --apply brings back {counted(archived, 'file')}.")
            print_line(f"If they were deleted on purpose, or are lost: aurora accept {self._target} --lost --apply")
            return len(gone)
        with open_proof(self._records, self.name, self.connections) as proof:
            accepted = accept_deleted(proof, [step.path for step in chosen])
        self._verify()
        print_line(f"accepted {counted(accepted, 'deletion')}; the archive keeps {archived} of the files")
        return len(gone) - accepted

    def accept_archived(self, is_applied: bool) -> int:
        """Take what the archive has for what was finalized, where a finalization is lost; returns how many are left."""
        self._verify()
        with open_proof(self._records, self.name, self.connections) as proof:
            lost = lost_finalizations(proof)
            if not lost:
                print_line(f"no finalization of {self.name} is lost", "green")
                return 0
            for key, files in lost.items():
                print_line(f"{proof.finalizations.file(key).name} is lost. Without it none of its files is replaced.")
                show_archived(files)
            if not is_applied:
                print_line(
                    f"next, if archive.manifests has no copy: aurora accept {self.name} --apply takes them as finalized"
                )
                return len(lost)
            for key, files in lost.items():
                files.remake(proof.finalizations, key)
        self._verify()
        print_line(f"made {counted(len(lost), 'finalization')} of what the archive has", "green")
        return 0

    @property
    def _target(self) -> str:
        """What commands about it name: they need the same word of the operator about an empty directory."""
        return f"{self.name}{' --emptied' * self.is_emptied}"

    @cached_property
    def _records(self) -> Records:
        return Records(self.site)

    @cached_property
    def _hosts(self) -> Sequence[ArchiveHost]:
        return self.connections.archive_hosts(require_archive(self.site), _LOG)

    def _verify(self, *, full: bool = False) -> CollectionReport:
        [report] = verify_products(
            self._records, self.connections, self._hosts, only=[self.name], full=full, is_emptied=self.is_emptied
        ).collections
        for side, why in report.errors.items():
            raise click.ClickException(f"{SIDE_NAMES[side]} cannot be read, so no file can be proved right: {why}")
        for why in report.damaged.values():
            print_line(why, "yellow")
        return report

    def _plan(self) -> list[RepairStep]:
        with open_proof(self._records, self.name, self.connections) as proof:
            proof.local_files()
            return list(plan_product_repair(proof))

    def _show(self, steps: Sequence[RepairStep], report: CollectionReport, is_applied: bool) -> None:
        print_line(report.summary(), "dim")
        if report.only_in_the_archive.total:
            strays = report.only_in_the_archive
            print_line(f"{counted(strays.total, 'file')} only in the archive, never finalized: {strays.first[0]} ...")
        if not self.is_full:
            read = sum(report.read.values())
            print_line(
                f"read now: {counted(read, 'file')}; the others as they were read before. --full reads all again"
            )
        if not steps:
            pending = f"; {counted(report.pending, 'file')} pending, not compared yet" if report.pending else ""
            print_line(f"nothing is wrong with {self.name}{pending}", "yellow" if report.damaged else "green")
            return
        command = f"aurora repair {self._target} --apply"
        show_steps(self.name, steps, is_applied=is_applied, command=command, target=self._target)

    def _restore(self, proof: ProductProof, steps: Sequence[RepairStep]) -> None:
        """Fetch these files from the archive, and put those that are right in the place of the local ones."""
        restored = 0
        staging = Staging(self.site.paths.products / OUTGOING, Layout.of(self.site).locks, self.site.limits.lock)
        restoring = Restoring(self._hosts, staging, f"{REPAIR}{self.name}")
        wanted = {step.path: step for step in steps if step.right is not None and step.sha256}
        for root, paths in proof.by_archive_root(wanted).items():
            by_name = {proof.remote_path(path).removeprefix(f"{root}/"): path for path in paths}

            def put(fetched: Path, name: str, by_name: dict[str, str] = by_name) -> None:
                target = proof.local.file(by_name[name])
                self._move_away(target, by_name[name])
                target.parent.mkdir(parents=True, exist_ok=True)
                publish(fetched, target.parent.resolve(), target.name)

            files = []
            for name, path in by_name.items():
                step = wanted[path]
                assert step.right is not None  # by the selection of ``wanted``
                assert step.sha256 is not None
                files.append(WantedFile(name, step.right, step.sha256))
            report = restoring.restore(root, files, put)
            restored += report.restored
            for name, why in report.failed.items():
                print_line(f"  not restored: {by_name[name]}: {why}", "red")
        if steps:
            print_line(f"restored {counted(restored, 'file')} from the archive")
        if self._quarantine.is_dir():
            print_line(f"the earlier local files are in {self._quarantine}")

    @cached_property
    def _quarantine(self) -> Path:
        """The directory for the local files that this repair moves out of the way; nothing in it is deleted."""
        return Layout.of(self.site).product_quarantine / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" / self.name

    def _move_away(self, file: Path, path: str) -> None:
        """Move a local file to the quarantine, if there is one."""
        if os.path.lexists(file):
            target = self._quarantine / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, target)  # a registered file may be on another device

    def _send(self, proof: ProductProof, steps: Sequence[RepairStep]) -> None:
        """Send exactly these files again, even if size and mtime are the same in the archive."""
        if not steps:
            return
        wrong = {step.path for step in steps}
        items = [item for path, item in proof.local_files() if path in wrong]
        pushing = Pushing(self.site, require_archive(self.site), self._hosts, proof.ledger)
        print_line(pushing.exact_products(self.name, f"{REPAIR}{self.name}", items).summary())
