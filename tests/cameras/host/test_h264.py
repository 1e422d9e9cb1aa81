"""The frame size read from an H.264 header agrees with the frame that FFmpeg decodes."""

from contextlib import suppress
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aurora_platform.cameras.h264 import can_merge_with, plain_frame_size
from aurora_platform.cameras.media import inspect_clip
from tests.cameras.sample_media import WITH_B_FRAMES, Film


def x264(params: str, **options: object) -> Film:
    return Film(options=(("x264-params", params),), frames=3, **options)  # type: ignore[arg-type]


FILMS = {
    "the default": Film(frames=3),
    "baseline": Film(options=(("profile", "baseline"),), frames=3),
    "main": Film(options=(("profile", "main"),), frames=3),
    "as the simulator": Film(options=(("preset", "ultrafast"), ("crf", "28")), frames=3),
    "b-frames": Film(options=WITH_B_FRAMES, frames=6),
    "no b-frames, no picture order count": x264("bframes=0"),
    "another parameter set ID": x264("sps-id=17:bframes=0"),
    "cropped": Film(size=(70, 50), frames=3),
    "cropped a lot": Film(size=(2, 2), frames=3),
    "a wide pixel": x264("sar=16/11"),
    "an extended pixel shape": x264("sar=317/203"),
    "overscan": x264("overscan=show"),
    "declared as limited range": x264("range=tv:colormatrix=bt709:videoformat=pal"),
    "full range": Film(pixels="yuvj420p", frames=3),
    "4:2:2": Film(pixels="yuv422p", frames=3),
    "4:4:4": Film(pixels="yuv444p", frames=3),
    "10 bits": Film(pixels="yuv420p10le", frames=3),
    "gray": Film(pixels="gray", frames=3),
    "lossless": Film(options=(("qp", "0"),), frames=3),
    "scaling lists": x264("cqm=jvt"),
    "interlaced": x264("tff=1"),
    "zeros with emulation prevention": x264("sar=256/1:bframes=0"),
}
READ_BY_FFMPEG_ALONE = {"gray", "interlaced", "lossless"}
"""FFmpeg decodes plain frames, but our parser does not support the header."""


def decoded(path: Path) -> tuple[str, int, int]:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return frame.format.name, frame.width, frame.height


@pytest.mark.parametrize("kind", FILMS)
def test_a_header_is_plain_if_ffmpeg_decodes_plain_frames(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(FILMS[kind].encode(1))
    pixels, width, height = decoded(path)
    clip = inspect_clip(path)
    assert (clip.pixel_format, clip.width, clip.height) == (pixels, width, height)
    expected = (width, height) if pixels == "yuv420p" and kind not in READ_BY_FFMPEG_ALONE else None
    assert plain_frame_size(clip.extradata) == expected


def test_the_sample_clips_have_the_pixel_formats_of_their_names(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    formats = {}
    for kind, film in FILMS.items():
        path.write_bytes(film.encode(1))
        formats[kind] = decoded(path)[0]
    odd = {kind: pixels for kind, pixels in formats.items() if pixels != "yuv420p"}
    assert odd == {"full range": "yuvj420p", "4:2:2": "yuv422p", "4:4:4": "yuv444p", "10 bits": "yuv420p10le"}


@given(st.binary(max_size=80))
def test_bytes_that_are_no_header_are_not_plain(content: bytes) -> None:
    assert plain_frame_size(content) is None
    assert not can_merge_with(content, 29)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_header_or_none(content: bytes) -> None:
    for header in (content, b"\x01\x64\x00\x28\xff\xe1\x00" + content):
        size = plain_frame_size(header)
        assert size is None or all(isinstance(side, int) for side in size)
        assert can_merge_with(header, 29) in (True, False)


@given(data=st.data())
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_header_that_agrees_with_the_container_gives_that_size_or_no_frame(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "clip.mp4"
    whole = FILMS["cropped"].encode(1)
    path.write_bytes(whole)
    header = inspect_clip(path).extradata
    damaged = bytearray(header)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(header) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole.replace(header, bytes(damaged)))
    if plain_frame_size(bytes(damaged)) == (70, 50):  # only then the header is used
        with suppress(av.FFmpegError, StopIteration):  # no frame was decoded, so no size is wrong
            assert decoded(path) == ("yuv420p", 70, 50)


def test_a_truncated_header_is_not_plain(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(FILMS["the default"].encode(1))
    header = inspect_clip(path).extradata
    sps_end = 8 + int.from_bytes(header[6:8])
    assert plain_frame_size(header) is not None
    assert [plain_frame_size(header[:length]) for length in range(sps_end - 12)] == [None] * (sps_end - 12)
