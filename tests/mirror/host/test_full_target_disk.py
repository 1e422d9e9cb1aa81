"""A full target disk, or one without free inodes: its files are refused, and the others are copied."""

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
def mirror(source_root: Path, tmp_path: Path) -> Mirror:
    mirror = Mirror(stream_of(source_root, ANYTHING), tmp_path / "home")
    (mirror.root / "in").mkdir(parents=True)
    return mirror


def local_files(mirror: Mirror) -> list[str]:
    return sorted(str(path.relative_to(mirror.root)) for path in mirror.root.rglob("*") if path.is_file())


def refused(report: MirrorReport) -> dict[str, list[str]]:
    assert adds_up(report)
    return {reason: count.first for day in report.days for reason, count in day.refused.items()}


@pytest.mark.parametrize("resource", ["bytes", "inodes"])
def test_a_full_disk_below_the_streams_directory_refuses_only_its_own_files(
    mirror: Mirror, source_root: Path, resource: str
) -> None:
    deep = mirror.root / "in"
    write(source_root, {"b.dat": b"b", DEEP: random.Random(1).randbytes(5 * MB), "in/new/c.dat": b"c", "z/z.dat": b"z"})
    options = "size=1m" if resource == "bytes" else "size=8m,nr_inodes=1"

    def run_passes() -> Any:
        results = [mirror.run(), mirror.run()]
        local, parts = local_files(mirror), left_over(mirror.raw)
        if resource == "bytes":
            write(source_root, {DEEP: b"small"}, at=SETTLED + timedelta(hours=1))
            results.append(mirror.run())
        return [(report.total("copied"), refused(report), report.short_of_space) for report in results], local, parts

    results, local, parts = with_mounts([["-t", "tmpfs", "-o", options, "none", deep]], run_passes)
    names = [DEEP] if resource == "bytes" else [DEEP, "in/new/c.dat"]
    assert local == sorted({"b.dat", DEEP, "in/new/c.dat", "z/z.dat"} - {*names})
    assert parts == [], "arrived files are not kept: others need their space"
    for copied, reasons, warned in results[:2]:
        ((reason, named),) = reasons.items()
        assert reason.startswith("does not fit on the disk of its directory: no bytes or inodes are left"), reason
        assert sorted(named) == names
        assert len(warned) == 1
        assert copied == (4 - len(names) if (copied, reasons, warned) == results[0] else 0)
    assert [entry[:2] for entry in results[2:]] == ([(1, {})] if resource == "bytes" else [])


def test_files_without_a_free_inode_are_refused_and_the_others_are_copied(mirror: Mirror, source_root: Path) -> None:
    write(source_root, {f"{number:02}.dat": b"x" * 10 for number in range(6)})
    raw = mirror.raw

    def run_passes() -> Any:
        reports = [mirror.run(), mirror.run()]
        return [(report.total("copied"), refused(report)) for report in reports], local_files(mirror), left_over(raw)

    results, local, parts = with_mounts([["-t", "tmpfs", "-o", "size=8m,nr_inodes=12", "none", raw]], run_passes)
    assert parts == []
    assert 0 < len(local) < 6
    for _, reasons in results:
        (reason,) = reasons
        assert "inodes free, every file and directory needs one" in reason
    assert sum(copied for copied, _ in results) == len(local)
    assert sum(len(named) for named in results[-1][1].values()) == 6 - len(local)


def test_a_file_system_that_counts_no_inodes_is_not_short_of_them(mirror: Mirror, source_root: Path) -> None:
    write(source_root, {"a.dat": b"a"})
    uncounted = ["-t", "tmpfs", "-o", "size=8m,nr_inodes=0", "none", mirror.raw]
    assert with_mounts([uncounted], lambda: mirror.run().total("copied")) == 1
    assert with_mounts([tmpfs(mirror.raw, "8m")], lambda: mirror.run().total("copied")) == 1


@pytest.mark.parametrize("fault", ["read-only", "no inodes"])
def test_if_the_mtime_resolution_cannot_be_measured_the_error_says_what_to_check(
    mirror: Mirror, source_root: Path, fault: str
) -> None:
    write(source_root, {"a.dat": b"a", "b.dat": b"b"})

    def run_passes() -> Any:
        mirror.run()
        write(source_root, {"a.dat": b"b"}, at=SETTLED + timedelta(hours=1))  # only their mtimes tell them apart
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
    message, transient, is_full = with_mounts([options], run_passes)
    assert message.startswith(f"{mirror.work}/new: cannot write a test file to measure the mtime resolution (")
    assert f"Check `df -i {mirror.work}`" in message
    assert (transient, is_full) == (True, fault == "no inodes")
