"""Each check passes on a good day, and reports what is wrong after real damage."""

import os
import shutil
from datetime import timedelta
from pathlib import Path

import av
import pytest
import zarr

from aurora_platform.cameras import checks
from aurora_platform.cameras.catalog import open_writable
from aurora_platform.cameras.checks import CheckReport
from aurora_platform.cameras.pixels import build_pixels
from aurora_platform.cameras.videos import build_daily_video, build_latest_video
from tests.cameras.sample_media import DAY, NOW, Film, Sky, at, build_thumbnail, jpeg, snapshot

HOURS = [at(hour) for hour in range(24)]
CAMERA = "fish_hdr"


@pytest.fixture(scope="module")
def made(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The directory of a day with all products, and a copy of it: the catalogue stores the full paths of files."""
    original, copy = tmp_path_factory.mktemp("day"), tmp_path_factory.mktemp("kept") / "day"
    sky = Sky(original)
    shutil.copytree(rendered, sky.layout.raw, symlinks=True)
    sky.refresh()
    build_daily_video(sky.workspace, CAMERA, DAY, NOW)
    build_latest_video(sky.workspace, CAMERA, NOW)
    build_pixels(sky.workspace, CAMERA, DAY, NOW)
    for hour in HOURS:
        build_thumbnail(sky.workspace, CAMERA, hour, NOW)
    shutil.copytree(original, copy, symlinks=True)
    return original, copy


@pytest.fixture
def day(made: tuple[Path, Path]) -> Sky:
    """A day with all products, for a test to damage."""
    original, copy = made
    shutil.rmtree(original)
    shutil.copytree(copy, original, symlinks=True)
    return Sky(original)


def run_checks(sky: Sky) -> dict[str, CheckReport]:
    return {
        "catalog": checks.catalog_matches_raw(sky.workspace, DAY, NOW),
        "media": checks.no_unreadable_media(sky.workspace, DAY),
        "daily": checks.daily_video_plays(sky.workspace, CAMERA, DAY),
        "latest": checks.latest_video_plays(sky.workspace, CAMERA),
        "thumbnails": checks.hours_have_thumbnails(sky.workspace, CAMERA, HOURS, NOW),
        "pixels": checks.pixels_match_catalog(sky.workspace, CAMERA, DAY),
    }


def failing(sky: Sky) -> dict[str, dict[str, list[str]]]:
    """Check -> kind of fault -> names."""
    return {
        check: {kind: count.first for kind, count in report.wrong.items()}
        for check, report in run_checks(sky).items()
        if not report.passed
    }


def execute(sky: Sky, query: str, *values: object) -> None:
    with open_writable(sky.workspace) as db:
        db.execute(query, values)


def test_a_good_day_passes_every_check_and_is_not_changed(day: Sky) -> None:
    before = snapshot(day.layout.products)
    reports = run_checks(day)
    assert all(report.passed for report in reports.values())
    assert all(report.sentence.endswith("as it should be.") for report in reports.values())
    assert snapshot(day.layout.products) == before
    assert reports["catalog"].numbers == {"files": 42, "rows": 42, "unreadable": 0}
    assert reports["daily"].numbers["frames"] == reports["daily"].numbers["frames_of_clips"] == 18
    assert reports["daily"].numbers["duration_s"] == pytest.approx(18 / 25)
    assert reports["thumbnails"].numbers == {"closed_hours": 24, "thumbnails": 3}
    assert reports["pixels"].numbers == {"images": 18, "frames": 18, "excluded": 0}


def test_an_empty_day_passes(sky: Sky) -> None:
    sky.refresh()
    assert failing(sky) == {}


def test_a_new_file_without_a_row_is_named_once_it_has_settled(day: Sky) -> None:
    path = day.image(at(13))
    assert failing(day) == {"catalog": {"files without a row": [f"FISH/20260818/13/{path.name}"]}}
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    assert failing(day) == {}


def test_a_changed_file_is_named(day: Sky) -> None:
    path = day.image_path(at(10))
    os.utime(path, ns=(7, 7))
    assert failing(day) == {"catalog": {"files changed since they were catalogued": [f"FISH/20260818/10/{path.name}"]}}


def test_a_removed_file_is_named(day: Sky) -> None:
    path = day.image_path(at(10))
    path.unlink()
    assert failing(day) == {"catalog": {"rows without a file": [str(path)]}}


def test_a_removed_row_is_named_for_the_catalogue_and_for_the_pixels(day: Sky) -> None:
    execute(day, "DELETE FROM images WHERE raw_path = ?", str(day.image_path(at(10))))
    assert failing(day) == {
        "catalog": {"files without a row": ["FISH/20260818/10/HDR_20260818_100000.jpg"]},
        "pixels": {"frames without a row in the catalogue": ["2026-08-18T10:00:00.000000000"]},
    }


def test_an_unreadable_file_is_named_with_its_reason_and_the_catalogue_check_passes(day: Sky) -> None:
    path = day.image(at(13), b"")
    day.refresh()
    assert failing(day) == {"media": {"unreadable": [f"{path.name}: the file is empty"]}}


def test_a_file_of_another_day_in_the_days_directory_is_named(day: Sky) -> None:
    path = day.put(day.image_path(at(10)).parent / "HDR_20310101_000000.jpg", jpeg())
    assert failing(day) == {"catalog": {"files without a row": [f"FISH/20260818/10/{path.name}"]}}
    day.refresh()
    assert failing(day) == {
        "media": {"unreadable": [f"{path.name}: named 2031-01-01, but in the directory of 2026-08-18"]}
    }


def test_a_removed_thumbnail_is_named_by_its_hour(day: Sky) -> None:
    (path,) = (day.layout.products / "hourly_thumbnails/fish_hdr/20260818").glob("HDR_20260818_11*.jpg")
    path.unlink()
    assert failing(day) == {"thumbnails": {"hours with images and no thumbnail": ["2026-08-18 11:00"]}}


def test_an_open_hour_needs_no_thumbnail(day: Sky) -> None:
    for path in (day.layout.products / "hourly_thumbnails/fish_hdr/20260818").glob("*.jpg"):
        path.unlink()
    report = checks.hours_have_thumbnails(day.workspace, CAMERA, HOURS, at(11, 5))
    assert report.passed
    report = checks.hours_have_thumbnails(day.workspace, CAMERA, HOURS, at(11, 10))
    assert report.sentence == "thumbnails of 11 closed hours: 1 hours with images and no thumbnail (2026-08-18 10:00)."


def test_a_truncated_video_does_not_play(day: Sky) -> None:
    video = day.layout.video(CAMERA, DAY)
    video.write_bytes(video.read_bytes()[:-2000])
    (wrong,) = failing(day).values()
    (reason,) = wrong["playback error"]
    assert "of its 18 frames are in the file" in reason


def test_a_missing_video_is_named(day: Sky) -> None:
    day.layout.video(CAMERA, DAY).unlink()
    day.layout.latest_video(CAMERA).unlink()
    assert failing(day) == {
        "daily": {"clips without a video": ["20260818.mp4"]},
        "latest": {"clips without a video": ["latest.mp4"]},
    }


def test_an_empty_video_does_not_play(day: Sky) -> None:
    day.layout.latest_video(CAMERA).write_bytes(b"")
    assert failing(day)["latest"]["playback error"] == ["the file is empty"]


def remux(path: Path, frames: int | None = None, **options: str) -> None:
    """Write a video again with only its first frames, or with other options."""
    remuxed = path.with_suffix(".remuxed")
    with av.open(str(path)) as source, av.open(str(remuxed), "w", format="mp4", options=options) as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets[:frames]:
            packet.stream = stream
            sink.mux(packet)
    remuxed.replace(path)


def test_an_index_after_the_data_is_named(day: Sky) -> None:
    remux(day.layout.video(CAMERA, DAY))
    fault = "index at the end (a browser must load the whole file before it plays)"
    assert failing(day) == {"daily": {fault: ["20260818.mp4"]}}


def test_a_missing_frame_is_counted(day: Sky) -> None:
    remux(day.layout.video(CAMERA, DAY), frames=17, movflags="+faststart")
    assert failing(day) == {"daily": {"frame count different from its clips": ["17 instead of 18"]}}


def test_a_video_in_a_format_that_browsers_may_not_play_is_named(day: Sky) -> None:
    day.layout.video(CAMERA, DAY).write_bytes(Film(codec="mpeg4", frames=18, faststart=True).encode(1))
    assert failing(day) == {"daily": {"format that browsers may not play": ["mpeg4 yuv420p"]}}


def test_a_clip_that_arrived_after_the_video_was_made_is_counted(day: Sky) -> None:
    day.clip(at(14), Film(frames=2))
    day.refresh()
    fault = {"frame count different from its clips": ["18 instead of 20"]}
    assert failing(day) == {"daily": fault, "latest": fault}


def test_a_video_with_damaged_frame_data_does_not_play(day: Sky) -> None:
    video = day.layout.video(CAMERA, DAY)
    content = bytearray(video.read_bytes())
    data = content.index(b"mdat") + 4
    content[data:] = bytes(len(content) - data)
    video.write_bytes(content)
    assert "playback error" in failing(day)["daily"]


def test_times_out_of_order_in_the_store_are_named(day: Sky) -> None:
    time = zarr.open_group(day.layout.pixels(CAMERA, DAY), mode="a")["time"]
    values = time[:]  # type: ignore[index]
    values[[3, 4]] = values[[4, 3]]
    time[:] = values  # type: ignore[index]
    assert failing(day) == {"pixels": {"times out of order": ["2026-08-18T10:30:00.000000000"]}}


def test_a_repeated_time_in_the_store_is_named(day: Sky) -> None:
    time = zarr.open_group(day.layout.pixels(CAMERA, DAY), mode="a")["time"]
    time[4] = time[3]  # type: ignore[index]
    assert failing(day)["pixels"] == {
        "times out of order": ["2026-08-18T10:30:00.000000000"],
        "images missing from the array": ["FISH/20260818/10/HDR_20260818_104000.jpg"],
    }


def test_a_missing_and_a_truncated_chunk_are_named(day: Sky) -> None:
    image = day.layout.pixels(CAMERA, DAY) / "image"
    (image / "c.2.0.0.0").unlink()
    content = (image / "c.5.0.0.0").read_bytes()
    (image / "c.5.0.0.0").write_bytes(content[:-1])
    assert failing(day) == {"pixels": {"chunks missing or of the wrong size": ["c.2.0.0.0", "c.5.0.0.0"]}}


def test_an_image_that_arrived_after_the_pixels_were_built_is_named(day: Sky) -> None:
    path = day.image(at(10, 5), day.image_path(at(10)).read_bytes())
    day.refresh(now=NOW + timedelta(hours=1))
    assert failing(day) == {"pixels": {"images missing from the array": [f"FISH/20260818/10/{path.name}"]}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(jpeg(), "64 x 48 px, unlike most of the day"), (jpeg(mode="L"), "grayscale, not RGB of 8 bits")],
)
def test_an_excluded_image_is_named_and_the_check_passes(day: Sky, content: bytes, reason: str) -> None:
    path = day.image(at(10, 5), content)
    day.refresh()
    fault = {"images missing from the array": [f"FISH/20260818/10/{path.name}"]}
    assert failing(day) == {"pixels": fault}, "the group was built before the image arrived"
    build_pixels(day.workspace, CAMERA, DAY, NOW)
    assert failing(day) == {}
    report = run_checks(day)["pixels"]
    assert report.excluded == {f"FISH/20260818/10/{path.name}": reason}
    assert report.numbers == {"images": 19, "frames": 18, "excluded": 1}
    assert report.sentence == "pixels of 2026-08-18: as it should be; 1 input left out, with a reason."
    day.image(at(10, 5), day.image_path(at(10)).read_bytes())
    day.refresh()
    assert failing(day) == {"pixels": fault}, "the exclusion is for the earlier version of the image"


def test_a_missing_store_is_named(day: Sky) -> None:
    (day.layout.pixels(CAMERA, DAY) / "zarr.json").unlink()
    assert failing(day) == {"pixels": {"images without a pixel group": ["20260818"]}}
