"""Cost of the free-space check: its steps grow with the number of files, and never with its square."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.fs.versions import FileVersion, ScannedEntry, in_parts
from aurora_platform.mirror.disk_space import FreeSpace
from aurora_platform.mirror.plan import DayPlan
from aurora_platform.mirror.work_directory import WorkDirectory
from tests.mirror.parts import DAY


class CountingList(list[ScannedEntry[str]]):
    """The files of a pass; it counts how many were iterated."""

    iterated = 0

    def __iter__(self) -> Iterator[ScannedEntry[str]]:
        for file in super().__iter__():
            self.iterated += 1
            yield file


def measure(home: Path, files: int, reserve: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """Return how many files fit, how many were iterated besides the batches, and the number of statvfs calls."""
    root = home / str(files) / "all"
    root.mkdir(parents=True)
    work = WorkDirectory.of(root, "all", "all")
    (work.path / "partial").mkdir(parents=True)
    for number in range(10):
        (work.path / "partial" / f"{number}.dat").touch()
    wanted = CountingList(ScannedEntry(f"{number}.dat", FileVersion(1000, number)) for number in range(files))
    space, day, statvfs_calls, ask = FreeSpace(work, reserve), DayPlan(DAY), [0], os.statvfs

    def counting(place: Any) -> os.statvfs_result:
        statvfs_calls[0] += 1
        return ask(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", counting)
        pairs = [(day, file) for file in list.__iter__(wanted)]
        fitting = sum(
            len(space.select_fitting(batch, wanted))
            for batch in in_parts(pairs, lambda pair: pair[1].version.size, most=100)
        )
    assert fitting + day.refused_count == files
    return fitting, wanted.iterated, statvfs_calls[0]


@pytest.mark.parametrize(("reserve", "share"), [("0%", 1), ("100T", 0)])
def test_each_file_is_iterated_once_and_the_free_space_is_read_once_per_batch(
    tmp_path: Path, reserve: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for files in (500, 1000, 2000):
        fitting, iterated, statvfs_calls = measure(tmp_path, files, reserve, monkeypatch)
        assert fitting == share * files
        assert iterated == (1 - share) * files, (
            "once, to keep the partial files of wanted files, and only if space is short"
        )
        assert statvfs_calls <= files / 100 + 12, (
            "once per batch, once for the reason, and once per deleted partial file"
        )
