"""Cleanup of other lanes' work directories: any pass removes expired files, but never of a lane in use."""

import os
import random
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.fs.locks import hold_lock
from aurora_platform.mirror.work_directory import KEEP_PARTIAL
from tests.disks import tmpfs, with_mounts
from tests.mirror.parts import ANYTHING, DAY, Mirror, left_over, stream_of, write

MB = 1_000_000
OLD, NEW = KEEP_PARTIAL + timedelta(hours=1), KEEP_PARTIAL - timedelta(hours=1)
LANES = ["wxcam.history", "another", "gone_from_the_site.history"]


@pytest.fixture
def mirror(source_root: Path, tmp_path: Path) -> Mirror:
    write(source_root, {"a.dat": random.Random(1).randbytes(5 * MB)})
    mirror = Mirror(stream_of(source_root, ANYTHING), tmp_path / "home")
    mirror.raw.mkdir(parents=True)
    return mirror


def leave_behind(mirror: Mirror, lane: str, name: str, size: int, age: timedelta) -> Path:
    """Write a file as a killed run leaves it behind."""
    path = mirror.raw / ".incoming" / lane / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    at = time.time() - age.total_seconds()
    os.utime(path, (at, at))
    return path


def test_expired_files_of_all_lanes_are_removed(mirror: Mirror) -> None:
    old = [leave_behind(mirror, lane, "partial/old", 1, OLD) for lane in LANES]
    new = [leave_behind(mirror, lane, "partial/new", 1, NEW) for lane in LANES[:2]]
    for lane, age in ((LANES[1], NEW), (LANES[2], OLD)):
        for name in ("arrived/in/x.dat", "new/.x.dat.AbCdEf", "files"):
            (new if age == NEW else old).append(leave_behind(mirror, lane, name, 1, age))
    mirror.run()
    assert [path for path in old if path.exists()] == []
    assert [path for path in new if not path.exists()] == []
    assert not (mirror.raw / ".incoming" / LANES[2]).exists(), "an empty work directory is removed too"


@pytest.mark.parametrize("lock", ["mirror.another", "mirror.another.transfer"])
def test_a_lane_in_use_is_left_alone(mirror: Mirror, lock: str) -> None:
    part = leave_behind(mirror, "another", "partial/old", 1, OLD)
    with hold_lock(mirror.locks, lock, timedelta(0)):
        assert mirror.run().total("copied") == 1
        assert part.exists()
    mirror.run()
    assert not part.exists()


def test_a_history_pass_also_removes_expired_files_of_the_live_lane(mirror: Mirror) -> None:
    live, other = (leave_behind(mirror, lane, "partial/b.dat", 1, OLD) for lane in ("wxcam", "another"))
    mirror.run(date(2026, 3, 1), live_from=DAY)
    assert (live.exists(), other.exists()) == (False, False)


@pytest.mark.parametrize(
    ("lane", "lock", "copied"),
    [
        ("wxcam.history", "mirror.unrelated", 1),
        ("wxcam.history", "mirror.wxcam.history", 0),
        ("wxcam.history", "mirror.wxcam.history.transfer", 0),
        ("another", "mirror.unrelated", 0),
    ],
)
def test_partial_files_of_the_streams_history_make_room_for_live_files_unless_in_use(
    mirror: Mirror, lane: str, lock: str, copied: int
) -> None:
    def passes() -> Any:
        part = leave_behind(mirror, lane, "partial/of_history.dat", 6 * MB, timedelta(0))
        with hold_lock(mirror.locks, lock, timedelta(0)):
            report = mirror.run(live_from=DAY)
        return report.total("copied"), report.total("refused_count"), part.exists(), left_over(mirror.raw)

    found = with_mounts([tmpfs(mirror.raw, "8m")], passes)
    assert found == (copied, 1 - copied, not copied, [] if copied else [f".incoming/{lane}/partial/of_history.dat"])


def test_history_deletes_no_partial_file_of_the_live_lane(mirror: Mirror) -> None:
    def passes() -> Any:
        part = leave_behind(mirror, "wxcam", "partial/of_today.dat", 6 * MB, timedelta(0))
        report = mirror.run(live_from=DAY + timedelta(days=1))
        return report.total("copied"), part.exists()

    assert with_mounts([tmpfs(mirror.raw, "8m")], passes) == (0, True)


def test_an_error_in_another_lane_does_not_stop_a_pass(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    part = leave_behind(mirror, "another", "partial/old", 1, OLD)
    unlink: Callable[..., None] = Path.unlink

    def refuse(path: Path, *more: Any, **others: Any) -> None:
        if path == part:
            raise PermissionError(path)
        unlink(path, *more, **others)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert mirror.run().total("copied") == 1
