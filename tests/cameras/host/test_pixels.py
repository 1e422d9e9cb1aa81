"""The pixel store holds the camera's own bytes and decodes to Pillow's pixels; zarr and xarray read it."""

import errno
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from aurora_platform.cameras.pixels import PixelsReport, build_pixels, check_decodable, decode
from aurora_platform.cameras.reader import open_pixels
from aurora_platform.errors import MediaError
from tests.cameras.sample_media import DAY, NOW, Sky, at, jpeg, snapshot, undecodable_jpeg
from tests.inotify import opened_below

# xarray warns that the root of the store has no consolidated metadata; it then reads the metadata of the day.
pytestmark = pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated", "ignore:Consolidated")


def build(sky: Sky, day: date = DAY, camera: str = "fish_hdr") -> PixelsReport:
    sky.refresh(day)
    return build_pixels(sky.workspace, camera, day, NOW)


def opened(sky: Sky, camera: str = "fish_hdr", day: str = "20260818") -> xr.Dataset:
    return xr.open_zarr(sky.layout.store, group=f"{camera}/{day}")


def decoded(path: Path) -> np.ndarray:
    """What Pillow decodes."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def chunk(sky: Sky, index: int, camera: str = "fish_hdr") -> Path:
    return sky.layout.products / f"wxcam.zarr/{camera}/20260818/image/c.{index}.0.0.0"


def names(dataset: xr.Dataset) -> list[str]:
    return dataset.filename.values.tolist()


# -- frames and metadata -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("camera", "tree"), [("fish_hdr", "FISH"), ("pano_hdr", "PANO")])
def test_every_frame_is_pillows_decode_and_its_chunk_is_the_file(filled: Sky, camera: str, tree: str) -> None:
    report = build(filled, camera=camera)
    paths = sorted((filled.layout.raw / tree).rglob("*.jpg"))
    assert (report.frames, report.decoded, len(paths)) == (18, 18, 18)
    dataset = opened(filled, camera)
    assert dataset.image.dims == ("time", "y", "x", "channel")
    assert dataset.image.dtype == np.uint8
    assert names(dataset) == [path.name for path in paths]
    assert dataset.size_bytes.values.tolist() == [path.stat().st_size for path in paths]
    assert dataset.mtime_ns.values.tolist() == [path.stat().st_mtime_ns for path in paths]
    for index, path in enumerate(paths):
        assert np.array_equal(dataset.image[index].values, decoded(path))
        assert chunk(filled, index, camera).read_bytes() == path.read_bytes()


def test_times_are_those_of_the_names_sorted_and_unique(filled: Sky) -> None:
    build(filled)
    time = opened(filled).time
    assert time.dtype == np.dtype("datetime64[ns]")
    assert time.to_index().is_monotonic_increasing
    assert time.to_index().is_unique
    wanted = [f"2026-08-18T{hour}:{minute:02}" for hour in (10, 11, 12) for minute in range(0, 60, 10)]
    assert time.values.tolist() == np.array(wanted, dtype="datetime64[ns]").tolist()


def test_the_groups_have_descriptive_attributes(filled: Sky) -> None:
    build(filled)
    root = json.loads((filled.layout.store / "zarr.json").read_text())
    assert (root["zarr_format"], root["node_type"]) == (3, "group")
    assert root["attributes"]["instrument"] == "wxcam"
    assert root["attributes"]["title"]
    assert "byte for byte" in root["attributes"]["storage_policy"]
    assert sorted(zarr.open_group(filled.layout.store, mode="r").group_keys()) == ["fish_hdr"]
    day = zarr.open_group(filled.layout.store, mode="r")["fish_hdr/20260818"]
    assert day.attrs["instrument"] == "wxcam"
    assert sorted(day.array_keys()) == ["filename", "image", "mtime_ns", "size_bytes", "time"]  # type: ignore[union-attr]


def test_the_store_is_at_most_one_percent_larger_than_the_images(sky: Sky, large: Path) -> None:
    source = sorted((large / "FISH").rglob("*.jpg"))
    for index in range(9):
        sky.image(at(10, index), source[index % 3].read_bytes())
    build(sky)
    size = sum(path.stat().st_size for path in sky.layout.store.rglob("*") if path.is_file())
    images = sum(path.stat().st_size for path in sky.layout.raw.rglob("*.jpg"))
    assert images < size <= 1.01 * images
    dataset = opened(sky)
    for index, path in enumerate(sorted(sky.layout.raw.rglob("*.jpg"))[:3]):
        assert np.array_equal(dataset.image[index].values, decoded(path))


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 20}, {"restart_marker_rows": 1}],
)
def test_any_rgb_jpeg_decodes_as_pillow_decodes_it(sky: Sky, options: dict[str, object]) -> None:
    path = sky.image(at(10), jpeg(1, size=(61, 43), **options))
    build(sky)
    assert np.array_equal(opened(sky).image[0].values, decoded(path))


def test_a_truncated_jpeg_with_an_end_marker_decodes_as_in_pillow(sky: Sky) -> None:
    content = jpeg(1)
    path = sky.image(at(10), content[: len(content) * 2 // 3] + b"\xff\xd9")
    build(sky)
    assert np.array_equal(opened(sky).image[0].values, decoded(path))
    assert chunk(sky, 0).read_bytes() == path.read_bytes()


# -- excluded and unreadable images ------------------------------------------------------------------------------------


def test_an_image_of_another_size_is_excluded_by_name(sky: Sky) -> None:
    good = [sky.image(at(10, minute)) for minute in (0, 10)]
    odd = sky.image(at(10, 5), jpeg(1, size=(32, 24)))
    report = build(sky)
    assert report.excluded == {f"FISH/20260818/10/{odd.name}": "32 x 24 px, unlike most of the day"}
    assert names(opened(sky)) == [path.name for path in good]
    assert opened(sky).attrs["excluded"] == report.excluded


def test_a_second_image_of_one_time_is_excluded_by_name(sky: Sky) -> None:
    first = sky.image(at(10))
    second = sky.put(first.with_suffix(".JPG"), jpeg(8))
    report = build(sky)
    (excluded,) = report.excluded
    assert excluded in {f"FISH/20260818/10/{path.name}" for path in (first, second)}
    assert len(opened(sky).time) == 1


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A JPEG with some bytes changed, a part removed, or both."""
    options = draw(st.sampled_from([{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}]))
    data = bytearray(jpeg(1, **options))
    for offset in draw(st.lists(st.integers(0, len(data) - 1), max_size=5)):
        data[offset] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        first = draw(st.integers(0, len(data)))
        del data[first : first + draw(st.sampled_from((1, 2, 50, 5000)))]
    return bytes(data)


def error_of(call: Callable[[bytes, tuple[int, int]], object], data: bytes) -> str:
    try:
        call(data, (48, 64))
    except MediaError as error:
        return str(error)
    return ""


@settings(max_examples=400)
@given(damaged())
@example(jpeg(1)[:-1] + b"\xda")
def test_the_check_at_an_eighth_of_the_size_agrees_with_a_full_decode(data: bytes) -> None:
    assert error_of(check_decodable, data) == error_of(decode, data)


@settings(max_examples=500)
@given(samples=st.tuples(*[st.sampled_from([f"{along}{down}" for along in range(5) for down in range(5)])] * 3))
@example(samples=("31", "21", "21"))
@example(samples=("12", "11", "12"))
def test_the_check_agrees_with_a_full_decode_for_any_colour_sampling(samples: tuple[str, str, str]) -> None:
    data = bytearray(jpeg(1))
    offset = data.index(b"\xff\xc0") + 11
    data[offset : offset + 9 : 3] = bytes.fromhex("".join(samples))
    assert error_of(check_decodable, bytes(data)) == error_of(decode, bytes(data))


def test_an_image_that_no_decoder_can_read_is_recorded_and_never_tried_again(sky: Sky) -> None:
    bad = sky.image(at(10, 5), undecodable_jpeg())
    good = [sky.image(at(10, minute)) for minute in (0, 10)]
    assert sky.refresh().unreadable == {}
    report = build(sky)
    assert list(report.unreadable) == [f"FISH/20260818/10/{bad.name}"]
    assert "no decoder can read it" in report.unreadable[f"FISH/20260818/10/{bad.name}"]
    assert names(opened(sky)) == [path.name for path in good]
    before = snapshot(sky.layout.products)
    with opened_below(sky.layout.raw) as opened_files:
        assert list(sky.refresh().unreadable) == list(report.unreadable)
        assert not build_pixels(sky.workspace, "fish_hdr", DAY, NOW).built
        assert opened_files() == []
    assert snapshot(sky.layout.products) == before


def test_another_image_of_the_same_time_replaces_an_image_that_cannot_be_decoded(sky: Sky) -> None:
    first = sky.image(at(10), undecodable_jpeg())
    second = sky.put(first.with_suffix(".JPG"), undecodable_jpeg())
    third = sky.put(first.parent / "again" / first.name, jpeg(8))
    report = build(sky)
    assert set(report.unreadable) == {f"FISH/20260818/10/{path.name}" for path in (first, second)}
    assert report.frames == 1
    assert chunk(sky, 0).read_bytes() == third.read_bytes()


def test_the_size_of_a_day_is_the_most_common_size_of_decodable_images(sky: Sky) -> None:
    other = sky.image(at(10), jpeg(1, size=(32, 24)))
    for minute in (1, 2):
        sky.image(at(10, minute), undecodable_jpeg(size=(32, 24)))
    wanted = [sky.image(at(11, minute)) for minute in (0, 1)]
    report = build(sky)
    assert len(report.unreadable) == 2
    assert list(report.excluded) == [f"FISH/20260818/10/{other.name}"]
    assert names(opened(sky)) == [path.name for path in wanted]
    assert sorted(path.name for path in chunk(sky, 0).parent.iterdir()) == ["c.0.0.0.0", "c.1.0.0.0", "zarr.json"]


def test_a_day_without_decodable_images_has_no_group(sky: Sky) -> None:
    sky.image(at(10), undecodable_jpeg())
    report = build(sky)
    assert (report.built, report.frames) == (False, 0)
    assert not sky.layout.store.exists()


def test_an_image_that_changed_since_it_was_catalogued_waits(sky: Sky) -> None:
    good, changed = sky.image(at(10)), sky.image(at(11))
    sky.refresh()
    changed.write_bytes(b"being written")
    report = build_pixels(sky.workspace, "fish_hdr", DAY, NOW)
    assert report.waiting.first == [f"FISH/20260818/11/{changed.name}"]
    assert names(opened(sky)) == [good.name]


# -- building again ----------------------------------------------------------------------------------------------------


def test_an_unchanged_day_is_not_read_or_written(filled: Sky) -> None:
    build(filled)
    before = snapshot(filled.layout.products)
    with opened_below(filled.layout.raw) as opened_files:
        report = build(filled)
        assert opened_files() == []
    assert (report.built, report.decoded, report.frames) == (False, 0, 18)
    assert snapshot(filled.layout.products) == before


def test_a_late_frame_costs_one_decode_and_moves_the_others(sky: Sky) -> None:
    early, last = sky.image(at(10)), sky.image(at(12))
    first = build(sky)
    inodes = [chunk(sky, index).stat().st_ino for index in (0, 1)]
    late = sky.image(at(11))
    with opened_below(sky.layout.raw) as opened_files:
        report = build(sky)
        assert set(opened_files()) == {late.name}
    assert (report.built, report.decoded, report.frames) == (True, 1, 3)
    assert report.data_version != first.data_version
    assert names(opened(sky)) == [early.name, late.name, last.name]
    assert [chunk(sky, index).stat().st_ino for index in (0, 2)] == inodes
    for index, path in enumerate((early, late, last)):
        assert np.array_equal(opened(sky).image[index].values, decoded(path))
    assert not list(sky.layout.store.rglob("*.jpg"))


def test_a_replaced_image_and_a_removed_image_are_updated_in_the_group(sky: Sky) -> None:
    first, second, third = (sky.image(at(hour)) for hour in (10, 11, 12))
    build(sky)
    second.unlink()
    sky.put(third, jpeg(99), ns=1)
    report = build(sky)
    assert (report.decoded, report.frames) == (1, 2)
    assert names(opened(sky)) == [first.name, third.name]
    assert chunk(sky, 1).read_bytes() == jpeg(99)
    assert not chunk(sky, 2).exists()


def test_the_same_images_give_the_same_bytes_in_one_step_or_in_many(sky: Sky, tmp_path: Path) -> None:
    at_once = Sky(tmp_path / "other")
    for hour in (12, 10, 11):
        sky.image(at(hour))
        at_once.image(at(hour))
        build(sky)
    build(at_once)
    in_steps, in_one_step = ({k: v[2] for k, v in snapshot(s.layout.store).items()} for s in (sky, at_once))
    assert in_steps == in_one_step


def test_days_and_cameras_are_built_concurrently(sky: Sky) -> None:
    days = [DAY + timedelta(days=n) for n in range(3)]
    for day in days:
        for camera in ("fish_hdr", "pano_hdr"):
            sky.image(at(10, day=day), camera=camera)
        sky.refresh(day)
    tasks = [(camera, day) for day in days for camera in ("fish_hdr", "pano_hdr")]
    with ThreadPoolExecutor(len(tasks)) as pool:
        reports = list(pool.map(lambda task: build_pixels(sky.workspace, *task, NOW), tasks))
    assert all(report.built for report in reports)
    for camera, day in tasks:
        (name,) = names(opened(sky, camera, f"{day:%Y%m%d}"))
        assert f"{day:%Y%m%d}" in name


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    mount_point = tmp_path / "small"
    mount_point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount_point)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a file system")
    yield mount_point
    subprocess.run(["umount", "--lazy", str(mount_point)], check=True)


def test_a_full_disk_keeps_the_old_version_and_the_next_run_cleans_up(sky: Sky, small_disk: Path) -> None:
    sky.layout.products.parent.mkdir(parents=True)
    sky.layout.products.symlink_to(small_disk)
    images = [sky.image(at(10, minute)) for minute in range(3)]
    build(sky)
    before = snapshot(sky.layout.store)
    images += [sky.image(at(11, minute), jpeg(minute) + bytes(200_000)) for minute in range(8)]
    sky.refresh()
    for _ in range(2):
        with pytest.raises(OSError) as raised:  # noqa: PT011 - the errno is asserted
            build_pixels(sky.workspace, "fish_hdr", DAY, NOW)
        assert raised.value.errno == errno.ENOSPC
        assert snapshot(sky.layout.store) == before
        assert names(opened(sky)) == [path.name for path in images[:3]]
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert build(sky).frames == 11
    assert [chunk(sky, index).read_bytes() for index in range(11)] == [path.read_bytes() for path in images]
    assert list((sky.layout.products / ".staging").iterdir()) == []


def test_readers_never_fail_and_never_mix_versions_while_days_are_rebuilt(sky: Sky) -> None:
    minutes = [int(m) for m in np.random.default_rng(1).permutation(8)]
    wanted: dict[str, np.ndarray] = {}

    def add(minute: int) -> None:
        path = sky.image(at(10, minute))
        wanted[path.name] = decoded(path)
        build(sky)

    add(minutes[0])
    done = threading.Event()
    reads = {"xarray": 0, "open_pixels": 0}

    def read_with_xarray() -> None:
        while not done.is_set():
            with opened(sky) as dataset:
                assert dataset.time.to_index().is_monotonic_increasing
                assert dataset.image[-1].values.shape == (48, 64, 3)
                assert len(names(dataset)) == len(dataset.time)
            reads["xarray"] += 1

    def read_with_open_pixels() -> None:
        while not done.is_set():
            dataset = open_pixels(sky.layout.store, "fish_hdr", "2026-08-18", "2026-08-19")
            frames = dataset.image.values
            for name, frame in zip(names(dataset), frames, strict=True):
                assert np.array_equal(frame, wanted[name]), name
            reads["open_pixels"] += 1

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read_with_xarray), pool.submit(read_with_open_pixels)]
        try:
            for minute in minutes[1:]:
                add(minute)
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert all(count > 3 for count in reads.values()), reads
    assert names(opened(sky)) == sorted(wanted)
