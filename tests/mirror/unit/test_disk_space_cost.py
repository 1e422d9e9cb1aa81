"""What a look for room costs: steps that grow with the number of files, and never with its square."""

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


class Counted(list[ScannedEntry[str]]):
    """The files of a pass, which count how many of them were looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[ScannedEntry[str]]:
        for file in super().__iter__():
            self.looked_at += 1
            yield file


def steps(home: Path, files: int, keep_free: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """How many files fit, how many were looked at besides those of each part, and how often the disk was asked."""
    root = home / str(files) / "all"
    root.mkdir(parents=True)
    work = WorkDirectory.of(root, "all", "all")
    (work.path / "partial").mkdir(parents=True)
    for number in range(10):
        (work.path / "partial" / f"{number}.dat").touch()
    wanted = Counted(ScannedEntry(f"{number}.dat", FileVersion(1000, number)) for number in range(files))
    room, day, asked, ask = FreeSpace(work, keep_free), DayPlan(DAY), [0], os.statvfs

    def counting(place: Any) -> os.statvfs_result:
        asked[0] += 1
        return ask(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", counting)
        pairs = [(day, file) for file in list.__iter__(wanted)]
        fits = sum(
            len(room.select_fitting(part, wanted))
            for part in in_parts(pairs, lambda one: one[1].version.size, most=100)
        )
    assert fits + day.refused_count == files
    return fits, wanted.looked_at, asked[0]


@pytest.mark.parametrize(("keep_free", "fit"), [("0%", 1), ("100T", 0)])
def test_each_file_of_a_pass_is_looked_at_once_and_the_disk_is_asked_once_a_part(
    tmp_path: Path, keep_free: str, fit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for files in (500, 1000, 2000):
        fits, looked_at, asked = steps(tmp_path, files, keep_free, monkeypatch)
        assert fits == fit * files
        assert looked_at == (1 - fit) * files, "to keep the parts of what is wanted, once, and only where room is short"
        assert asked <= files / 100 + 12, "once a part, once for the reason, and after each part that was given up"
