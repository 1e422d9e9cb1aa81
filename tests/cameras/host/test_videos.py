"""A joined video shows exactly the frames of its clips, in order, by an independent decode."""

import io
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from aurora_platform.cameras.videos import build_daily_video, build_latest_video, render_poster
from tests.cameras.sample_media import (
    DAY,
    NOW,
    WITH_B_FRAMES,
    Film,
    Sky,
    assert_times_in_order,
    at,
    boxes,
    frame_hashes,
    frame_hashes_of_all,
    media_duration,
    packet_times,
    presentation_times,
    set_mtime,
    snapshot,
)
from tests.inotify import opened_below


def daily(sky: Sky, camera: str = "fish_hdr") -> Path:
    sky.refresh()
    return build_daily_video(sky.workspace, camera, DAY, NOW).target


def assert_sound(path: Path, clips: list[Path]) -> None:
    """Assert the properties of every published video."""
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert_times_in_order(path)
    clock = 90_000  # or the common clock of the clips
    assert abs(media_duration(path) - sum(media_duration(clip) for clip in clips)) <= Fraction(len(clips), clock)
    order = [b.kind for b in boxes(path.read_bytes())]
    assert order[0] == "ftyp"
    assert order.index("moov") < order.index("mdat")


@pytest.mark.parametrize(("camera", "tree"), [("fish_hdr", "FISH"), ("pano_hdr", "PANO")])
def test_a_daily_video_has_the_frames_of_the_cameras_clips(filled: Sky, camera: str, tree: str) -> None:
    video = daily(filled, camera)
    clips = sorted((filled.layout.raw / tree).rglob("*.mp4"))
    assert len(clips) == 3
    assert video == filled.layout.products / f"daily_videos/{camera}/20260818.mp4"
    assert frame_hashes(video) == frame_hashes_of_all(clips)
    assert_sound(video, clips)
    assert media_duration(video) == Fraction(3 * 6, 25)
    assert presentation_times(video) == [Fraction(n, 25) for n in range(18)]


def test_a_day_without_clips_has_no_video(sky: Sky) -> None:
    sky.image(at(10))
    sky.refresh()
    report = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
    assert (report.built, report.clips) == (False, 0)
    assert not report.target.exists()


def test_a_video_is_rebuilt_only_when_a_clip_changes(sky: Sky) -> None:
    clips = [sky.clip(at(hour)) for hour in (10, 11)]
    video = daily(sky)
    products = sky.layout.products
    before = snapshot(products)
    sky.refresh()
    report = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW + timedelta(hours=1))
    assert (report.built, report.clips, report.frames) == (False, 2, 12)
    assert snapshot(products) == before
    clips[1].write_bytes(Film(frames=9).encode(77))
    set_mtime(clips[1], NOW - timedelta(hours=1))
    sky.refresh()
    assert build_daily_video(sky.workspace, "fish_hdr", DAY, NOW).built
    assert frame_hashes(video) == frame_hashes_of_all(clips)
    assert len(frame_hashes(video)) == 15


def test_the_same_clips_give_the_same_bytes(sky: Sky) -> None:
    for hour in (10, 11):
        sky.clip(at(hour))
    video = daily(sky)
    first = video.read_bytes()
    video.unlink()
    daily(sky)
    assert video.read_bytes() == first


def test_a_clip_that_changed_since_it_was_catalogued_waits(sky: Sky) -> None:
    clips = [sky.clip(at(hour)) for hour in (10, 11)]
    sky.refresh()
    set_mtime(clips[1], NOW)
    report = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
    assert report.waiting.first == ["FISH/20260818/HDR_20260818_110000.mp4"]
    assert frame_hashes(report.target) == frame_hashes(clips[0])


def test_no_other_file_is_left_beside_a_video(sky: Sky) -> None:
    sky.clip(at(10))
    video = daily(sky)
    assert {sky.layout.products / name for name in snapshot(sky.layout.products)} == {video, sky.layout.catalog}


# -- clips with different encodings ------------------------------------------------------------------------------------


def test_clips_with_b_frames_are_joined_frame_by_frame(sky: Sky) -> None:
    clips = [sky.clip(at(hour), Film(options=WITH_B_FRAMES, frames=11)) for hour in (10, 11, 12)]
    assert any(dts < pts - 512 for dts, pts in packet_times(clips[0]))  # the frames are really reordered
    video = daily(sky)
    assert frame_hashes(video) == frame_hashes_of_all(clips)
    assert_sound(video, clips)
    assert not (sky.layout.products / ".clips").exists()


def test_uneven_frame_times_are_kept(sky: Sky) -> None:
    clips = [
        sky.clip(at(10), Film(options=WITH_B_FRAMES, frames=6, times=(0, 1, 2, 10, 11, 30))),
        sky.clip(at(11), Film(options=WITH_B_FRAMES, frames=6, times=(0, 7, 8, 9, 10, 11))),
    ]
    video = daily(sky)
    assert frame_hashes(video) == frame_hashes_of_all(clips)
    # The first clip ends a frame after its last one, at 31.
    expected = [Fraction(n, 25) for n in (0, 1, 2, 10, 11, 30, 31, 38, 39, 40, 41, 42)]
    assert presentation_times(video) == expected


def test_clips_with_different_time_bases_keep_their_times(sky: Sky) -> None:
    clips = [
        sky.clip(at(10), Film(timescale=12_800)),
        sky.clip(at(11), Film(timescale=50_000)),
        sky.clip(at(12), Film(timescale=90_000)),
    ]
    video = daily(sky)
    assert frame_hashes(video) == frame_hashes_of_all(clips)
    assert_sound(video, clips)
    assert presentation_times(video) == [Fraction(n, 25) for n in range(18)]


def test_an_index_without_repeated_entries_fits_into_the_reserved_space(sky: Sky) -> None:
    """Frames are reordered at uneven times: each frame has its own two times and size."""
    times = tuple(n * (n + 1) // 2 for n in range(300))
    film = Film(options=(*WITH_B_FRAMES, ("x264-params", "b-adapt=0:bframes=2:keyint=4")), frames=300, times=times)
    clips = [sky.clip(at(hour), film) for hour in (10, 11)]
    video = daily(sky)
    assert frame_hashes(video) == frame_hashes_of_all(clips)
    assert_times_in_order(video)
    index = next(box for box in boxes(video.read_bytes()) if box.kind == "moov")
    assert index.end - index.start > 600 * (8 + 8 + 4)
    assert [box.kind for box in boxes(video.read_bytes())] == ["ftyp", "moov", "free", "free", "mdat"]


def test_an_audio_stream_is_not_copied(sky: Sky) -> None:
    clips = [sky.clip(at(10), Film(audio=True)), sky.clip(at(11))]
    video = daily(sky)
    assert frame_hashes(video) == frame_hashes_of_all(clips)
    assert presentation_times(video) == [Fraction(n, 25) for n in range(12)]
    with av.open(str(video)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_a_single_frame_is_a_video(sky: Sky) -> None:
    clips = [sky.clip(at(10), Film(frames=1)), sky.clip(at(11), Film(frames=1))]
    video = daily(sky)
    assert frame_hashes(video) == frame_hashes_of_all(clips)
    assert presentation_times(video) == [0, Fraction(1, 25)]


# -- damaged clips -----------------------------------------------------------------------------------------------------


def test_a_clip_truncated_after_its_index_is_reported_and_not_in_the_video(sky: Sky) -> None:
    content = Film(faststart=True).encode(3)
    truncated = sky.clip(at(10), content[: len(content) - (len(content) - content.index(b"mdat")) // 2])
    good = sky.clip(at(11))
    report = sky.refresh()
    assert list(report.unreadable) == [f"FISH/20260818/{truncated.name}"]
    video = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
    assert (video.clips, video.unreadable) == (1, {})
    assert frame_hashes(video.target) == frame_hashes(good)


def test_a_clip_that_cannot_be_decoded_for_conversion_is_recorded_and_not_in_the_video(sky: Sky) -> None:
    clips = [sky.clip(at(hour)) for hour in (10, 12)]
    content = bytearray(Film(size=(96, 64), frames=12).encode(1))
    data = content.index(b"mdat")
    content[data + 8 : content.index(b"moov") - 8] = bytes(len(content[data + 8 : content.index(b"moov") - 8]))
    broken = sky.clip(at(11), bytes(content))
    sky.refresh()
    report = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
    assert list(report.unreadable) == [f"FISH/20260818/{broken.name}"]
    assert frame_hashes(report.target) == frame_hashes_of_all(clips)
    again = sky.refresh()
    assert list(again.unreadable) == [f"FISH/20260818/{broken.name}"]
    with opened_below(sky.layout.raw) as opened:
        second = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
        assert opened() == []
    assert (second.built, second.data_version) == (False, report.data_version)


@pytest.mark.parametrize("good_hours", [(), (11,), (11, 12)])
@pytest.mark.parametrize(("offset", "value"), [(5, 0xFF), (6, 0xFF), (4, 0xFD), (5, 0xE0)])
def test_a_clip_with_a_damaged_header_is_reported_and_not_in_the_video(
    sky: Sky, offset: int, value: int, good_hours: tuple[int, ...]
) -> None:
    """Damaged are: the number of parameter sets, the length of the first, the NAL length size; or there is no set."""
    content = bytearray(Film().encode(1))
    content[content.index(b"avcC") + 4 + offset] = value
    broken = sky.clip(at(10), bytes(content))
    good = [sky.clip(at(hour)) for hour in good_hours]
    unreadable = sky.refresh().unreadable
    report = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
    assert list(unreadable | report.unreadable) == [f"FISH/20260818/{broken.name}"]
    if good:
        assert frame_hashes(report.target) == frame_hashes_of_all(good)
    else:
        assert not report.target.exists()


def test_a_published_video_that_was_damaged_is_built_again(sky: Sky) -> None:
    clip = sky.clip(at(10))
    video = daily(sky)
    video.write_bytes(video.read_bytes()[:200])
    daily(sky)
    assert frame_hashes(video) == frame_hashes(clip)


# -- latest, poster ----------------------------------------------------------------------------------------------------


def test_latest_shows_the_newest_24_clips_across_midnight(sky: Sky) -> None:
    film = Film(frames=2)
    clips = [sky.clip(at(0) + timedelta(hours=n), film) for n in range(30)]
    for day in (DAY, DAY + timedelta(days=1)):
        sky.refresh(day)
    report = build_latest_video(sky.workspace, "fish_hdr", NOW)
    assert report.target == sky.layout.products / "daily_videos/fish_hdr/latest.mp4"
    assert (report.clips, report.converted) == (24, 0)
    assert frame_hashes(report.target) == frame_hashes_of_all(clips[6:])
    assert_sound(report.target, clips[6:])
    assert report.span == (at(6), at(5, day=DAY + timedelta(days=1)))


def test_one_new_hour_costs_latest_one_conversion(sky: Sky) -> None:
    film = Film(codec="mpeg4", frames=2)
    for number in range(26):
        sky.clip(at(0) + timedelta(hours=number), film)
    for day in (DAY, DAY + timedelta(days=1)):
        sky.refresh(day)
    assert build_latest_video(sky.workspace, "fish_hdr", NOW).converted == 24
    assert build_daily_video(sky.workspace, "fish_hdr", DAY, NOW).converted == 2  # hours 0 and 1; the rest is shared
    sky.clip(at(2, day=DAY + timedelta(days=1)), film)
    sky.refresh(DAY + timedelta(days=1))
    report = build_latest_video(sky.workspace, "fish_hdr", NOW)
    assert (report.built, report.converted, report.kept_conversions) == (True, 1, 23)
    assert len(frame_hashes(report.target)) == 48
    again = build_latest_video(sky.workspace, "fish_hdr", NOW)
    assert (again.built, again.converted) == (False, 0)


def test_a_poster_is_a_small_jpeg_of_the_video(sky: Sky) -> None:
    sky.clip(at(10), Film(size=(1200, 300), frames=3))
    content = render_poster(daily(sky))
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert (image.format, image.size) == ("JPEG", (540, 135))
