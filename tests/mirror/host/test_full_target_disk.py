"""A disk that is full where a file gets its name, or holds no more files: that file is refused, the others come."""

import os
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.errors import TransferError
from aurora_platform.mirror.reports import MirrorReport
from tests.disks import mount, tmpfs, with_mounts
from tests.mirror.parts import ANYTHING, SETTLED, Mirror, adds_up, left_over, stream_of, write

MB = 1_000_000
DEEP = "in/a.dat"


@pytest.fixture
def mirror(far: Path, tmp_path: Path) -> Mirror:
    mirror = Mirror(stream_of(far, ANYTHING), tmp_path / "home")
    (mirror.root / "in").mkdir(parents=True)
    return mirror


def here(mirror: Mirror) -> list[str]:
    return sorted(str(path.relative_to(mirror.root)) for path in mirror.root.rglob("*") if path.is_file())


def refused(report: MirrorReport) -> dict[str, list[str]]:
    assert adds_up(report)
    return {reason: count.first for day in report.days for reason, count in day.refused.items()}


@pytest.mark.parametrize("what", ["bytes", "inodes"])
def test_a_full_disk_below_the_streams_directory_refuses_its_own_files_and_no_others(
    mirror: Mirror, far: Path, what: str
) -> None:
    deep = mirror.root / "in"
    write(far, {"b.dat": b"b", DEEP: random.Random(1).randbytes(5 * MB), "in/new/c.dat": b"c", "z/z.dat": b"z"})
    options = "size=1m" if what == "bytes" else "size=8m,nr_inodes=1"

    def passes() -> Any:
        found = [mirror.run(), mirror.run()]
        there, parts = here(mirror), left_over(mirror.raw)
        if what == "bytes":
            write(far, {DEEP: b"small"}, at=SETTLED + timedelta(hours=1))
            found.append(mirror.run())
        return [(report.total("copied"), refused(report), report.short_of_space) for report in found], there, parts

    found, there, parts = with_mounts([["-t", "tmpfs", "-o", options, "none", deep]], passes)
    names = [DEEP] if what == "bytes" else [DEEP, "in/new/c.dat"]
    assert there == sorted({"b.dat", DEEP, "in/new/c.dat", "z/z.dat"} - {*names})
    assert parts == [], "what had come is not kept: it takes the others' room"
    for copied, reasons, warned in found[:2]:
        ((reason, named),) = reasons.items()
        assert reason.startswith("does not fit on the disk of its directory: no bytes or inodes are left"), reason
        assert sorted(named) == names
        assert len(warned) == 1
        assert copied == (4 - len(names) if (copied, reasons, warned) == found[0] else 0)
    assert [entry[:2] for entry in found[2:]] == ([(1, {})] if what == "bytes" else [])


def test_files_for_which_a_disk_has_no_inodes_are_refused_and_the_others_come(mirror: Mirror, far: Path) -> None:
    write(far, {f"{number:02}.dat": b"x" * 10 for number in range(6)})
    raw = mirror.raw

    def passes() -> Any:
        reports = [mirror.run(), mirror.run()]
        return [(report.total("copied"), refused(report)) for report in reports], here(mirror), left_over(raw)

    found, there, parts = with_mounts([["-t", "tmpfs", "-o", "size=8m,nr_inodes=12", "none", raw]], passes)
    assert parts == []
    assert 0 < len(there) < 6
    for _, reasons in found:
        (reason,) = reasons
        assert "inodes free, every file and directory needs one" in reason
    assert sum(copied for copied, _ in found) == len(there)
    assert sum(len(named) for named in found[-1][1].values()) == 6 - len(there)


def test_a_file_system_that_counts_no_inodes_is_not_short_of_them(mirror: Mirror, far: Path) -> None:
    write(far, {"a.dat": b"a"})
    uncounted = ["-t", "tmpfs", "-o", "size=8m,nr_inodes=0", "none", mirror.raw]
    assert with_mounts([uncounted], lambda: mirror.run().total("copied")) == 1
    assert with_mounts([tmpfs(mirror.raw, "8m")], lambda: mirror.run().total("copied")) == 1


@pytest.mark.parametrize("fault", ["read-only", "no inodes"])
def test_a_disk_on_which_nothing_can_be_tried_out_is_named_with_what_to_look_at(
    mirror: Mirror, far: Path, fault: str
) -> None:
    write(far, {"a.dat": b"a", "b.dat": b"b"})

    def passes() -> Any:
        mirror.run()
        write(far, {"a.dat": b"b"}, at=SETTLED + timedelta(hours=1))  # only their mtimes tell them apart
        if fault == "read-only":
            mount("-o", "remount,ro", mirror.raw)
        else:
            for number in range(os.statvfs(mirror.raw).f_favail):
                (mirror.raw / str(number)).touch()
        try:
            mirror.run()
        except TransferError as error:
            return str(error), error.transient, error.is_full

    options = ["-t", "tmpfs", "-o", "size=8m,nr_inodes=40", "none", mirror.raw]
    said, transient, is_full = with_mounts([options], passes)
    assert said.startswith(f"{mirror.work}/new: cannot write a test file to measure the mtime resolution (")
    assert f"Check `df -i {mirror.work}`" in said
    assert (transient, is_full) == (True, fault == "no inodes")
