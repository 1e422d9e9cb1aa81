"""A disk that is too small: files that fit are copied, the others are refused by name, and no other stream waits."""

import os
import random
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.config.site import load_site
from aurora_platform.config.types import reserved_bytes
from aurora_platform.errors import SiteError
from aurora_platform.fs.abilities import Quota
from aurora_platform.mirror import disk_space
from aurora_platform.mirror.reports import MirrorReport
from aurora_platform.mirror.sync import Transfer, TransferResult
from tests.disks import mount, tmpfs, with_mounts
from tests.mirror.parts import (
    ANYTHING,
    CAMERA_FILES,
    DAY,
    Mirror,
    adds_up,
    differences,
    left_over,
    once,
    stream_of,
    write,
)

BIG, OLDER = "FISH/20260305/HDR_20260305_110000.mp4", "FISH/20260304/HDR_20260304_110000.mp4"
SMALL = [f"FISH/20260305/10/HDR_20260305_10{minute:02}00.jpg" for minute in range(3)]
YESTERDAY = date(2026, 3, 4)
MB = 1_000_000


@pytest.fixture
def mirror(source_root: Path, tmp_path: Path) -> Mirror:
    """A camera with three images and a clip of 20 MB."""
    write(source_root, dict.fromkeys(SMALL, b"image" * 1000) | {BIG: bytes(20 * MB)})
    (tmp_path / "home" / "raw").mkdir(parents=True)
    return Mirror(stream_of(source_root), tmp_path / "home")


def numbers(report: MirrorReport) -> dict[str, Any]:
    (day,) = report.days
    assert adds_up(report)
    return {
        "copied": day.copied,
        "unchanged": day.unchanged,
        "refused": {reason: count.first for reason, count in day.refused.items()},
    }


def test_a_file_larger_than_the_disk_is_refused_and_delays_no_other_file(mirror: Mirror, source_root: Path) -> None:
    other_root = source_root / "other"
    write(other_root, {"a.dat": b"x" * 100_000})
    other = Mirror(stream_of(other_root, ANYTHING), mirror.home)

    def run_passes() -> Any:
        first, second = mirror.run(), other.run()
        assert left_over(mirror.raw) == []
        again = mirror.run()
        mount("-o", "remount,size=64m", mirror.raw)
        last = mirror.run()
        assert (mirror.root / BIG).stat().st_size == 20 * MB
        assert differences(source_root, mirror.root, CAMERA_FILES) == []
        return [numbers(report) for report in (first, second, again, last)], first.summary()

    (first, second, again, last), message = with_mounts([tmpfs(mirror.raw, "8m")], run_passes)
    assert first["copied"] == 3
    ((reason, names),) = first["refused"].items()
    assert reason.startswith("does not fit on the disk: 8.4 MB free, limits.reserve keeps 1.7 MB")
    assert names == [BIG]
    assert message.startswith("seen 4 = copied 3 + unchanged 0 + unsettled 0 + refused 1;")
    assert second == {"copied": 1, "unchanged": 0, "refused": {}}
    assert (again["copied"], again["unchanged"], list(again["refused"].values())) == (0, 3, [[BIG]])
    assert last == {"copied": 1, "unchanged": 3, "refused": {}}


def test_the_reserve_stays_free(mirror: Mirror, source_root: Path) -> None:
    write(source_root, {BIG: bytes(3 * MB)})

    def run_passes() -> Any:
        half = mirror.run(reserve="75%")
        assert os.statvfs(mirror.raw).f_bfree > 0.75 * os.statvfs(mirror.raw).f_blocks
        return numbers(half), half.short_of_space, numbers(mirror.run(reserve="1M"))

    half, lines, last = with_mounts([tmpfs(mirror.raw, "8m")], run_passes)
    assert (half["copied"], list(half["refused"].values())) == (3, [[BIG]])
    assert [line.partition(": does")[0] for line in lines] == ["2026-03-05: 1 file"]
    assert last == {"copied": 1, "unchanged": 3, "refused": {}}


def test_the_newest_day_gets_the_free_space(mirror: Mirror, source_root: Path) -> None:
    write(source_root, {BIG: bytes(5 * MB), OLDER: bytes(5 * MB)})
    copied = with_mounts(
        [tmpfs(mirror.raw, "8m")],
        lambda: {day.day: (day.copied, day.refused_count) for day in mirror.run(YESTERDAY, DAY).days},
    )
    assert copied == {DAY: (4, 0), YESTERDAY: (0, 1)}


def test_an_unrequested_partial_file_is_deleted_if_complete_files_need_its_space(
    mirror: Mirror, source_root: Path
) -> None:
    write(source_root, {BIG: bytes(5 * MB)})

    def run_passes() -> Any:
        (mirror.work / "partial").mkdir(parents=True)
        part = mirror.work / "partial" / Path(OLDER).name
        part.write_bytes(bytes(5 * MB))
        report = mirror.run()
        assert left_over(mirror.raw) == []
        return numbers(report)

    assert with_mounts([tmpfs(mirror.raw, "8m")], run_passes) == {"copied": 4, "unchanged": 0, "refused": {}}


def test_a_partial_file_is_deleted_if_its_own_file_needs_the_space(mirror: Mirror, source_root: Path) -> None:
    def run_passes() -> Any:
        results = []
        for size in (5 * MB, 20 * MB):
            write(source_root, {BIG: random.Random(size).randbytes(size)})
            (mirror.work / "partial").mkdir(parents=True)
            (mirror.work / "partial" / Path(BIG).name).write_bytes(bytes(3 * MB))
            results.append(numbers(mirror.run())["copied"])
            assert left_over(mirror.raw) == []
            (mirror.root / BIG).unlink(missing_ok=True)
        return results

    assert with_mounts([tmpfs(mirror.raw, "8m")], run_passes) == [4, 0]


def test_if_the_disk_fills_up_partial_files_are_deleted_and_complete_files_are_kept(
    mirror: Mirror, source_root: Path
) -> None:
    write(source_root, {BIG: random.Random(1).randbytes(5 * MB)})

    class Filling:
        """A real transfer during which another program fills the disk."""

        def fetch(self, root: str, paths: Sequence[str], *places: Any, **more: Any) -> TransferResult:
            (mirror.raw / "another").write_bytes(bytes(5 * MB))
            return mirror.transfer.fetch(root, paths, *places, **more)

    def run_passes() -> Any:
        transfer: Transfer = Filling()
        try:
            mirror.run(transfer=transfer)
        except Exception as error:
            message = str(error)
        free = os.statvfs(mirror.raw).f_bavail * os.statvfs(mirror.raw).f_frsize
        local_files = sum(path.is_file() for path in mirror.root.rglob("*"))
        (mirror.raw / "another").unlink()
        return message, free, local_files, numbers(mirror.run())

    message, free, local_files, last = with_mounts([tmpfs(mirror.raw, "8m")], run_passes)
    assert "is the disk full?" in message
    assert free > 3 * MB, "partial files take no space from others"
    assert last["copied"] + last["unchanged"] == 4
    assert last["unchanged"] == local_files


AHEAD, GROWS, AFTER = "a.dat", "m.dat", "z.dat"


def test_a_file_that_grows_beyond_its_listed_size_is_refused_and_the_others_are_copied(
    source_root: Path, tmp_path: Path
) -> None:
    mirror = Mirror(stream_of(source_root, ANYTHING), tmp_path)
    write(source_root, {AHEAD: random.Random(1).randbytes(1_200_000), GROWS: bytes(200_000), AFTER: b"y"})
    stamps = (source_root / GROWS).stat()

    def grow() -> None:
        with (source_root / GROWS).open("ab") as file:  # rsync has not opened it yet: it is sent after the first file
            file.write(random.Random(2).randbytes(3 * MB))
        os.utime(source_root / GROWS, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))

    slow, work = mirror.but(bandwidth=2000), mirror.raw / ".incoming" / "wxcam"
    with once(lambda: list((work / "new").glob(f"{AHEAD}.*")), grow):
        report = slow.run()
    assert numbers(report) == {
        "copied": 2,
        "unchanged": 0,
        "refused": {"not copied: larger than its listed size": [GROWS]},
    }
    assert sorted(os.listdir(mirror.root)) == [AHEAD, AFTER]
    assert left_over(mirror.raw) == []
    assert numbers(mirror.run())["copied"] == 1
    assert (mirror.root / GROWS).stat().st_size == 3 * MB + 200_000


def test_a_growing_file_of_an_appended_stream_is_copied(source_root: Path, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(source_root, ANYTHING, settle="0s"), tmp_path, bandwidth=2000)
    write(source_root, {AHEAD: random.Random(1).randbytes(1_200_000), GROWS: b"x" * 1000})

    def grow() -> None:
        time.sleep(0.02)
        with (source_root / GROWS).open("ab") as file:
            file.write(bytes(MB))

    with once(lambda: list((mirror.raw / ".incoming" / "wxcam" / "new").glob(f"{AHEAD}.*")), grow):
        report = mirror.run()
    assert report.total("copied") == 2
    assert mirror.but(bandwidth=0).run().total("refused_count") == 0
    assert (mirror.root / GROWS).stat().st_size == MB + 1000


@pytest.mark.parametrize("value", ["2", "2 %", "100%", "-1G", "1k", "1.5G", "", "G", 5])
def test_an_invalid_reserve_is_refused_with_its_key(tmp_path: Path, value: object) -> None:
    demo = Path("sites/demo.yaml").read_text()
    site = tmp_path / "site.yaml"
    site.write_text(f"{demo}\nlimits: {{reserve: {value!r}}}\n")
    with pytest.raises(SiteError, match=r"limits\.reserve: must be a part of the disk or a size: 2%, 500M, 20G, 1T"):
        load_site(site)


def test_the_old_name_of_the_reserve_is_accepted_and_both_names_are_not(tmp_path: Path) -> None:
    demo, site = Path("sites/demo.yaml").read_text(), tmp_path / "site.yaml"
    site.write_text(f"{demo}\nlimits: {{keep_free: 20G}}\n")
    assert load_site(site).limits.reserve == "20G"
    site.write_text(f"{demo}\nlimits: {{keep_free: 20G, reserve: 20G}}\n")
    with pytest.raises(SiteError, match="keep_free is the old name of reserve"):
        load_site(site)


@pytest.mark.parametrize(
    ("total", "reserved"),
    [(10**12, 50 * 10**9), (100 * 10**9, 10 * 10**9), (20 * 10**9, 4 * 10**9), (10**6, 200_000)],
)
def test_without_the_key_5_percent_and_at_least_10_gb_stay_free_but_at_most_a_fifth(total: int, reserved: int) -> None:
    assert reserved_bytes(None, total) == reserved


def test_a_quota_bounds_what_is_copied_like_a_disk(
    mirror: Mirror, source_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(source_root, {BIG: bytes(3 * MB)})
    quota = Quota(str(mirror.raw.parent), 10_000_000, 7_900_000)
    monkeypatch.setattr(disk_space, "quota_of", lambda path: quota)
    report = mirror.run(reserve="10%")
    ((reason, names),) = numbers(report)["refused"].items()
    where = f"free under the quota of {mirror.raw.parent}, limits.reserve keeps 1.0 MB"
    assert (reason, names) == (f"does not fit on the disk: 2.1 MB {where}", [BIG])
    quota = Quota(str(mirror.raw.parent), 20 * MB, 8 * MB)
    assert numbers(mirror.run(reserve="10%")) == {"copied": 1, "unchanged": 3, "refused": {}}
