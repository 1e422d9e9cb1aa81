"""A stream's directory, or one below it, to which no rename leads from the raw root: another device, a bind mount."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.archive.selection import raw_items
from aurora_platform.mirror.checks import local_files, nothing_unexpected
from aurora_platform.text import Count
from tests.disks import tmpfs, with_mounts
from tests.mirror.parts import ANYTHING, DAY, SETTLED, Mirror, Noted, adds_up, differences, left_over, stream_of, write

FILES = {"in/deep/a": b"a" * 1000, "b": b"b"}


@pytest.fixture
def mirror(far: Path, tmp_path: Path) -> Mirror:
    """A stream whose directory, and one below it, are there already, as whoever mounts a disk makes them."""
    write(far, FILES)
    mirror = Mirror(stream_of(far, ANYTHING), tmp_path / "home")
    (mirror.root / "in").mkdir(parents=True)
    return mirror


def passes(mirror: Mirror, far: Path) -> Any:
    """Three passes, of which the last brings a new file; what each copied, and where it worked."""
    found = []
    for content in (b"b", b"b", b"new"):
        write(far, {"b": content}, at=SETTLED + timedelta(hours=len(content)))
        transfer = Noted(mirror.transfer)
        report = mirror.run(transfer=transfer)
        assert adds_up(report)
        assert report.total("refused_count") == 0
        assert differences(far, mirror.root) == []
        assert left_over(mirror.raw) == []
        assert mirror.scan().behind == []
        found.append((report.total("copied"), [str(work.relative_to(mirror.raw)) for work, _ in transfer.places]))
    return found


OWN, SHARED = ["all/.incoming/wxcam"], [".incoming/wxcam"]


def test_a_stream_on_a_device_of_its_own_has_its_work_directory_there(mirror: Mirror, far: Path) -> None:
    found = with_mounts([tmpfs(mirror.root, "8m")], lambda: passes(mirror, far))
    assert found == [(2, OWN), (0, []), (1, OWN)]


def test_a_stream_that_is_a_bind_mount_of_the_same_device_is_published_and_moves_to_its_own_work_directory(
    mirror: Mirror, far: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    found = with_mounts([["--bind", tmp_path / "elsewhere", mirror.root]], lambda: passes(mirror, far))
    assert found == [(2, SHARED), (0, []), (1, OWN)]


@pytest.mark.parametrize("is_bind", [False, True], ids=["another device", "bind mount"])
def test_a_directory_deeper_down_that_is_another_disk_gets_copies(
    mirror: Mirror, far: Path, tmp_path: Path, is_bind: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    deep = mirror.root / "in"
    mounted = ["--bind", tmp_path / "elsewhere", deep] if is_bind else tmpfs(deep, "8m")
    found = with_mounts([mounted], lambda: passes(mirror, far))
    assert [copied for copied, _ in found] == [2, 0, 1]


def test_a_copy_that_a_killed_run_was_making_is_removed_by_the_next(mirror: Mirror, far: Path) -> None:
    def act() -> Any:
        deep = mirror.root / "in/deep"
        deep.mkdir()
        (deep / ".a.aurora").write_bytes(b"half")
        mirror.work.mkdir(parents=True)
        (mirror.work / "files").write_bytes(b"./in/deep/a\0./b\0")
        (far / "in/deep/a").unlink()  # nothing of it is fetched any more
        mirror.run()
        return left_over(mirror.raw)

    assert with_mounts([tmpfs(mirror.root / "in", "8m")], act) == []


def test_what_lay_in_the_work_directory_before_a_disk_was_mounted_is_removed(mirror: Mirror, far: Path) -> None:
    def act() -> Any:
        (mirror.work / "partial").mkdir(parents=True)
        (mirror.work / "partial" / "a").write_bytes(b"half")
        mirror.run()
        return left_over(mirror.raw)

    assert with_mounts([tmpfs(mirror.root, "8m")], act) == []


def test_the_work_directory_below_a_stream_is_no_file_of_it_for_anybody(mirror: Mirror, far: Path) -> None:
    mirror.run()
    for name in ("arrived/c", "partial/c", "new/.c.AbCdEf"):
        write(mirror.root / ".incoming" / "wxcam", {name: b"half"})
    write(mirror.root / "in/deep", {".a.aurora": b"half"})
    here = list(local_files(mirror.stream, mirror.root, []))
    assert sorted(file.path for file in here) == sorted(FILES)
    assert nothing_unexpected(here, {"all": mirror.stream}).wrong == {}
    refused, days = Count(), {DAY, datetime.now(UTC).date()}
    items = raw_items(mirror.stream, mirror.root, "/gws", days, refused)
    assert (sorted(item.remote_path for item in items), refused.total) == (["/gws/all/b", "/gws/all/in/deep/a"], 0)


def test_a_host_cannot_write_into_our_work_directory(far: Path, tmp_path: Path) -> None:
    stream = stream_of(far, ANYTHING, include=["**/*", ".incoming/**"])
    write(far, {".incoming/wxcam/new/evil": b"x", "good": b"y"})
    report = Mirror(stream, tmp_path).run()
    (day,) = report.days
    assert (day.copied, day.refused_count) == (1, 1)
    assert not os.path.exists(tmp_path / "raw/all/.incoming")
