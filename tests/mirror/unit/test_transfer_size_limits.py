"""Each transfer's files are of about one size, so that what one of them may grow to is near what was listed of it."""

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
from tests.mirror.parts import ANYTHING, Meanwhile, Mirror, left_over, stream_of, write

MB, MIB, GIB = 1_000_000, 1 << 20, 1 << 30


@dataclass
class Asked:
    """A transfer that brings nothing and notes what it was asked for: sizes, and the bound."""

    sizes: dict[str, int]
    asked: list[tuple[list[int], int]] = field(default_factory=list)

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        self.asked.append(([self.sizes[path] for path in paths], largest))
        return TransferResult(0, 0)


def asked(mirror: Mirror, far: Path, sizes: Sequence[int]) -> list[tuple[list[int], int]]:
    """The transfers of one pass over files of these sizes, all of which are holes."""
    names = {f"{number:03}.dat": size for number, size in enumerate(sizes)}
    write(far, dict.fromkeys(names, b""))
    for name, size in names.items():
        stamps = (far / name).stat()
        os.truncate(far / name, size)
        os.utime(far / name, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    transfer = Asked(names)
    mirror.run(transfer=transfer, keep_free="0%")
    return transfer.asked


@pytest.fixture
def mirror(far: Path, tmp_path: Path) -> Mirror:
    (tmp_path / "home" / "raw").mkdir(parents=True)
    return Mirror(stream_of(far, ANYTHING), tmp_path / "home")


@pytest.mark.parametrize(
    "sizes",
    [[5 * MB] * 20, [3 * MB, 9 * MB, 40 * MB], [0, 10, 1000, MIB], [*range(0, MIB, 50_000)]],
    ids=["one size", "images by day and by night", "small ones", "all below 1 MiB"],
)
def test_files_of_about_one_size_are_one_transfer(mirror: Mirror, far: Path, sizes: list[int]) -> None:
    assert len(asked(mirror, far, sizes)) == 1


def test_however_sizes_are_mixed_each_bound_is_near_and_transfers_are_few(
    far: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @settings(max_examples=15)
    @given(st.lists(st.integers(0, 30).map(lambda power: int(1.9**power)) | st.integers(0, GIB // 8), max_size=25))
    def check(sizes: list[int]) -> None:
        for old in far.iterdir():
            old.unlink()
        mirror = Mirror(stream_of(far, ANYTHING), tmp_path_factory.mktemp("home"))
        transfers = asked(mirror, far, sizes)
        assert sorted(size for group, _ in transfers for size in group) == sorted(sizes)
        assert len(transfers) <= 1 + max(0, math.ceil(math.log(max([MIB, *sizes]) / MIB, 16)))
        for group, most in transfers:
            assert max(group) + MIB == most
            assert all(most <= 16 * (size + 1) + 2 * MIB for size in group)

    check()


def test_small_files_that_grow_while_they_are_sent_take_no_room_that_a_large_one_beside_them_has(
    mirror: Mirror, far: Path
) -> None:
    small = [f"s{number}.dat" for number in range(4)]
    write(far, {"a.dat": random.Random(1).randbytes(3 * MB), **dict.fromkeys(small, b"x" * 10), "z.dat": b"z"})

    def grow() -> None:
        for name in small:
            stamps = (far / name).stat()
            (far / name).write_bytes(random.Random(name).randbytes(3 * MB))
            os.utime(far / name, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))

    def passes() -> Any:
        report = mirror.run(source=Meanwhile(mirror.source, grow))
        (day,) = report.days
        return day.copied, {reason: sorted(count.first) for reason, count in day.refused.items()}, left_over(mirror.raw)

    copied, refused, parts = with_mounts([tmpfs(mirror.raw, "8m")], passes)
    assert (copied, parts) == (2, [])
    assert refused == {"not copied: larger than its listed size": small}


def test_parts_are_given_up_where_the_disk_was_full_although_it_says_that_it_has_room(
    mirror: Mirror, far: Path
) -> None:
    write(far, {"a.dat": random.Random(1).randbytes(5 * MB)})

    class FullForAWhile:
        """A real transfer to a disk that is full meanwhile; a quota looks like that: nobody asks it for its room."""

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
            said, is_full = str(error), error.is_full
        return said, is_full, left_over(mirror.raw)

    said, is_full, parts = with_mounts([tmpfs(mirror.raw, "8m")], passes)
    assert "No space left" in said
    assert is_full
    assert [part for part in parts if "/partial/" in part] == []
