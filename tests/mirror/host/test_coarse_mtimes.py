"""Raw roots on file systems with coarser mtimes than the host lists: files are mirrored, and changes are noticed."""

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
from aurora_platform.fs.mtimes import MtimeResolution, Rounding, measure_resolution
from aurora_platform.fs.versions import FileVersion, same_mtime
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


def run_passes(mirror: Mirror, source_root: Path, set_resolution: Callable[[bool], None]) -> dict[str, Any]:
    """The results of passes and scans; after ``set_resolution(True)`` mtimes are stored exactly, as on the host."""

    def put(name: str, content: bytes, mtime_ns: int) -> None:
        set_resolution(True)
        write(source_root, {name: content})
        os.utime(source_root / name, ns=(mtime_ns, mtime_ns))
        set_resolution(False)

    even = int(SETTLED.timestamp()) * S
    put("even", b"1", even + 123_456_789)
    put("odd", b"1", even + S + 678_567_678)
    put("whole", b"1", even + 3 * S)
    first, second = mirror.run(), mirror.run()
    behind = mirror.scan().behind
    put("odd", b"2", even + 4 * S + 678_567_678)  # longer than any step
    put("whole", b"2", even + 6 * S)
    changed = sum(day.missing for day in mirror.scan().behind)
    third = mirror.run()
    fourth, behind_at_end = mirror.run(), mirror.scan().behind
    return {
        "copied": [report.total("copied") for report in (first, second, third, fourth)],
        "unchanged": [report.total("unchanged") for report in (first, second, third, fourth)],
        "missing": [len(behind), changed, len(behind_at_end)],
        "adds up": all(adds_up(report) for report in (first, second, third, fourth)),
        "contents": [(mirror.root / name).read_text() for name in NAMES],
        "left over": left_over(mirror.raw),
        "coarse": any(
            (mirror.root / name).stat().st_mtime_ns != (source_root / name).stat().st_mtime_ns for name in NAMES
        ),
    }


def expected(step: int) -> dict[str, Any]:
    return {
        "copied": [3, 0, 2, 0],
        "unchanged": [0, 3, 1, 3],
        "missing": [0, 2, 0],
        "adds up": True,
        "contents": ["1", "2", "2"],
        "left over": [".incoming/.mtimes"] if step > 1 else [],
        "coarse": step > 1,
    }


def mirror_at(home: Path, source_root: Path) -> Mirror:
    return Mirror(stream_of(source_root, ANYTHING), home)


def main() -> None:
    """Run in a process with the shim: simulate all file systems, one after the other."""
    home = Path(sys.argv[1])
    results = {}
    control = Path(os.environ["AURORA_MTIMES"])
    for step, rounding in [*STEPS, (1, "none")]:
        directory = home / f"{step}-{rounding}"
        (directory / "source").mkdir(parents=True)

        def set_resolution(is_exact: bool, resolution: str = f"{step} {rounding}") -> None:
            control.write_text("1 down" if is_exact else resolution)

        try:
            results[f"{step} {rounding}"] = run_passes(
                mirror_at(directory / "home", directory / "source"), directory / "source", set_resolution
            )
        except Exception as error:
            results[f"{step} {rounding}"] = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(results))


def test_a_raw_root_with_mtimes_of_100_ns_to_2_s_is_mirrored_and_changes_are_noticed(
    tmp_path: Path,
) -> None:
    compiler, rsync = shutil.which("cc"), shutil.which("rsync")
    if compiler is None:
        pytest.skip("no C compiler (cc) for the shim")
    shim, control = tmp_path / "coarse.so", tmp_path / "how"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", shim, Path(__file__).parents[1].joinpath("coarse.c"), "-ldl"], check=True
    )
    wrapper = tmp_path / "bin" / "rsync"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nLD_PRELOAD={shim} AURORA_MTIMES={control} exec {rsync} "$@"\n')
    wrapper.chmod(0o755)
    env = {**os.environ, "LD_PRELOAD": str(shim), "AURORA_MTIMES": str(control)}
    env["PATH"] = f"{wrapper.parent}:{env['PATH']}"
    command = [sys.executable, "-c", f"from {__name__} import main; main()", str(tmp_path / "sites")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    none = results.pop("1 none")
    assert results == {f"{step} {rounding}": expected(step) for step, rounding in STEPS}
    assert "TransferError" in none["error"]
    assert "this file system keeps no mtimes" in none["error"]


def run_on_a_disk_of_seconds(directory: Path, image: Path, act: Callable[[], Any]) -> Any:
    """Run ``act`` while ``directory`` is a real disk that stores whole seconds: ext4 with small inodes."""
    if (mkfs := shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")) is None:
        pytest.skip("no mkfs.ext4")
    directory.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(8_000_000)
    subprocess.run([mkfs, "-q", "-F", "-I", "128", image], check=True, capture_output=True)
    return with_mounts([["-o", "loop", image, directory]], act)


def test_a_real_file_system_that_keeps_whole_seconds_is_mirrored(source_root: Path, tmp_path: Path) -> None:
    mirror = mirror_at(tmp_path / "home", source_root)

    def act() -> Any:
        assert measure_resolution(mirror.raw) == MtimeResolution(S, "down")
        return run_passes(mirror, source_root, lambda is_exact: None)

    assert run_on_a_disk_of_seconds(mirror.raw, tmp_path / "disk", act) == expected(S)


def test_an_upload_tree_with_coarse_mtimes_keeps_the_version_of_a_file(tmp_path: Path) -> None:
    write(tmp_path, {"file": b"x"})
    status = (tmp_path / "file").stat()
    item = Item(str(tmp_path / "file"), "/gws/file", FileVersion.of(status))
    staged = tmp_path / "outgoing" / "file"

    def act() -> Any:
        return add_to_upload_tree(item, staged, in_place=False, is_database=False), staged.stat().st_mtime_ns

    taken, staged_mtime_ns = run_on_a_disk_of_seconds(staged.parent, tmp_path / "disk", act)
    assert staged_mtime_ns != item.version.mtime_ns
    assert taken == item


def test_with_full_mtimes_a_difference_of_1_ns_is_another_version(source_root: Path, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(source_root, CAMERA), tmp_path)
    name = "FISH/20260305/10/HDR_20260305_100000.jpg"
    write(source_root, {name: b"1"})
    mtime = int(SETTLED.timestamp()) * S + 123_456_000
    os.utime(source_root / name, ns=(mtime, mtime))
    mirror.run(DAY)
    (source_root / name).write_bytes(b"2")
    os.utime(source_root / name, ns=(mtime + 1, mtime + 1))
    assert [day.missing for day in mirror.scan(DAY).behind] == [1]
    assert mirror.run(DAY).total("copied") == 1
    assert (mirror.root / name).read_bytes() == b"2"


@given(st.integers(0, 4 * 10**18), st.sampled_from(STEPS))
def test_a_stored_mtime_matches_its_source_and_a_later_step_does_not(
    mtime_ns: int, step_and_rounding: tuple[int, Rounding]
) -> None:
    resolution = MtimeResolution(*step_and_rounding)
    stored_ns = resolution.apply(mtime_ns)
    assert resolution.apply(stored_ns) == stored_ns
    assert resolution.matches(stored_ns, mtime_ns)
    assert not resolution.matches(stored_ns, mtime_ns + 2 * max(S, resolution.step_ns))


@given(st.integers(10**18, 4 * 10**18), st.sampled_from([1, 100, 10**3, 10**6, S]))
def test_an_mtime_is_the_same_if_one_file_system_cuts_it_off(mtime_ns: int, step: int) -> None:
    assert same_mtime(mtime_ns, mtime_ns // step * step)
    assert same_mtime(mtime_ns // step * step, mtime_ns)


@pytest.mark.parametrize(
    ("first_ns", "second_ns", "is_same"),
    [
        (10 * S, 11 * S, False),  # two whole seconds
        (10 * S, 11 * S + 1, True),  # FAT
        (11 * S, 12 * S + 1, False),  # FAT stores no odd second
        (10 * S, 12 * S + 1, False),
        (10 * S + 1, 10 * S + 2, False),
        (10 * S + 123_456_789, 10 * S + 123_456_788, False),
        (10 * S + 123_456_789, 10 * S + 123_457_000, False),  # the next us
        (10 * S + 123_456_789, 10 * S + 123_456_700, True),  # 100 ns
    ],
)
def test_mtimes_of_two_file_systems_are_compared_by_the_coarser_one(
    first_ns: int, second_ns: int, is_same: bool
) -> None:
    assert same_mtime(first_ns, second_ns) == same_mtime(second_ns, first_ns) == is_same
