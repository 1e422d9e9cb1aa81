"""Streams on another device or a bind mount: files cannot be renamed from the raw root to their directories."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.archive.selection import raw_items
from aurora_platform.mirror.checks import local_files, nothing_unexpected
from aurora_platform.text import Count
from tests.disks import tmpfs, with_mounts
from tests.mirror.parts import (
    ANYTHING,
    DAY,
    SETTLED,
    Mirror,
    RecordingTransfer,
    adds_up,
    differences,
    left_over,
    stream_of,
    write,
)

FILES = {"in/deep/a": b"a" * 1000, "b": b"b"}


@pytest.fixture
def mirror(source_root: Path, tmp_path: Path) -> Mirror:
    """A stream whose directory and a subdirectory exist already, as mount points do."""
    write(source_root, FILES)
    mirror = Mirror(stream_of(source_root, ANYTHING), tmp_path / "home")
    (mirror.root / "in").mkdir(parents=True)
    return mirror


def run_passes(mirror: Mirror, source_root: Path) -> Any:
    """Run three passes; the last copies a new file. Return how many files each copied, and its work directories."""
    results = []
    for content in (b"b", b"b", b"new"):
        write(source_root, {"b": content}, at=SETTLED + timedelta(hours=len(content)))
        transfer = RecordingTransfer(mirror.transfer)
        report = mirror.run(transfer=transfer)
        assert adds_up(report)
        assert report.total("refused_count") == 0
        assert differences(source_root, mirror.root) == []
        assert left_over(mirror.raw) == []
        assert mirror.scan().behind == []
        results.append(
            (report.total("copied"), [str(work.relative_to(mirror.raw)) for work, _ in transfer.work_and_lock])
        )
    return results


OWN, SHARED = ["all/.incoming/wxcam"], [".incoming/wxcam"]


def test_a_stream_on_its_own_device_has_its_work_directory_on_that_device(mirror: Mirror, source_root: Path) -> None:
    results = with_mounts([tmpfs(mirror.root, "8m")], lambda: run_passes(mirror, source_root))
    assert results == [(2, OWN), (0, []), (1, OWN)]


def test_a_bind_mounted_stream_is_published_and_switches_to_its_own_work_directory(
    mirror: Mirror, source_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    results = with_mounts([["--bind", tmp_path / "elsewhere", mirror.root]], lambda: run_passes(mirror, source_root))
    assert results == [(2, SHARED), (0, []), (1, OWN)]


@pytest.mark.parametrize("is_bind", [False, True], ids=["another device", "bind mount"])
def test_files_are_copied_to_a_subdirectory_on_another_disk(
    mirror: Mirror, source_root: Path, tmp_path: Path, is_bind: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    deep = mirror.root / "in"
    mounted = ["--bind", tmp_path / "elsewhere", deep] if is_bind else tmpfs(deep, "8m")
    results = with_mounts([mounted], lambda: run_passes(mirror, source_root))
    assert [copied for copied, _ in results] == [2, 0, 1]


def test_an_unfinished_copy_of_a_killed_run_is_removed_by_the_next_run(mirror: Mirror, source_root: Path) -> None:
    def act() -> Any:
        deep = mirror.root / "in/deep"
        deep.mkdir()
        (deep / ".a.aurora").write_bytes(b"half")
        mirror.work.mkdir(parents=True)
        (mirror.work / "files").write_bytes(b"./in/deep/a\0./b\0")
        (source_root / "in/deep/a").unlink()  # it is not fetched again
        mirror.run()
        return left_over(mirror.raw)

    assert with_mounts([tmpfs(mirror.root / "in", "8m")], act) == []


def test_files_in_the_former_work_directory_are_removed_after_a_disk_was_mounted(
    mirror: Mirror, source_root: Path
) -> None:
    def act() -> Any:
        (mirror.work / "partial").mkdir(parents=True)
        (mirror.work / "partial" / "a").write_bytes(b"half")
        mirror.run()
        return left_over(mirror.raw)

    assert with_mounts([tmpfs(mirror.root, "8m")], act) == []


def test_files_in_a_streams_own_work_directory_are_not_checked_and_not_archived(
    mirror: Mirror, source_root: Path
) -> None:
    mirror.run()
    for name in ("arrived/c", "partial/c", "new/.c.AbCdEf"):
        write(mirror.root / ".incoming" / "wxcam", {name: b"half"})
    write(mirror.root / "in/deep", {".a.aurora": b"half"})
    local = list(local_files(mirror.stream, mirror.root, []))
    assert sorted(file.path for file in local) == sorted(FILES)
    assert nothing_unexpected(local, {"all": mirror.stream}).wrong == {}
    refused, days = Count(), {DAY, datetime.now(UTC).date()}
    items = raw_items(mirror.stream, mirror.root, "/gws", days, refused)
    assert (sorted(item.remote_path for item in items), refused.total) == (["/gws/all/b", "/gws/all/in/deep/a"], 0)


def test_a_host_cannot_write_into_our_work_directory(source_root: Path, tmp_path: Path) -> None:
    stream = stream_of(source_root, ANYTHING, include=["**/*", ".incoming/**"])
    write(source_root, {".incoming/wxcam/new/evil": b"x", "good": b"y"})
    report = Mirror(stream, tmp_path).run()
    (day,) = report.days
    assert (day.copied, day.refused_count) == (1, 1)
    assert not os.path.exists(tmp_path / "raw/all/.incoming")
