"""``open_pixels`` and ``original_jpeg`` return the camera's pictures and files."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from aurora_platform.cameras.pixels import build_pixels
from aurora_platform.cameras.reader import open_pixels, original_jpeg
from aurora_platform.errors import PixelsError
from tests.cameras.sample_media import DAY, NOW, Sky, at, jpeg

NEXT = DAY + timedelta(days=1)


def build(sky: Sky) -> None:
    for day in (DAY, NEXT):
        sky.refresh(day)
        for camera in ("fish_hdr", "pano_hdr"):
            build_pixels(sky.workspace, camera, day, NOW)


def decoded(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def night(sky: Sky) -> tuple[Sky, list[Path]]:
    """Six images around midnight, one per hour."""
    moments = [at(hour) for hour in (21, 22, 23)] + [at(hour, day=NEXT) for hour in (0, 1, 2)]
    paths = [sky.image(moment) for moment in moments]
    build(sky)
    return sky, paths


def test_a_night_is_one_dataset(night: tuple[Sky, list[Path]]) -> None:
    sky, paths = night
    dataset = open_pixels(sky.layout.store, "fish_hdr", "2026-08-18", "2026-08-20")
    assert dict(dataset.sizes) == {"time": 6, "y": 48, "x": 64, "channel": 3}
    assert set(dataset.data_vars) == {"image", "filename", "size_bytes"}
    assert dataset.image.dtype == np.uint8
    assert dataset.time.dtype == np.dtype("datetime64[ns]")
    assert dataset.time.to_index().is_monotonic_increasing
    assert dataset.time.to_index().is_unique
    assert dataset.filename.values.tolist() == [path.name for path in paths]
    assert dataset.size_bytes.values.tolist() == [path.stat().st_size for path in paths]
    for frame, path in zip(dataset.image.values, paths, strict=True):
        assert np.array_equal(frame, decoded(path))


@pytest.mark.parametrize(
    ("y", "x"),
    [
        (slice(0, 1), slice(None)),
        (slice(10, 12), slice(5, 30)),
        (slice(None), slice(63, 64)),
        (slice(-3, None), slice(-2, -1)),
        (slice(30, 31), slice(0, 1)),
    ],
)
def test_a_window_has_the_pixels_of_the_whole_picture_and_their_coordinates(
    night: tuple[Sky, list[Path]], y: slice, x: slice
) -> None:
    sky, paths = night
    dataset = open_pixels(sky.layout.store, "fish_hdr", "2026-08-18", "2026-08-20", y=y, x=x)
    for frame, path in zip(dataset.image.values, paths, strict=True):
        assert np.array_equal(frame, decoded(path)[y, x])
    assert dataset.y.values.tolist() == list(range(48))[y]
    assert dataset.x.values.tolist() == list(range(64))[x]


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"y": slice(48, 60)}, "empty: the picture has 48 px"),
        ({"x": slice(3, 3)}, "empty: the picture has 64 px"),
        ({"x": slice(0, 64, 2)}, "a slice without a step, such as"),
        ({"y": 5}, "a slice without a step, such as"),
    ],
)
def test_an_impossible_window_is_refused(night: tuple[Sky, list[Path]], window: dict[str, Any], message: str) -> None:
    with pytest.raises(PixelsError, match=message):
        open_pixels(night[0].layout.store, "fish_hdr", "2026-08-18", "2026-08-20", **window)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ("2026-08-18T22:00", "2026-08-19T01:00", slice(1, 4)),
        ("2026-08-18T22:00:01", "2026-08-19T01:00:01", slice(2, 5)),
        ("2026-08-19", "2026-08-20", slice(3, 6)),
        ("2026-08-18", "2026-08-19", slice(0, 3)),
        ("2026-08-19T00:00", "2026-08-19T00:00:00.000000001", slice(3, 4)),
        (datetime(2026, 8, 18, 23, tzinfo=UTC), datetime(2026, 8, 19, 1, tzinfo=UTC), slice(2, 4)),
        # 01:00 to 03:00 two hours east is 23:00 to 01:00 UTC.
        (
            datetime(2026, 8, 19, 1, tzinfo=timezone(timedelta(hours=2))),
            pd.Timestamp("2026-08-19T03:00+02:00"),
            slice(2, 4),
        ),
        (np.datetime64("2026-08-18T23:00", "s"), np.datetime64("2026-08-19T00:00:00", "ns"), slice(2, 3)),
        ("2020-01-01", "2030-01-01", slice(0, 6)),
    ],
)
def test_the_start_is_included_and_the_stop_is_not(
    night: tuple[Sky, list[Path]], start: object, stop: object, expected: slice
) -> None:
    sky, paths = night
    dataset = open_pixels(sky.layout.store, "fish_hdr", start, stop)  # type: ignore[arg-type]
    assert dataset.filename.values.tolist() == [path.name for path in paths[expected]]
    assert np.array_equal(dataset.image[-1].values, decoded(paths[expected][-1]))


def test_original_jpeg_returns_the_cameras_file(night: tuple[Sky, list[Path]]) -> None:
    sky, paths = night
    for path in paths:
        moment = datetime.strptime(path.stem, "HDR_%Y%m%d_%H%M%S").replace(tzinfo=UTC)
        assert original_jpeg(sky.layout.store, "fish_hdr", moment) == path.read_bytes()
    assert original_jpeg(str(sky.layout.store), "fish_hdr", "2026-08-19T00:00:00") == paths[3].read_bytes()
    with pytest.raises(PixelsError, match="no fish_hdr image of 2026-08-19 00:00:01"):
        original_jpeg(sky.layout.store, "fish_hdr", "2026-08-19T00:00:01")


@pytest.mark.parametrize(
    ("camera", "start", "stop", "message"),
    [
        ("fish_hdr", "2026-08-20", "2026-08-21", "no fish_hdr images from 2026-08-20"),
        ("fish_hdr", "2026-08-18T22:30", "2026-08-18T22:45", "no fish_hdr images"),
        ("fish_hdr", "2026-08-19", "2026-08-19", "is not before stop"),
        ("fish_hdr", "2026-08-19", "2026-08-18", "is not before stop"),
        ("fish_hdr", "NaT", "2026-08-18", "not a time"),
        ("pano_hdr", "2026-08-18", "2026-08-19", "no such camera"),
        ("nobody", "2026-08-18", "2026-08-19", "no such camera"),
    ],
)
def test_a_missing_period_or_camera_is_an_error_with_the_reason(
    night: tuple[Sky, list[Path]], camera: str, start: str, stop: str, message: str
) -> None:
    with pytest.raises(PixelsError, match=message):
        open_pixels(night[0].layout.store, camera, start, stop)


def test_a_missing_store_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(PixelsError, match="no such camera in this store"):
        open_pixels(tmp_path / "nowhere.zarr", "fish_hdr", "2026-08-18", "2026-08-19")


def test_days_with_images_of_different_sizes_are_refused(sky: Sky) -> None:
    sky.image(at(10))
    sky.image(at(10, day=NEXT), jpeg(size=(32, 32)))
    build(sky)
    with pytest.raises(PixelsError, match="different sizes"):
        open_pixels(sky.layout.store, "fish_hdr", "2026-08-18", "2026-08-20")
    assert open_pixels(sky.layout.store, "fish_hdr", "2026-08-19", "2026-08-20").sizes["x"] == 32


def test_a_dataset_opened_before_a_late_frame_arrives_still_gives_its_own_frames(night: tuple[Sky, list[Path]]) -> None:
    sky, paths = night
    before = open_pixels(sky.layout.store, "fish_hdr", "2026-08-18", "2026-08-20")
    for minute in (0, 30):
        sky.image(at(21, 5 + minute))
        sky.image(at(20, minute))
        build(sky)
    assert before.filename.values.tolist() == [path.name for path in paths]
    for frame, path in zip(before.image.values, paths, strict=True):
        assert np.array_equal(frame, decoded(path))
    after = open_pixels(sky.layout.store, "fish_hdr", "2026-08-18", "2026-08-20")
    assert after.sizes["time"] == 10


def test_a_frame_that_was_replaced_after_opening_is_an_error_and_not_another_picture(
    night: tuple[Sky, list[Path]],
) -> None:
    sky, paths = night
    before = open_pixels(sky.layout.store, "fish_hdr", "2026-08-18", "2026-08-20")
    sky.put(paths[1], jpeg(4711), ns=1)
    paths[2].unlink()
    build(sky)
    for index in (1, 2):
        with pytest.raises(PixelsError, match="open it again"):
            before.image[index].compute()
    assert np.array_equal(before.image[0].values, decoded(paths[0]))


_MEAN_OF_A_DAY = """
import resource, sys
from aurora_platform.cameras.reader import open_pixels
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
dataset = open_pixels(sys.argv[1], "fish_hdr", "2026-08-18", "2026-08-19")
dataset.image[:4].mean().compute()
before = peak()
mean = float(dataset.image.mean())
print(peak() - before, dataset.image.nbytes, mean)
"""


def test_a_mean_over_a_day_does_not_hold_the_whole_day_in_memory(sky: Sky) -> None:
    content = jpeg(1, size=(1500, 1000))
    for minute in range(60):
        sky.image(at(10, minute), content)
    build(sky)
    command = [sys.executable, "-c", _MEAN_OF_A_DAY, str(sky.layout.store)]
    grown, whole, mean = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(whole) == 60 * 1500 * 1000 * 3
    assert int(grown) < int(whole) / 3
    assert float(mean) == pytest.approx(decoded(sky.image_path(at(10))).mean(), abs=1e-6)
