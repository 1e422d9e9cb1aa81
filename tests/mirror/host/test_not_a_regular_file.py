"""Only a regular file gets a raw file's name, whatever happens on the host or to its local path during a pass."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from aurora_platform.mirror.plan import NAME_TAKEN, PATH_BLOCKED
from aurora_platform.mirror.publish import NO_REGULAR_FILE
from aurora_platform.mirror.sync import Transfer, TransferResult
from tests.mirror.parts import ChangingSource, Mirror, adds_up, left_over, write

NOT_COPIED = "not copied: deleted on the host, or not readable"


def make_directory(path: Path) -> None:
    path.mkdir()


def make_full_directory(path: Path) -> None:
    write(path, {"below": b"x"})


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_symlink(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@dataclass
class ChangingTransfer:
    """A real transfer, after which the local tree changes."""

    transfer: Transfer
    change: Callable[[], object]

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        done = self.transfer.fetch(root, paths, target, work, lock, largest)
        self.change()
        return done


@pytest.mark.parametrize(
    ("make_entry", "reason"),
    [
        (make_directory, NO_REGULAR_FILE),
        (make_full_directory, NO_REGULAR_FILE),
        (make_fifo, NOT_COPIED),
        (make_symlink, NOT_COPIED),
    ],
)
def test_an_entry_that_is_no_longer_a_regular_file_is_refused_and_not_published(
    either: Mirror, make_entry: Callable[[Path], None], reason: str
) -> None:
    source_root = Path(either.stream.path)
    write(source_root, {"in/swapped": b"x", "in/stays": b"y"})

    def swap() -> None:
        (source_root / "in/swapped").unlink()
        make_entry(source_root / "in/swapped")

    report = either.run(source=ChangingSource(either.source, swap))
    (day,) = report.days
    assert (day.copied, {why: count.first for why, count in day.refused.items()}) == (1, {reason: ["in/swapped"]})
    assert adds_up(report)
    assert sorted(os.listdir(either.root / "in")) == ["stays"]
    assert left_over(either.raw) == []


@pytest.mark.parametrize("make_entry", [make_directory, make_full_directory, make_fifo, make_symlink])
def test_a_local_entry_that_takes_a_files_name_stays_and_the_file_is_refused(
    source_root: Path, either: Mirror, make_entry: Callable[[Path], None]
) -> None:
    write(source_root, {"in/taken": b"x", "in/stays": b"y"})
    (either.root / "in").mkdir(parents=True)
    report = either.run(transfer=ChangingTransfer(either.transfer, lambda: make_entry(either.root / "in/taken")))
    (day,) = report.days
    assert (day.copied, {why: count.first for why, count in day.refused.items()}) == (1, {NAME_TAKEN: ["in/taken"]})
    assert adds_up(report)
    assert not os.path.isfile(either.root / "in/taken") or os.path.islink(either.root / "in/taken")
    assert left_over(either.raw) == []


@pytest.mark.parametrize("is_link", [True, False], ids=["symlink", "file"])
def test_a_symlink_or_file_on_the_path_never_leads_out_of_the_raw_root(
    source_root: Path, either: Mirror, tmp_path: Path, is_link: bool
) -> None:
    write(source_root, {"in/led/away": b"x", "stays": b"y"})
    (either.root / "in").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()

    def block_path() -> None:
        if is_link:
            (either.root / "in/led").symlink_to(outside)
        else:
            (either.root / "in/led").write_bytes(b"")

    report = either.run(transfer=ChangingTransfer(either.transfer, block_path))
    (day,) = report.days
    assert (day.copied, {why: count.first for why, count in day.refused.items()}) == (
        1,
        {PATH_BLOCKED: ["in/led/away"]},
    )
    assert adds_up(report)
    assert os.listdir(outside) == []
    assert left_over(either.raw) == []
