"""Raw roots on file systems that keep less of an mtime than the host lists: they mirror, and notice what changes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_platform.archive.ledger import Item
from aurora_platform.archive.upload_tree import add_to_upload_tree
from aurora_platform.fs.versions import FileVersion, same_mtime
from aurora_platform.mirror.mtime_resolution import MtimeResolution, Rounding, measure_resolution
from tests.disks import with_mounts
from tests.mirror.parts import ANYTHING, CAMERA, DAY, SETTLED, Mirror, adds_up, left_over, stream_of, write

ROOT = Path(__file__).parents[3]
S = 10**9
NAMES = ("even", "odd", "whole")
STEPS: list[tuple[int, Rounding]] = [
    (1, "down"),
    (100, "down"),
    (10**3, "near"),
    (10**6, "down"),
    (S, "down"),
    (2 * S, "down"),
    (2 * S, "up"),
]


def passes(mirror: Mirror, far: Path, really: Callable[[bool], None]) -> dict[str, Any]:
    """What passes and looks see; ``really(True)`` makes the next mtimes be kept as they are set: those of the host."""

    def put(name: str, content: bytes, mtime_ns: int) -> None:
        really(True)
        write(far, {name: content})
        os.utime(far / name, ns=(mtime_ns, mtime_ns))
        really(False)

    even = int(SETTLED.timestamp()) * S
    put("even", b"1", even + 123_456_789)
    put("odd", b"1", even + S + 678_567_678)
    put("whole", b"1", even + 3 * S)
    first, second = mirror.run(), mirror.run()
    behind = mirror.scan().behind
    put("odd", b"2", even + 4 * S + 678_567_678)  # no step is longer than that
    put("whole", b"2", even + 6 * S)
    changed = sum(day.missing for day in mirror.scan().behind)
    third = mirror.run()
    fourth, seen = mirror.run(), mirror.scan().behind
    return {
        "copied": [report.total("copied") for report in (first, second, third, fourth)],
        "unchanged": [report.total("unchanged") for report in (first, second, third, fourth)],
        "missing": [len(behind), changed, len(seen)],
        "adds up": all(adds_up(report) for report in (first, second, third, fourth)),
        "here": [(mirror.root / name).read_text() for name in NAMES],
        "left over": left_over(mirror.raw),
        "coarse": any((mirror.root / name).stat().st_mtime_ns != (far / name).stat().st_mtime_ns for name in NAMES),
    }


def right(step: int) -> dict[str, Any]:
    return {
        "copied": [3, 0, 2, 0],
        "unchanged": [0, 3, 1, 3],
        "missing": [0, 2, 0],
        "adds up": True,
        "here": ["1", "2", "2"],
        "left over": [".incoming/.mtimes"] if step > 1 else [],
        "coarse": step > 1,
    }


def mirror_at(home: Path, far: Path) -> Mirror:
    return Mirror(stream_of(far, ANYTHING), home)


def main() -> None:
    """In a process with the shim: all file systems after each other."""
    home = Path(sys.argv[1])
    found = {}
    how = Path(os.environ["AURORA_MTIMES"])
    for step, way in [*STEPS, (1, "none")]:
        place = home / f"{step}-{way}"
        (place / "far").mkdir(parents=True)

        def really(is_exact: bool, said: str = f"{step} {way}") -> None:
            how.write_text("1 down" if is_exact else said)

        try:
            found[f"{step} {way}"] = passes(mirror_at(place / "home", place / "far"), place / "far", really)
        except Exception as error:
            found[f"{step} {way}"] = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))


def test_a_raw_root_that_keeps_100_ns_1_us_1_ms_1_s_or_2_s_is_mirrored_and_a_change_is_still_noticed(
    tmp_path: Path,
) -> None:
    compiler, rsync = shutil.which("cc"), shutil.which("rsync")
    if compiler is None:
        pytest.skip("no C compiler (cc) for the shim")
    shim, how = tmp_path / "coarse.so", tmp_path / "how"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", shim, Path(__file__).parents[1].joinpath("coarse.c"), "-ldl"], check=True
    )
    wrapper = tmp_path / "bin" / "rsync"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nLD_PRELOAD={shim} AURORA_MTIMES={how} exec {rsync} "$@"\n')
    wrapper.chmod(0o755)
    env = {**os.environ, "LD_PRELOAD": str(shim), "AURORA_MTIMES": str(how)}
    env["PATH"] = f"{wrapper.parent}:{env['PATH']}"
    command = [sys.executable, "-c", f"from {__name__} import main; main()", str(tmp_path / "sites")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    none = found.pop("1 none")
    assert found == {f"{step} {way}": right(step) for step, way in STEPS}
    assert "TransferError" in none["error"]
    assert "this file system keeps no mtimes" in none["error"]


def on_a_disk_of_seconds(place: Path, image: Path, act: Callable[[], Any]) -> Any:
    """What ``act`` returns where ``place`` is a real disk that keeps whole seconds: ext4 with small inodes."""
    if (mkfs := shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")) is None:
        pytest.skip("no mkfs.ext4")
    place.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(8_000_000)
    subprocess.run([mkfs, "-q", "-F", "-I", "128", image], check=True, capture_output=True)
    return with_mounts([["-o", "loop", image, place]], act)


def test_a_real_file_system_that_keeps_whole_seconds_is_mirrored(far: Path, tmp_path: Path) -> None:
    mirror = mirror_at(tmp_path / "home", far)

    def act() -> Any:
        assert measure_resolution(mirror.raw) == MtimeResolution(S, "down")
        return passes(mirror, far, lambda is_exact: None)

    assert on_a_disk_of_seconds(mirror.raw, tmp_path / "disk", act) == right(S)


def test_a_pushs_view_on_a_disk_that_keeps_less_makes_no_other_version_of_a_file(tmp_path: Path) -> None:
    write(tmp_path, {"file": b"x"})
    status = (tmp_path / "file").stat()
    item = Item(str(tmp_path / "file"), "/gws/file", FileVersion.of(status))
    view = tmp_path / "outgoing" / "file"

    def act() -> Any:
        return add_to_upload_tree(item, view, in_place=False, is_database=False), view.stat().st_mtime_ns

    taken, there = on_a_disk_of_seconds(view.parent, tmp_path / "disk", act)
    assert there != item.version.mtime_ns
    assert taken == item


def test_where_all_of_an_mtime_is_kept_one_ns_is_another_version(far: Path, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(far, CAMERA), tmp_path)
    name = "FISH/20260305/10/HDR_20260305_100000.jpg"
    write(far, {name: b"1"})
    mtime = int(SETTLED.timestamp()) * S + 123_456_000
    os.utime(far / name, ns=(mtime, mtime))
    mirror.run(DAY)
    (far / name).write_bytes(b"2")
    os.utime(far / name, ns=(mtime + 1, mtime + 1))
    assert [day.missing for day in mirror.scan(DAY).behind] == [1]
    assert mirror.run(DAY).total("copied") == 1
    assert (mirror.root / name).read_bytes() == b"2"


@given(st.integers(0, 4 * 10**18), st.sampled_from(STEPS))
def test_what_a_file_system_keeps_of_an_mtime_is_the_same_and_a_later_step_is_not(
    mtime_ns: int, how: tuple[int, Rounding]
) -> None:
    kept = MtimeResolution(*how)
    here = kept.apply(mtime_ns)
    assert kept.apply(here) == here
    assert kept.matches(here, mtime_ns)
    assert not kept.matches(here, mtime_ns + 2 * max(S, kept.step_ns))


@given(st.integers(10**18, 4 * 10**18), st.sampled_from([1, 100, 10**3, 10**6, S]))
def test_two_places_agree_on_an_mtime_that_one_of_them_cuts_off(mtime_ns: int, step: int) -> None:
    assert same_mtime(mtime_ns, mtime_ns // step * step)
    assert same_mtime(mtime_ns // step * step, mtime_ns)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (10 * S, 11 * S, False),  # two whole seconds
        (10 * S, 11 * S + 1, True),  # FAT
        (11 * S, 12 * S + 1, False),  # FAT keeps no odd second
        (10 * S, 12 * S + 1, False),
        (10 * S + 1, 10 * S + 2, False),
        (10 * S + 123_456_789, 10 * S + 123_456_788, False),
        (10 * S + 123_456_789, 10 * S + 123_457_000, False),  # the next us
        (10 * S + 123_456_789, 10 * S + 123_456_700, True),  # 100 ns
    ],
)
def test_mtimes_of_two_file_systems(one: int, other: int, is_same: bool) -> None:
    assert same_mtime(one, other) == same_mtime(other, one) == is_same
