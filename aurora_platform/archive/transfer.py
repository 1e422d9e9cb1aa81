"""The input and output of a push: the transfer request, the guard of finalized files, and the push report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Protocol

from aurora_platform.archive.ledger import Item
from aurora_platform.report_fields import RARE, SHOWN, Show
from aurora_platform.text import Count, format_transfer

REPAIR = "repair."
"""The prefix of the lane of a push of certain files that an operator requested."""


@dataclass
class GuardDecision:
    """The decision of a guard: files to send, finalized files to send with care, and files to hold back."""

    unprotected: list[Item] = field(default_factory=list)
    vouched: list[Item] = field(default_factory=list)
    """A finalization has a file of this path: a version in the archive that they replace is kept."""
    held: list[tuple[Item, str]] = field(default_factory=list)
    """Files that may not be sent, each with the reason."""


class Guard(Protocol):
    """Decides which files may be sent; :mod:`aurora_platform.archive.finalization_guard` implements it."""

    keeps_all: bool
    """Whether every version that is replaced is kept: nobody knows which of them are finalized."""

    def decide(self, items: Iterable[Item]) -> GuardDecision:
        """Decide for each file whether it may be sent."""
        ...

    def days_of(self, items: Sequence[Item]) -> set[date]:
        """Return the UTC days whose finalizations may list these files."""
        ...

    def locked(self) -> AbstractContextManager[object]:
        """Hold the lock under which the finalizations of these files are published."""
        ...


@dataclass
class KeepEverything:
    """A guard of files that no finalization lists: all may be sent, and each version that they replace is kept."""

    keeps_all: bool = True

    def decide(self, items: Iterable[Item]) -> GuardDecision:
        """See :meth:`Guard.decide`."""
        return GuardDecision(vouched=list(items))

    def days_of(self, items: Sequence[Item]) -> set[date]:
        """See :meth:`Guard.days_of`."""
        return set()

    def locked(self) -> AbstractContextManager[object]:
        """See :meth:`Guard.locked`."""
        return nullcontext()


@dataclass(frozen=True)
class TransferRequest:
    """The files of a push and how to send them."""

    lane: str
    """Names its locks and private directories, local and in the archive; pushes of one lane wait for each other."""
    outgoing: Path
    """The directory of its upload tree, on the file system of the originals."""
    offers: Mapping[str, Sequence[Item]]
    """Group of the ledger -> its files, as they are now."""
    days: Collection[date] | None = None
    """Send only queued files of these days and those without a day; None: all."""
    only: Collection[str] | None = None
    """Send only queued files with these remote paths; None: all."""
    in_place: bool = False
    """Whether files may be written in place, and not only replaced."""
    databases: Collection[str] = ()
    """Local paths of databases, of which a backup is sent."""
    closed: Collection[str] = ()
    """Directories of the archive into which none of these files may go."""
    guard: Guard | None = None
    """Decides which files may be sent; None where no finalization protects them."""
    withdraw: Callable[[Sequence[Item]], None] | None = None
    """Called before finalized files get new versions in the archive: from then on no finalization there is true."""
    refused: Count = field(default_factory=Count)
    """Entries that were found and may not be copied."""
    left_out: Count = field(default_factory=Count)
    """The platform's own entries, such as staged files; the archive does not need them."""
    empty_directories: Count = field(default_factory=Count)
    """Directories without any entry, which no transfer makes."""


@dataclass(frozen=True)
class PushReport:
    """The result of a push. seen = files + unchanged + unsettled + failed + parked + refused."""

    host: Annotated[str | None, SHOWN]
    """The host that was used last; None where no file was to be sent."""
    host_errors: Annotated[Mapping[str, str], Show("hosts_that_did_not_work", rare=True)]
    """The hosts that did not work, each with its error."""
    seen: Annotated[int, SHOWN]
    files: Annotated[int, Show("pushed_files", rank=1)]
    bytes: Annotated[int, Show("pushed_bytes", unit="bytes", rank=2)]
    seconds: Annotated[float, SHOWN]
    unchanged: Annotated[int, SHOWN]
    unsettled: Annotated[Count, Show(rank=4)]
    failed: Annotated[Count, Show(rank=3)]
    """Files that a transfer left out, or that cannot be read locally; they are tried again."""
    parked: Annotated[Count, RARE]
    """Files that are not tried any more."""
    refused: Annotated[Count, RARE]
    held: Annotated[Count, Show("held_back", rare=True)]
    """The refused files that the guard holds back, each with the reason."""
    replaced: Annotated[Count, RARE]
    """Files that replaced a finalized version in the archive; that version is kept."""
    kept_in: Annotated[tuple[str, ...], Show("replaced_kept_in", rare=True)]
    """The directories in the archive that keep replaced versions."""
    left_out: Annotated[Count, RARE]
    """The platform's own entries, which were left out; ``seen`` does not include them."""
    notes: Annotated[tuple[str, ...], RARE]
    literal_bytes: int = 0
    matched_bytes: int = 0
    read_back: Annotated[int, RARE] = 0
    """Copied files that were fetched again and hashed here."""
    read_back_bytes: int = 0
    read_back_wrong: Annotated[Count, RARE] = field(default_factory=Count)
    """Files of which the archive has other bytes, by this machine's own reading."""
    read_back_failed: Annotated[Count, RARE] = field(default_factory=Count)
    """Samples that could not be fetched, each with the error."""
    empty_directories: Annotated[Count, RARE] = field(default_factory=Count)
    """Directories without any entry; the archive has files and their directories only."""

    @classmethod
    def sum_of(cls, reports: Sequence[PushReport]) -> PushReport:
        """Several pushes as one report."""
        added: dict[str, Any] = {
            name: sum(getattr(report, name) for report in reports)
            for name in (
                *("seen", "files", "bytes", "seconds", "unchanged", "literal_bytes", "matched_bytes"),
                *("read_back", "read_back_bytes"),
            )
        } | {
            name: Count.sum_of(getattr(report, name) for report in reports)
            for name in (
                *("unsettled", "failed", "parked", "refused", "held", "replaced", "left_out"),
                *("read_back_wrong", "read_back_failed", "empty_directories"),
            )
        }
        return cls(
            host=", ".join(sorted({report.host for report in reports if report.host})) or None,
            host_errors={host: error for report in reports for host, error in report.host_errors.items()},
            kept_in=tuple(place for report in reports for place in report.kept_in),
            notes=tuple(note for report in reports for note in report.notes),
            **added,
        )

    @property
    def rate(self) -> Annotated[float, Show(unit="bytes/s")]:
        """Bytes per second over the whole push."""
        return self.bytes / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """The report in one line, for the operator."""
        return (
            f"seen {self.seen} = copied {self.files} + unchanged {self.unchanged} + unsettled {self.unsettled.total}"
            f" + failed {self.failed.total} + parked {self.parked.total} + refused {self.refused.total};"
            f" {format_transfer(self.bytes, self.seconds)}"
            + (f" by {self.host}" if self.host else "")
            + (f"; {self.replaced.total} replaced, kept in {', '.join(self.kept_in)}" if self.kept_in else "")
        )
