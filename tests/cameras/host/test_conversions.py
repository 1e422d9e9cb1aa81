"""Only clips with another format are converted, once; the frames of the others stay bit-identical."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from aurora_platform.cameras.checks import daily_video_plays
from aurora_platform.cameras.clips import CONVERTED_SPS_ID
from aurora_platform.cameras.videos import VideoReport, build_daily_video
from tests.cameras.sample_media import (
    DAY,
    NOW,
    WITH_B_FRAMES,
    WITHOUT_B_FRAMES,
    Film,
    Sky,
    assert_times_in_order,
    at,
    frame_hash,
    frame_hashes,
    frame_hashes_of_all,
    media_duration,
    presentation_times,
    snapshot,
    sync_samples,
    trimmed,
)

SIZE = (64, 48)
GOOD = Film(options=WITHOUT_B_FRAMES, frames=7)
ODD = {
    "another size": Film(size=(96, 64), frames=5),
    "an odd size": Film(codec="mpeg4", size=(51, 37), frames=5),
    "another codec": Film(codec="mpeg4", frames=5),
    "other parameters": Film(options=(("x264-params", "ref=4:bframes=0:cabac=0"),), frames=5),
    "b-frames": Film(options=WITH_B_FRAMES, frames=8),
    "full range": Film(pixels="yuvj420p", frames=5),
    "4:2:2": Film(pixels="yuv422p", frames=5),
    "another clock": Film(codec="mpeg4", rate=Fraction(30_000, 1001), frames=5),
}


def build(sky: Sky) -> VideoReport:
    sky.refresh()
    return build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)


def pictures(path: Path) -> np.ndarray:
    """All frames as RGB of limited range, float (frame, y, x, 3)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(float)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((first - second) ** 2), 1e-9)))


def assert_one_h264_stream(path: Path, frames: int, seconds: Fraction) -> None:
    with av.open(str(path)) as container:
        (stream,) = container.streams
        decoded = [(f.width, f.height, f.format.name) for f in container.decode(video=0)]
        assert stream.codec_context.name == "h264"
    assert decoded == [(*SIZE, "yuv420p")] * frames
    assert_times_in_order(path)
    assert abs(media_duration(path) - seconds) <= Fraction(1, 90_000)


@pytest.mark.parametrize("position", [0, 1, 3])
@pytest.mark.parametrize("kind", ODD)
def test_only_the_odd_clip_is_converted(sky: Sky, kind: str, position: int) -> None:
    films = [GOOD] * 3
    films.insert(position, ODD[kind])
    clips = [sky.clip(at(10 + n), film) for n, film in enumerate(films)]
    report = build(sky)
    assert (report.converted, report.unreadable) == (1, {})
    frames = [film.frames for film in films]
    assert_one_h264_stream(report.target, sum(frames), sum(map(media_duration, clips), Fraction(0)))
    start = sum(frames[:position])
    hashes = frame_hashes(report.target)
    others = [clip for clip in clips if clip != clips[position]]
    assert hashes[:start] + hashes[start + frames[position] :] == frame_hashes_of_all(others)
    lengths = [media_duration(clip) for clip in clips]
    begins = [sum(lengths[:n], Fraction(0)) for n in range(len(clips))]
    wanted = [begin + time for begin, clip in zip(begins, clips, strict=True) for time in presentation_times(clip)]
    assert all(
        abs(time - expected) <= Fraction(1, 90_000)
        for time, expected in zip(presentation_times(report.target), wanted, strict=True)
    )
    before = snapshot(sky.layout.products)
    again = build(sky)
    assert (again.built, again.converted) == (False, 0)
    assert snapshot(sky.layout.products) == before


@pytest.mark.parametrize("kind", ["another codec", "b-frames", "full range", "4:2:2"])
def test_a_converted_clip_shows_the_same_pictures(sky: Sky, kind: str) -> None:
    odd = sky.clip(at(10), ODD[kind])
    for hour in (11, 12):
        sky.clip(at(hour), GOOD)
    converted = pictures(build(sky).target)[: ODD[kind].frames]
    for picture, source in zip(converted, pictures(odd), strict=True):
        assert psnr(picture, source) > 30


def test_a_clip_of_another_shape_keeps_its_proportions_in_black_borders(sky: Sky) -> None:
    sky.clip(at(10), Film(size=(96, 24), frames=2))  # four to one, in 64 x 48: 64 x 16 with 16 px above and below
    for hour in (11, 12):
        sky.clip(at(hour), GOOD)
    first = pictures(build(sky).target)[0]
    assert first[:14].max() < 24
    assert first[-14:].max() < 24
    assert first[18:30].mean() > 40


def test_a_conversion_is_kept_when_another_clip_arrives(sky: Sky) -> None:
    sky.clip(at(10), ODD["another codec"])
    for hour in (11, 12):
        sky.clip(at(hour), GOOD)
    build(sky)
    kept = snapshot(sky.layout.products / ".clips")
    assert len(kept) == 1
    clip = sky.clip(at(13), GOOD)
    report = build(sky)
    assert (report.built, report.converted, report.kept_conversions) == (True, 0, 1)
    assert snapshot(sky.layout.products / ".clips") == kept
    assert frame_hashes(report.target)[-7:] == frame_hashes(clip)


def test_the_conversion_of_a_removed_clip_is_removed(sky: Sky) -> None:
    odd = sky.clip(at(10), ODD["another codec"])
    for hour in (11, 12):
        sky.clip(at(hour), GOOD)
    build(sky)
    odd.unlink()
    report = build(sky)
    assert len(frame_hashes(report.target)) == 14
    assert snapshot(sky.layout.products / ".clips") == {}


def test_a_day_of_mpeg_4_part_2_becomes_h264(sky: Sky) -> None:
    clips = [sky.clip(at(10 + n), Film(codec="mpeg4", frames=5)) for n in range(4)]
    report = build(sky)
    assert report.converted == 4
    assert_one_h264_stream(report.target, 20, Fraction(20, 25))
    for picture, source in zip(
        pictures(report.target), np.concatenate([pictures(clip) for clip in clips]), strict=True
    ):
        assert psnr(picture, source) > 30
    assert build(sky).converted == 0


def test_a_day_of_odd_sizes_is_converted_to_even_ones(sky: Sky) -> None:
    for hour in (10, 11):
        sky.clip(at(hour), Film(codec="mpeg4", size=(65, 49), frames=3))
    report = build(sky)
    assert_one_h264_stream(report.target, 6, Fraction(6, 25))


def test_if_most_clips_have_b_frames_the_clip_without_is_converted(sky: Sky) -> None:
    reordered = Film(options=WITH_B_FRAMES, frames=9)
    clips = [sky.clip(at(10 + n), film) for n, film in enumerate([reordered, GOOD, reordered, reordered])]
    report = build(sky)
    assert report.converted == 1
    assert_one_h264_stream(report.target, 34, Fraction(34, 25))
    hashes = frame_hashes(report.target)
    assert hashes[:9] + hashes[16:] == frame_hashes_of_all([clips[0], *clips[2:]])


def test_clips_with_the_parameter_set_id_of_converted_clips_are_converted(sky: Sky) -> None:
    film = Film(options=(("x264-params", f"sps-id={CONVERTED_SPS_ID}:bframes=0"),), frames=4)
    clips = [sky.clip(at(10), film), sky.clip(at(11), film), sky.clip(at(12), ODD["another codec"])]
    report = build(sky)
    assert report.converted == 3
    assert_one_h264_stream(report.target, 13, sum(map(media_duration, clips), Fraction(0)))
    for picture, source in zip(
        pictures(report.target), np.concatenate([pictures(clip) for clip in clips]), strict=True
    ):
        assert psnr(picture, source) > 30


@pytest.mark.parametrize(("hidden", "converted"), [(2, 1), (5, 1), (6, 0)])
def test_frames_that_an_edit_list_hides_stay_hidden(sky: Sky, hidden: int, converted: int) -> None:
    """A clip that begins at a keyframe is joined without conversion; one that begins between keyframes is converted."""
    film = Film(options=(("x264-params", "bframes=0:keyint=6:min-keyint=6:scenecut=0"),), frames=9)
    clip = sky.clip(at(10), trimmed(film.encode(1), hidden))
    good = [sky.clip(at(hour), film) for hour in (11, 12)]
    left = 9 - hidden
    assert len(frame_hashes(clip)) == left
    report = build(sky)
    assert (report.converted, report.unreadable) == (converted, {})
    assert_one_h264_stream(report.target, left + 18, Fraction(left + 18, 25))
    assert frame_hashes(report.target)[left:] == frame_hashes_of_all(good)
    assert psnr(pictures(report.target)[0], pictures(clip)[0]) > 30
    assert daily_video_plays(sky.workspace, "fish_hdr", DAY).passed


def test_full_range_becomes_limited_range(sky: Sky) -> None:
    sky.clip(at(10), ODD["full range"])
    for hour in (11, 12):
        sky.clip(at(hour), GOOD)
    with av.open(str(sky.clip_path(at(10)))) as container:
        source = next(container.decode(video=0)).to_ndarray()[:48].astype(float)
    with av.open(str(build(sky).target)) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p"
        luma = frame.to_ndarray()[:48].astype(float)
    assert np.ptp(source) > 100
    assert psnr(luma, 16 + source * 219 / 255) > 30


@pytest.mark.parametrize("kind", ["another codec", "another size", "b-frames"])
def test_decoding_of_a_mixed_video_can_begin_at_every_keyframe_of_its_index(sky: Sky, kind: str) -> None:
    film = Film(options=(("x264-params", "bframes=0:keyint=6:min-keyint=6"),), frames=14)
    films = [film, ODD[kind], film, ODD[kind], film]
    clips = [sky.clip(at(10 + n), source) for n, source in enumerate(films)]
    video = build(sky).target
    entries = sync_samples(video)
    assert entries is not None
    begins = list(itertools.accumulate((f.frames for f in films), initial=0))
    for clip, begin, source in zip(clips, begins, films, strict=False):
        expected = sync_samples(clip) if source == film else [0]
        assert expected is not None
        assert [n - begin for n in entries if begin <= n < begin + source.frames] == expected
    assert_every_entry_plays(video, entries)


def test_i_frames_at_which_decoding_cannot_begin_are_not_marked_as_keyframes(sky: Sky) -> None:
    """x264 codes a scene change as an I frame, but later frames need earlier ones; FFmpeg's parser marks it anyway."""
    film = Film(options=(("x264-params", "bframes=0:keyint=100:min-keyint=50:scenecut=40"),), frames=14)
    clips = [sky.clip(at(hour), film) for hour in (10, 11)]
    assert [sync_samples(clip) for clip in clips] == [[0], [0]]
    video = build(sky).target
    entries = sync_samples(video)
    assert entries == [0, 14]
    assert_every_entry_plays(video, entries)


def assert_every_entry_plays(video: Path, entries: list[int]) -> None:
    """Decoding that begins at any entry of the index gives the same frames as decoding from the start."""
    hashes = frame_hashes(video)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        times = [packet.pts for packet in container.demux(stream) if packet.size]
        for entry in reversed(entries):
            container.seek(times[entry], stream=stream)
            frames = list(container.decode(stream))
            assert frames[0].pts == times[entry]
            assert [frame_hash(frame) for frame in frames] == hashes[entry:]
