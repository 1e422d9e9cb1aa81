"""The files of a transfer have about the same size, so that the size limit is close to each listed size."""

import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_platform.errors import TransferError
from aurora_platform.mirror.sync import Transfer, TransferResult
from tests.disks import tmpfs, with_mounts
from tests.mirror.parts import ANYTHING, ChangingSource, Mirror, left_over, stream_of, write

MB, MIB, GIB = 1_000_000, 1 << 20, 1 << 30


@dataclass
class RecordingTransfer:
    """A transfer that copies nothing and records the requested sizes and the size limit."""

    sizes: dict[str, int]
    transfers: list[tuple[list[int], int]] = field(default_factory=list)

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        self.transfers.append(([self.sizes[path] for path in paths], largest))
        return TransferResult(0, 0)


def transfers_of(mirror: Mirror, source_root: Path, sizes: Sequence[int]) -> list[tuple[list[int], int]]:
    """The transfers of one pass over sparse files of these sizes."""
    names = {f"{number:03}.dat": size for number, size in enumerate(sizes)}
    write(source_root, dict.fromkeys(names, b""))
    for name, size in names.items():
        stamps = (source_root / name).stat()
        os.truncate(source_root / name, size)
        os.utime(source_root / name, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    transfer = RecordingTransfer(names)
    mirror.run(transfer=transfer, reserve="0%")
    return transfer.transfers


@pytest.fixture
def mirror(source_root: Path, tmp_path: Path) -> Mirror:
    (tmp_path / "home" / "raw").mkdir(parents=True)
    return Mirror(stream_of(source_root, ANYTHING), tmp_path / "home")


@pytest.mark.parametrize(
    "sizes",
    [[5 * MB] * 20, [3 * MB, 9 * MB, 40 * MB], [0, 10, 1000, MIB], [*range(0, MIB, 50_000)]],
    ids=["one size", "images by day and by night", "small files", "all below 1 MiB"],
)
def test_files_of_about_one_size_are_one_transfer(mirror: Mirror, source_root: Path, sizes: list[int]) -> None:
    assert len(transfers_of(mirror, source_root, sizes)) == 1


def test_for_any_sizes_each_limit_is_close_and_transfers_are_few(
    source_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @settings(max_examples=15)
    @given(st.lists(st.integers(0, 30).map(lambda power: int(1.9**power)) | st.integers(0, GIB // 8), max_size=25))
    def check(sizes: list[int]) -> None:
        for old in source_root.iterdir():
            old.unlink()
        mirror = Mirror(stream_of(source_root, ANYTHING), tmp_path_factory.mktemp("home"))
        transfers = transfers_of(mirror, source_root, sizes)
        assert sorted(size for group, _ in transfers for size in group) == sorted(sizes)
        assert len(transfers) <= 1 + max(0, math.ceil(math.log(max([MIB, *sizes]) / MIB, 16)))
        for group, most in transfers:
            assert max(group) + MIB == most
            assert all(most <= 16 * (size + 1) + 2 * MIB for size in group)

    check()


def test_small_files_may_not_grow_to_the_size_of_a_large_file_in_the_same_batch(
    mirror: Mirror, source_root: Path
) -> None:
    small = [f"s{number}.dat" for number in range(4)]
    write(source_root, {"a.dat": random.Random(1).randbytes(3 * MB), **dict.fromkeys(small, b"x" * 10), "z.dat": b"z"})

    def grow() -> None:
        for name in small:
            stamps = (source_root / name).stat()
            (source_root / name).write_bytes(random.Random(name).randbytes(3 * MB))
            os.utime(source_root / name, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))

    def passes() -> Any:
        report = mirror.run(source=ChangingSource(mirror.source, grow))
        (day,) = report.days
        return day.copied, {reason: sorted(count.first) for reason, count in day.refused.items()}, left_over(mirror.raw)

    copied, refused, parts = with_mounts([tmpfs(mirror.raw, "8m")], passes)
    assert (copied, parts) == (2, [])
    assert refused == {"not copied: larger than its listed size": small}


def test_partial_files_are_deleted_after_a_full_disk_even_if_free_space_is_reported(
    mirror: Mirror, source_root: Path
) -> None:
    write(source_root, {"a.dat": random.Random(1).randbytes(5 * MB)})

    class FullForAWhile:
        """A real transfer to a disk that is full for a while, as with a quota, which statvfs does not show."""

        def fetch(self, root: str, paths: Sequence[str], *places: Any, **more: Any) -> TransferResult:
            (mirror.raw / "another").write_bytes(bytes(5 * MB))
            try:
                return mirror.transfer.fetch(root, paths, *places, **more)
            finally:
                (mirror.raw / "another").unlink()

    def passes() -> Any:
        transfer: Transfer = FullForAWhile()
        try:
            mirror.run(transfer=transfer)
        except TransferError as error:
            message, is_full = str(error), error.is_full
        return message, is_full, left_over(mirror.raw)

    message, is_full, parts = with_mounts([tmpfs(mirror.raw, "8m")], passes)
    assert "No space left" in message
    assert is_full
    assert [part for part in parts if "/partial/" in part] == []
