"""Only a regular file ever gets a raw file's name, whatever becomes of it there, or of its place here, meanwhile."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from aurora_platform.mirror.plan import NAME_TAKEN, PATH_BLOCKED
from aurora_platform.mirror.publish import NO_REGULAR_FILE
from aurora_platform.mirror.sync import Transfer, TransferResult
from tests.mirror.parts import Meanwhile, Mirror, adds_up, left_over, write

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
class Then:
    """A real transfer, after which something happens here."""

    transfer: Transfer
    happens: Callable[[], object]

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        done = self.transfer.fetch(root, paths, target, work, lock, largest)
        self.happens()
        return done


@pytest.mark.parametrize(
    ("becomes", "reason"),
    [
        (make_directory, NO_REGULAR_FILE),
        (make_full_directory, NO_REGULAR_FILE),
        (make_fifo, NOT_COPIED),
        (make_symlink, NOT_COPIED),
    ],
)
def test_what_is_no_file_any_more_when_it_is_copied_is_refused_and_takes_no_name(
    either: Mirror, becomes: Callable[[Path], None], reason: str
) -> None:
    far = Path(either.stream.path)
    write(far, {"in/swapped": b"x", "in/stays": b"y"})

    def swap() -> None:
        (far / "in/swapped").unlink()
        becomes(far / "in/swapped")

    report = either.run(source=Meanwhile(either.source, swap))
    (day,) = report.days
    assert (day.copied, {why: count.first for why, count in day.refused.items()}) == (1, {reason: ["in/swapped"]})
    assert adds_up(report)
    assert sorted(os.listdir(either.root / "in")) == ["stays"]
    assert left_over(either.raw) == []


@pytest.mark.parametrize("stands", [make_directory, make_full_directory, make_fifo, make_symlink])
def test_what_takes_a_files_name_here_during_the_transfer_stays_and_the_file_is_refused(
    far: Path, either: Mirror, stands: Callable[[Path], None]
) -> None:
    write(far, {"in/taken": b"x", "in/stays": b"y"})
    (either.root / "in").mkdir(parents=True)
    report = either.run(transfer=Then(either.transfer, lambda: stands(either.root / "in/taken")))
    (day,) = report.days
    assert (day.copied, {why: count.first for why, count in day.refused.items()}) == (1, {NAME_TAKEN: ["in/taken"]})
    assert adds_up(report)
    assert not os.path.isfile(either.root / "in/taken") or os.path.islink(either.root / "in/taken")
    assert left_over(either.raw) == []


@pytest.mark.parametrize("is_link", [True, False], ids=["symlink", "file"])
def test_what_stands_on_the_way_since_the_plan_leads_nothing_out_of_the_raw_root(
    far: Path, either: Mirror, tmp_path: Path, is_link: bool
) -> None:
    write(far, {"in/led/away": b"x", "stays": b"y"})
    (either.root / "in").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()

    def stand() -> None:
        if is_link:
            (either.root / "in/led").symlink_to(outside)
        else:
            (either.root / "in/led").write_bytes(b"")

    report = either.run(transfer=Then(either.transfer, stand))
    (day,) = report.days
    assert (day.copied, {why: count.first for why, count in day.refused.items()}) == (
        1,
        {PATH_BLOCKED: ["in/led/away"]},
    )
    assert adds_up(report)
    assert os.listdir(outside) == []
    assert left_over(either.raw) == []
