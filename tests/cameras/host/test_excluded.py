"""A product excludes an input that it cannot use, with a reason; other products still use the input."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import av
import imagecodecs
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from aurora_platform.cameras import checks, clips, videos
from aurora_platform.cameras import pixels as pixels_module
from aurora_platform.cameras.catalog import open_writable
from aurora_platform.cameras.decoders import decode_image
from aurora_platform.cameras.pixels import PixelsReport, build_pixels
from aurora_platform.cameras.videos import VideoReport, build_daily_video, build_latest_video
from aurora_platform.errors import MediaError
from tests.cameras.sample_media import (
    DAY,
    NOW,
    WITHOUT_B_FRAMES,
    Film,
    Sky,
    at,
    build_thumbnail,
    frame_hashes,
    frame_hashes_of_all,
    jpeg,
    partly_broken,
    snapshot,
    undecodable_jpeg,
)
from tests.inotify import opened_below

CAMERA = "fish_hdr"
GOOD = Film(options=WITHOUT_B_FRAMES, frames=7)
FLAT = Film(codec="mpeg4", size=(2000, 2), frames=3)  # at 64 px wide it would be less than a pixel high


def deep(bits: int, shape: tuple[int, ...], **options: object) -> bytes:
    """A JPEG with more than 8 bits per sample; every sample is three quarters of white."""
    return imagecodecs.jpeg8_encode(np.full(shape, 3 << (bits - 2), np.uint16), bitspersample=bits, **options)


NOT_RGB = {
    "grayscale, not RGB of 8 bits": jpeg(1, mode="L"),
    "CMYK, not RGB of 8 bits": jpeg(1, mode="CMYK"),
    "grayscale of 12 bits, not RGB of 8 bits": deep(12, (48, 64)),
    "3 colour components of 12 bits, not RGB of 8 bits": deep(12, (48, 64, 3)),
    "3 colour components of 16 bits, not RGB of 8 bits": deep(16, (48, 64, 3), lossless=True),
}


def pixels(sky: Sky) -> PixelsReport:
    return build_pixels(sky.workspace, CAMERA, DAY, NOW)


def daily(sky: Sky) -> VideoReport:
    return build_daily_video(sky.workspace, CAMERA, DAY, NOW)


def catalogue(sky: Sky) -> tuple[list[str], dict[str, str]]:
    """The catalogued file names, and file name -> why it is unreadable, read with plain SQL."""
    with closing(sqlite3.connect(sky.layout.catalog)) as db:
        names = [name for (name,) in db.execute("SELECT filename FROM images ORDER BY time_epoch_ns, filename")]
        return names, {Path(path).name: e for path, e in db.execute("SELECT raw_path, error FROM unreadable_media")}


def expected_version(recipe: str, *paths: Path) -> str:
    """The data version of a product, as defined since version 0.1.0."""
    checksum = hashlib.sha256(recipe.encode())
    for path in paths:
        status = path.stat()
        relative = "/".join(path.parts[path.parts.index("FISH") :])
        checksum.update(f"\0{relative}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return checksum.hexdigest()


def test_a_product_without_exclusions_keeps_its_data_version_and_tags(sky: Sky) -> None:
    image, clip = sky.image(at(10)), sky.clip(at(10), GOOD)
    sky.refresh()
    assert pixels(sky).data_version == expected_version("pixels/1", image)
    report = daily(sky)
    assert report.data_version == expected_version("video/1", clip)
    with av.open(str(report.target)) as container:
        assert container.metadata["comment"] == f"video/1 {report.data_version}"
        assert "description" not in container.metadata


# -- images ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", NOT_RGB)
def test_an_image_that_is_not_rgb_stays_catalogued_and_is_excluded_from_the_pixels(sky: Sky, reason: str) -> None:
    odd = sky.image(at(10, 30), NOT_RGB[reason])
    good = [sky.image(at(10, minute)) for minute in (0, 50)]
    sky.refresh()
    report = pixels(sky)
    assert (report.excluded, report.unreadable) == ({f"FISH/20260818/10/{odd.name}": reason}, {})
    assert (report.frames, report.decoded) == (2, 2)
    assert catalogue(sky) == ([good[0].name, odd.name, good[1].name], {})
    with opened_below(sky.layout.raw) as opened_files:
        sky.refresh()
        again = pixels(sky)
        assert opened_files() == []
    assert (again.built, again.decoded, again.excluded, again.data_version) == (
        False,
        0,
        report.excluded,
        report.data_version,
    )
    thumbnail = build_thumbnail(sky.workspace, CAMERA, at(10), NOW)
    assert thumbnail.path is not None
    assert thumbnail.path.name == odd.name, "it is the nearest to half past, and a decoder can read it"


def test_the_thumbnail_of_a_deep_image_has_its_brightness(sky: Sky) -> None:
    for bits, hour in ((12, 10), (16, 11)):
        sky.image(at(hour), deep(bits, (48, 64, 3), lossless=bits == 16))
    sky.refresh()
    for hour in (10, 11):
        path = build_thumbnail(sky.workspace, CAMERA, at(hour), NOW).path
        assert path is not None
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (64, 48))
            assert np.abs(np.asarray(image, dtype=int) - 192).max() <= 3


def test_a_monochrome_day_keeps_its_rows_and_is_read_once(sky: Sky) -> None:
    images = [sky.image(at(10, minute), jpeg(minute, mode="L")) for minute in range(0, 60, 10)]
    sky.refresh()
    report = pixels(sky)
    assert (report.frames, report.decoded, len(report.excluded), report.unreadable) == (0, 0, 6, {})
    assert catalogue(sky) == ([path.name for path in images], {})
    before = snapshot(sky.layout.products)
    with opened_below(sky.layout.raw) as opened_files:
        again = pixels(sky)
        assert opened_files() == []
    assert (again.built, again.data_version, again.excluded) == (False, report.data_version, report.excluded)
    assert snapshot(sky.layout.products) == before
    assert checks.pixels_match_catalog(sky.workspace, CAMERA, DAY).passed
    with xr.open_zarr(sky.layout.store, group=f"{CAMERA}/20260818") as group:
        assert group.image.shape == (0, 48, 64, 3)
        assert len(group.attrs["excluded"]) == 6
    colour = sky.image(at(11))
    sky.refresh()
    report = pixels(sky)
    assert (report.built, report.frames, report.decoded, len(report.excluded)) == (True, 1, 1, 6)
    assert checks.pixels_match_catalog(sky.workspace, CAMERA, DAY).numbers == {"images": 7, "frames": 1, "excluded": 6}
    colour.unlink()
    sky.refresh()
    assert pixels(sky).frames == 0
    assert checks.pixels_match_catalog(sky.workspace, CAMERA, DAY).passed


def test_gray_images_do_not_count_for_the_size_of_a_day_and_do_not_displace_colour_images(sky: Sky) -> None:
    for minute in range(5):
        sky.image(at(10, minute), jpeg(minute, size=(32, 24), mode="L"))
    gray = sky.put(sky.image_path(at(11)).with_suffix(".JPG"), jpeg(1, mode="L"))
    colour = sky.image(at(11), jpeg(2))
    sky.refresh()
    assert catalogue(sky)[0][-2:] == [gray.name, colour.name], "the gray one comes first"
    report = pixels(sky)
    assert (report.shape, report.frames, len(report.excluded)) == ((48, 64), 1, 6)
    assert set(report.excluded.values()) == {"grayscale, not RGB of 8 bits"}
    chunk = sky.layout.pixels(CAMERA, DAY) / "image/c.0.0.0.0"
    assert chunk.read_bytes() == colour.read_bytes()


def test_the_same_images_give_the_same_group_in_any_order_of_arrival(tmp_path: Path) -> None:
    contents = {10: jpeg(1, size=(32, 24), mode="L"), 11: jpeg(2), 12: jpeg(3, mode="CMYK"), 13: jpeg(4)}
    groups = []
    for number, order in enumerate([(10, 11, 12, 13), (13, 12, 11, 10)]):
        sky = Sky(tmp_path / str(number))
        for hour in order:
            sky.image(at(hour), contents[hour])
            sky.refresh()
            pixels(sky)
        groups.append({name: content for name, (_, _, content) in snapshot(sky.layout.store).items()})
    assert groups[0] == groups[1]


def test_the_order_in_which_products_are_made_does_not_change_the_catalogue(tmp_path: Path) -> None:
    makers: dict[str, Callable[[Sky], object]] = {
        "pixels": pixels,
        "thumbnails": lambda sky: [build_thumbnail(sky.workspace, CAMERA, at(hour), NOW) for hour in (10, 11, 12)],
        "video": daily,
    }
    results = []
    for number, order in enumerate((list(makers), list(makers)[::-1])):
        sky = Sky(tmp_path / str(number))
        sky.image(at(10, 30), jpeg(1, mode="L"))
        sky.image(at(10, 45), undecodable_jpeg())
        sky.image(at(11, 30), undecodable_jpeg())
        sky.image(at(11, 40))
        sky.image(at(12, 30), deep(12, (48, 64)))
        sky.clip(at(10), GOOD)
        sky.clip(at(11), FLAT)
        sky.refresh()
        for name in order:
            makers[name](sky)
        sky.refresh()
        names = sorted(path.name for path in sky.layout.products.glob("hourly_thumbnails/*/*/*"))
        results.append((catalogue(sky), names))
    assert all(result == results[0] for result in results)
    (listed, unreadable), thumbnails = results[0]
    assert len(listed) == 5
    assert list(unreadable) == ["HDR_20260818_104500.jpg", "HDR_20260818_113000.jpg"]
    assert thumbnails == ["HDR_20260818_103000.jpg", "HDR_20260818_114000.jpg", "HDR_20260818_123000.jpg"]


def test_a_truncated_image_is_unreadable(sky: Sky) -> None:
    for minute, content in enumerate((jpeg(1), deep(12, (48, 64)))):
        sky.image(at(10, minute), content[: len(content) * 2 // 3])
    assert len(sky.refresh().unreadable) == 2
    assert catalogue(sky)[0] == []


def test_an_image_that_was_replaced_meanwhile_is_not_recorded_as_unreadable(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    sky.image(at(10), undecodable_jpeg())
    sky.refresh()

    def replace_file_and_decode(data: bytes) -> Image.Image:
        sky.put(sky.image_path(at(10)), jpeg(5), ns=1)
        sky.refresh()
        return decode_image(data)

    monkeypatch.setattr(pixels_module, "decode_image", replace_file_and_decode)
    assert pixels(sky).frames == 0
    assert catalogue(sky) == ([sky.image_path(at(10)).name], {})


@pytest.mark.parametrize(
    "reason",
    [
        "decodes to (48, 64) uint8, not to (48, 64, 3) uint8",
        "cannot be decoded: broken",
        "cannot be converted: [Errno 22]",
    ],
)
def test_a_file_that_version_0_1_0_recorded_as_unreadable_too_early_is_catalogued_again(sky: Sky, reason: str) -> None:
    good = sky.image(at(10), jpeg(mode="L"))
    bad = sky.image(at(11), undecodable_jpeg())
    sky.refresh()
    with open_writable(sky.workspace) as db:
        db.execute(
            "INSERT INTO unreadable_media SELECT raw_path, size_bytes, mtime_ns, ?, indexed_at FROM images", (reason,)
        )
        db.execute("DELETE FROM images")
    report = sky.refresh()
    assert (report.added, report.unreadable) == (2, {})
    pixels(sky)
    assert catalogue(sky)[0] == [good.name]
    with opened_below(sky.layout.raw) as opened_files:
        assert list(sky.refresh().unreadable) == [f"FISH/20260818/11/{bad.name}"]
        assert opened_files() == [], "a file with a new reason is not opened again"


# -- clips -------------------------------------------------------------------------------------------------------------


def test_a_clip_that_cannot_be_converted_is_excluded_and_stays_catalogued(sky: Sky) -> None:
    good = [sky.clip(at(hour), GOOD) for hour in (10, 12)]
    flat = sky.clip(at(11), FLAT)
    broken = sky.clip(at(13), partly_broken(Film(codec="mpeg4", frames=9)))
    assert len(frame_hashes(flat)) > 0
    sky.refresh()
    report = daily(sky)
    assert (report.built, report.clips, report.unreadable) == (True, 2, {})
    assert set(report.excluded) == {f"FISH/20260818/{path.name}" for path in (flat, broken)}
    for reason in report.excluded.values():
        assert "/" not in reason.replace("I/O", ""), f"the reason contains no path: {reason}"
        assert ".staging" not in reason
    assert frame_hashes(report.target) == frame_hashes_of_all(good)
    assert catalogue(sky) == ([good[0].name, flat.name, good[1].name, broken.name], {})
    with opened_below(sky.layout.raw) as opened_files:
        sky.refresh()
        again = daily(sky)
        assert opened_files() == []
    assert (again.built, again.excluded, again.data_version) == (False, report.excluded, report.data_version)
    check = checks.daily_video_plays(sky.workspace, CAMERA, DAY)
    assert (check.passed, check.excluded) == (True, report.excluded)
    assert (check.numbers["clips"], check.numbers["frames"], check.numbers["excluded"]) == (4, 14, 2)


def test_an_excluded_clip_is_not_decoded_again_for_another_video(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    sky.clip(at(10), GOOD)
    flat = sky.clip(at(11), FLAT)
    sky.refresh()
    reason = daily(sky).excluded[f"FISH/20260818/{flat.name}"]
    monkeypatch.setattr(clips, "_encode", None)  # any call fails
    later = sky.clip(at(12), GOOD)
    sky.refresh()
    for report in (daily(sky), build_latest_video(sky.workspace, CAMERA, NOW)):
        assert (report.built, report.excluded) == (True, {f"FISH/20260818/{flat.name}": reason})
        assert frame_hashes(report.target)[-7:] == frame_hashes(later)
    assert checks.latest_video_plays(sky.workspace, CAMERA).passed
    flat.unlink()
    sky.refresh()
    assert daily(sky).excluded == {}
    assert list((sky.layout.products / ".clips").rglob("*.txt")) == []


def test_if_all_clips_are_excluded_there_is_no_video_and_the_reason_is_recorded(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise av.error.ExternalError(1, "Generic error in an external library", "/home/.staging/clip")

    monkeypatch.setattr(clips, "_encode", fail)
    clip = sky.clip(at(10), Film(codec="mpeg4"))
    sky.refresh()
    for build in (daily, lambda sky: build_latest_video(sky.workspace, CAMERA, NOW)):
        report = build(sky)
        reason = "cannot be converted: Generic error in an external library"
        assert (report.built, report.clips, report.unreadable) == (False, 0, {})
        assert report.excluded == {f"FISH/20260818/{clip.name}": reason}
        assert not report.target.exists()
        with opened_below(sky.layout.raw) as opened_files:
            assert build(sky).excluded == report.excluded
            assert opened_files() == []
    for check in (
        checks.daily_video_plays(sky.workspace, CAMERA, DAY),
        checks.latest_video_plays(sky.workspace, CAMERA),
    ):
        assert (check.passed, check.excluded) == (True, report.excluded)
    assert catalogue(sky) == ([clip.name], {})
    good = sky.clip(at(11), GOOD)
    sky.refresh()
    report = daily(sky)
    assert (report.built, list(report.excluded)) == (True, [f"FISH/20260818/{clip.name}"])
    assert frame_hashes(report.target) == frame_hashes(good)
    # As the runbook says: delete the notes and the video, and the conversion is tried again.
    monkeypatch.undo()
    for path in (sky.layout.products / ".clips").rglob("*.txt"):
        path.unlink()
    report.target.unlink()
    report = daily(sky)
    assert (report.clips, report.converted, report.excluded) == (2, 1, {})


def test_a_clip_that_cannot_be_joined_is_excluded(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = [sky.clip(at(hour), GOOD) for hour in (10, 11, 12)]
    unjoinable, append = joined.pop(1), videos._append_clip

    def refuse_one_clip(output: object, stream: object, clip: videos.Clip, *rest: object) -> int | None:
        if clip.path == unjoinable:
            raise MediaError("its frame times cannot follow the previous clip")
        return append(output, stream, clip, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(videos, "_append_clip", refuse_one_clip)
    sky.refresh()
    report = daily(sky)
    assert list(report.excluded) == [f"FISH/20260818/{unjoinable.name}"]
    assert frame_hashes(report.target) == frame_hashes_of_all(joined)
    assert checks.daily_video_plays(sky.workspace, CAMERA, DAY).passed


def test_excluded_clips_do_not_count_for_the_common_size(sky: Sky) -> None:
    for hour in (10, 11, 12):
        sky.clip(at(hour), partly_broken(Film(codec="mpeg4", size=(96, 64), frames=9)))
    good = [sky.clip(at(hour), GOOD) for hour in (13, 14)]
    sky.refresh()
    report = daily(sky)
    assert len(report.excluded) == 3
    assert frame_hashes(report.target) == frame_hashes_of_all(good)
    again = daily(sky)
    assert (again.built, again.converted) == (False, 0)


def test_a_full_disk_excludes_no_clip(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_with_full_disk(*_: object) -> int:
        raise av.error.OSError(28, "No space left on device", "/home/.staging/clip")

    monkeypatch.setattr(clips, "_encode", fail_with_full_disk)
    for hour, film in ((10, Film(codec="mpeg4")), (11, GOOD), (12, GOOD)):
        sky.clip(at(hour), film)
    sky.refresh()
    with pytest.raises(OSError, match="No space left"):
        daily(sky)
    monkeypatch.undo()
    assert daily(sky).converted == 1


def test_a_damaged_conversion_is_made_again(sky: Sky) -> None:
    odd = sky.clip(at(10), Film(codec="mpeg4", frames=5))
    for hour in (11, 12):
        sky.clip(at(hour), GOOD)
    sky.refresh()
    first = daily(sky)
    (conversion,) = (sky.layout.products / ".clips").rglob("*.mp4")
    content = conversion.read_bytes()
    conversion.write_bytes(content[:500])
    first.target.unlink()
    report = daily(sky)
    assert (report.converted, report.excluded) == (1, {})
    assert catalogue(sky)[0][0] == odd.name
    assert conversion.read_bytes() == content
