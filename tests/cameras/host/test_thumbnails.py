"""Hourly thumbnails: the choice of the image, the time, the size and the quality; a published one never changes."""

import errno
import io
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aurora_platform.cameras import thumbnails
from aurora_platform.cameras.raw_tree import RawFile, scan_day
from aurora_platform.cameras.thumbnails import (
    ThumbnailReport,
    build_thumbnails,
    published,
    render_hour_strip,
)
from aurora_platform.fs.atomic import publish_file
from tests.cameras.sample_media import DAY, NOW, Sky, at, build_thumbnail, jpeg, snapshot, texture, undecodable_jpeg
from tests.inotify import opened_below

HOUR = at(10)


def build(sky: Sky, now: datetime = NOW) -> ThumbnailReport:
    sky.refresh(now=NOW)
    return build_thumbnail(sky.workspace, "fish_hdr", HOUR, now)


def psnr(first: Image.Image, second: Image.Image) -> float:
    difference = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


@pytest.mark.parametrize(
    ("minutes", "nearest"),
    [
        ((0, 10, 20, 31, 50), 31),
        ((29, 31), 29),  # at the same distance the earlier image is used
        ((0, 59), 59),
        ((0,), 0),
        ((25, 36), 25),
    ],
)
def test_the_image_nearest_to_half_past_is_used(sky: Sky, minutes: tuple[int, ...], nearest: int) -> None:
    for minute in minutes:
        sky.image(at(10, minute))
    sky.image(at(9, 59, 59))
    sky.image(at(11))
    report = build(sky)
    name = f"HDR_20260818_10{nearest:02}00.jpg"
    assert report.path == sky.layout.products / f"hourly_thumbnails/fish_hdr/20260818/{name}"
    with Image.open(report.path) as small, Image.open(sky.image_path(at(10, nearest))) as source:
        assert psnr(small, source) > 30


def test_the_other_camera_keeps_its_suffix_and_an_upper_case_extension_is_lowered(sky: Sky) -> None:
    path = sky.image_path(at(10), "pano_hdr")
    sky.put(path.with_suffix(".JPG"), jpeg())
    sky.refresh()
    report = build_thumbnail(sky.workspace, "pano_hdr", HOUR, NOW)
    assert report.path == sky.layout.products / "hourly_thumbnails/pano_hdr/20260818/HDR_20260818_100000_PANO.jpg"


def test_an_hour_gets_its_thumbnail_ten_minutes_after_its_end_and_not_before(sky: Sky) -> None:
    sky.image(at(10, 30))
    early = build(sky, at(11, 9, 59))
    assert (early.built, early.path) == (False, None)
    assert "11:10" in early.note
    assert not (sky.layout.products / "hourly_thumbnails").exists()
    assert build(sky, at(11, 10)).built


def test_a_published_thumbnail_is_kept_when_a_better_image_arrives(sky: Sky) -> None:
    sky.image(at(10, 10))
    build(sky)
    products = sky.layout.products / "hourly_thumbnails"
    before = snapshot(products)
    sky.image(at(10, 30))
    report = build(sky)
    assert (report.built, report.path) == (False, products / "fish_hdr/20260818/HDR_20260818_101000.jpg")
    assert snapshot(products) == before


def test_a_published_thumbnail_is_kept_when_its_image_is_gone(sky: Sky) -> None:
    path = sky.image(at(10, 10))
    first = build(sky)
    path.unlink()
    again = build(sky)
    assert (again.built, again.path, again.data_version) == (False, first.path, first.data_version)


def test_a_thumbnail_of_the_earlier_scripts_is_kept(sky: Sky) -> None:
    sky.image(at(10, 30))
    old = sky.layout.products / "hourly_thumbnails/fish_hdr/20260818/HDR_20260818_101000.jpg"
    sky.put(old, jpeg())
    report = build(sky)
    assert (report.built, report.path) == (False, old)
    assert report.data_version


def test_a_damaged_published_thumbnail_causes_no_error(sky: Sky) -> None:
    sky.image(at(10, 30))
    path = build(sky).path
    assert path is not None
    path.write_bytes(b"")
    report = build(sky)
    assert (report.built, report.path, report.bytes) == (False, path, 0)
    assert render_hour_strip({10: path}) == render_hour_strip({})


def test_an_hour_without_images_has_no_thumbnail(sky: Sky) -> None:
    sky.image(at(9))
    report = build(sky)
    assert (report.built, report.path, report.note) == (False, None, "no image in this hour")


@pytest.mark.parametrize(
    ("size", "small"),
    [((1600, 1559), (540, 526)), ((2880, 750), (540, 141)), ((750, 2880), (141, 540)), ((300, 200), (300, 200))],
)
def test_a_thumbnail_has_at_most_540_px_and_the_shape_of_its_image(
    sky: Sky, size: tuple[int, int], small: tuple[int, int]
) -> None:
    sky.image(at(10), jpeg(size=size))
    report = build(sky)
    assert report.path is not None
    with Image.open(report.path) as image:
        assert all(abs(side - wanted) <= 1 for side, wanted in zip(image.size, small, strict=True))
        assert max(image.size) <= 540
        assert image.format == "JPEG"
        assert image.mode == "RGB"


def test_a_thumbnail_has_quality_88(sky: Sky) -> None:
    sky.image(at(10))
    report = build(sky)
    assert report.path is not None
    with Image.open(report.path) as thumbnail, Image.open(io.BytesIO(jpeg(quality=88))) as wanted:
        assert thumbnail.quantization == wanted.quantization  # type: ignore[attr-defined]


def test_scaling_while_decoding_is_as_good_as_scaling_afterwards(sky: Sky, large: Path) -> None:
    source = large / "FISH/20260818/10/HDR_20260818_102000.jpg"
    sky.image(at(10, 20), source.read_bytes())
    report = build(sky)
    assert report.path is not None
    with Image.open(source) as image:
        wanted = image.convert("RGB").resize((540, 526), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    wanted.save(buffer, "JPEG", quality=88)
    with Image.open(report.path) as thumbnail, Image.open(buffer) as compressed:
        assert thumbnail.size == wanted.size
        # Compared with a full decode after the same compression, and with one without compression.
        assert 45 <= psnr(thumbnail, compressed) < 100  # not the same: the decoder has scaled
        assert psnr(thumbnail, wanted) >= psnr(compressed, wanted) - 0.5


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_an_image_that_is_not_rgb_has_a_thumbnail_too(sky: Sky, mode: str) -> None:
    sky.image(at(10), jpeg(mode=mode))
    report = build(sky)
    assert report.path is not None
    with Image.open(report.path) as image:
        image.load()


def test_if_the_nearest_image_cannot_be_decoded_the_next_nearest_is_used(sky: Sky) -> None:
    sky.image(at(10, 30), undecodable_jpeg())
    sky.image(at(10, 45))
    report = build(sky)
    assert report.path is not None
    assert report.path.name == "HDR_20260818_104500.jpg"
    assert list(report.unreadable) == ["FISH/20260818/10/HDR_20260818_103000.jpg"]
    with opened_below(sky.layout.raw) as opened:
        again = sky.refresh()
        assert opened() == []
    assert list(again.unreadable) == list(report.unreadable)
    assert list(published(sky.workspace, "fish_hdr", DAY)) == [10]


def test_an_image_that_changed_since_it_was_catalogued_waits(sky: Sky) -> None:
    sky.image(at(10, 45))
    path = sky.image(at(10, 30))
    sky.refresh()
    path.write_bytes(b"being written")
    report = build_thumbnail(sky.workspace, "fish_hdr", HOUR, NOW)
    assert report.waiting.total == 1
    assert report.path is not None
    assert report.path.name == "HDR_20260818_104500.jpg"


def test_the_hour_strip_shows_24_hours_with_the_empty_hours_gray(tmp_path: Path) -> None:
    thumbnails_by_hour = {}
    for hour, colour in {0: (200, 0, 0), 7: (0, 200, 0), 23: (0, 0, 200)}.items():
        thumbnails_by_hour[hour] = tmp_path / f"{hour}.jpg"
        Image.new("RGB", (540, 526), colour).save(thumbnails_by_hour[hour], quality=95)
    with Image.open(io.BytesIO(render_hour_strip(thumbnails_by_hour, cell=60))) as picture:
        assert picture.size == (24 * 60, 60 + 14)
        middles = [picture.getpixel((hour * 60 + 30, 14 + 30)) for hour in range(24)]
    for hour, pixel in enumerate(middles):
        wanted = {0: (200, 0, 0), 7: (0, 200, 0), 23: (0, 0, 200)}.get(hour, (60, 60, 60))
        assert all(abs(a - b) < 12 for a, b in zip(pixel, wanted, strict=True)), hour  # type: ignore[arg-type]


def test_two_hours_of_a_day_have_two_thumbnails(sky: Sky) -> None:
    for hour in (0, 23):
        sky.image(at(hour, 30), jpeg(hour))
    sky.refresh()
    for hour in range(24):
        build_thumbnail(sky.workspace, "fish_hdr", datetime(2026, 8, 18, hour, tzinfo=UTC), NOW + timedelta(days=1))
    found = published(sky.workspace, "fish_hdr", DAY)
    assert {hour: path.name for hour, path in found.items()} == {
        0: "HDR_20260818_003000.jpg",
        23: "HDR_20260818_233000.jpg",
    }
    with Image.open(found[23]) as image:
        assert psnr(image, texture(23, (64, 48))) > 30


def hours_of_the_day() -> list[datetime]:
    return [at(hour) for hour in range(24)]


def test_many_hours_at_once_give_the_same_thumbnails_as_single_hours(sky: Sky) -> None:
    for hour in (0, 5, 6, 7, 23):
        for minute in (5, 25, 45):
            sky.image(at(hour, minute))
    sky.image(at(5, 31), undecodable_jpeg())
    sky.refresh()
    reports = list(build_thumbnails(sky.workspace, "fish_hdr", hours_of_the_day(), NOW))
    assert [report.hour for report in reports] == hours_of_the_day()
    made_at_once = {path: path.read_bytes() for path in published(sky.workspace, "fish_hdr", DAY).values()}
    assert [list(report.unreadable) for report in reports if report.unreadable] == [
        ["FISH/20260818/05/HDR_20260818_053100.jpg"]
    ]
    for path in made_at_once:
        path.unlink()
    alone = [build_thumbnail(sky.workspace, "fish_hdr", hour, NOW) for hour in hours_of_the_day()]
    assert [report.path for report in alone] == [report.path for report in reports]
    assert {path: path.read_bytes() for path in published(sky.workspace, "fish_hdr", DAY).values()} == made_at_once
    assert len(made_at_once) == 5


def test_hours_wait_only_if_the_catalogue_of_their_own_day_is_behind(sky: Sky) -> None:
    next_day = DAY + timedelta(days=1)
    for day in (DAY, next_day):
        sky.image(at(10, 10, day=day))
        sky.refresh(day)
    sky.image(at(10, 30, day=next_day))
    hours = [at(10), at(10, day=next_day)]
    first, second = build_thumbnails(sky.workspace, "fish_hdr", hours, NOW + timedelta(days=1))
    assert first.built
    assert not second.built
    assert "the catalogue is behind" in second.note


def test_a_day_is_scanned_once_for_all_its_hours_and_not_for_hours_with_a_thumbnail(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[date] = []

    def record_scan(raw: Path, day: date) -> Iterator[RawFile]:
        scanned.append(day)
        time.sleep(0.05)  # long enough for the other hours to request the day too
        return scan_day(raw, day)

    monkeypatch.setattr(thumbnails, "scan_day", record_scan)
    for hour in range(6):
        sky.image(at(hour))
    sky.refresh()
    assert sum(report.built for report in build_thumbnails(sky.workspace, "fish_hdr", hours_of_the_day(), NOW)) == 6
    assert scanned == [DAY]
    assert not any(report.built for report in build_thumbnails(sky.workspace, "fish_hdr", hours_of_the_day()[:6], NOW))
    assert scanned == [DAY]


def test_an_error_in_one_hour_is_raised_in_order_and_leaves_no_partial_file(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(24):
        sky.image(at(hour))
    sky.refresh()

    def fail_in_hour_2(staged: Path, target: Path) -> None:
        if "_02" in target.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        publish_file(staged, target)

    monkeypatch.setattr(thumbnails, "publish_file", fail_in_hour_2)
    reports = build_thumbnails(sky.workspace, "fish_hdr", hours_of_the_day(), NOW)
    assert [next(reports).built, next(reports).built] == [True, True]
    with pytest.raises(OSError, match="No space left"):
        next(reports)
    assert {0, 1} <= set(published(sky.workspace, "fish_hdr", DAY)) <= set(range(24)) - {2}
    assert list((sky.layout.products / ".staging").iterdir()) == []


def test_no_image_is_chosen_while_the_catalogue_is_behind_the_raw_tree(sky: Sky) -> None:
    sky.image(at(10, 10))
    sky.refresh()
    nearer = sky.image(at(10, 30))
    behind = build_thumbnail(sky.workspace, "fish_hdr", HOUR, NOW)
    assert (behind.built, behind.path) == (False, None)
    assert "the catalogue is behind" in behind.note
    sky.refresh()
    built = build_thumbnail(sky.workspace, "fish_hdr", HOUR, NOW)
    assert built.path is not None
    assert built.path.stem == nearer.stem
