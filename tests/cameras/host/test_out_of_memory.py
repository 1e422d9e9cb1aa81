"""A lack of memory is no fault of a file: nothing is recorded, and the next run succeeds."""

import errno
import sqlite3
from collections.abc import Callable
from contextlib import closing

import av
import imagecodecs
import pytest
from PIL import ImageFile

from aurora_platform.cameras import clips, decoders, media, video_inputs, videos
from aurora_platform.cameras.decoders import check_playable, decode_image
from aurora_platform.cameras.pixels import build_pixels
from aurora_platform.cameras.videos import VideoReport, build_daily_video, build_latest_video
from aurora_platform.errors import is_transient
from tests.cameras.sample_media import DAY, NOW, WITHOUT_B_FRAMES, Film, Sky, at, build_thumbnail, jpeg, partly_broken

CAMERA = "fish_hdr"
GOOD = Film(options=WITHOUT_B_FRAMES, frames=7)
OTHER = Film(codec="mpeg4", frames=5)
SHORT = {
    "FFmpeg's": av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"),
    "Python's": MemoryError(),
}
LIBJPEG = imagecodecs.Jpeg8Error("Insufficient memory (case 4)")
PILLOW = OSError("out of memory error when reading image file")


def failing(error: Exception) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise error

    return fail


def daily(sky: Sky) -> VideoReport:
    return build_daily_video(sky.workspace, CAMERA, DAY, NOW)


def latest(sky: Sky) -> VideoReport:
    return build_latest_video(sky.workspace, CAMERA, NOW)


def assert_nothing_is_recorded(sky: Sky, catalogued: int) -> None:
    with closing(sqlite3.connect(sky.layout.catalog)) as db:
        assert db.execute("SELECT count(*) FROM unreadable_media").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM images").fetchone() == (catalogued,)
    assert [path.name for path in (sky.layout.products / ".clips").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("whose", SHORT)
@pytest.mark.parametrize("build", [daily, latest])
@pytest.mark.parametrize(
    "function", [(clips, "_encode"), (videos, "_append_clip"), (videos, "open_clip"), (clips, "open_clip")]
)
def test_a_video_that_failed_for_lack_of_memory_is_made_by_the_next_run(
    sky: Sky,
    monkeypatch: pytest.MonkeyPatch,
    whose: str,
    build: Callable[[Sky], VideoReport],
    function: tuple[object, str],
) -> None:
    for hour, film in ((9, GOOD), (10, OTHER), (11, GOOD)):
        sky.clip(at(hour), film)
    sky.refresh()
    with monkeypatch.context() as short:
        short.setattr(*function, failing(SHORT[whose]))
        with pytest.raises(MemoryError) as raised:
            build(sky)
    assert is_transient(raised.value)
    for path in (sky.layout.products / ".clips").rglob("*.mp4"):
        path.unlink()  # made before the failure
    assert_nothing_is_recorded(sky, 3)
    report = build(sky)
    assert (report.built, report.clips, report.excluded, report.unreadable) == (True, 3, {}, {})


@pytest.mark.parametrize("whose", SHORT)
def test_a_lack_of_memory_while_a_clip_is_decoded_does_not_make_it_unreadable(
    sky: Sky, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    class Packet:
        decode = staticmethod(failing(SHORT[whose]))

    clip = sky.clip(at(10), GOOD)
    with av.open(str(clip)) as container:

        class Source:
            streams = container.streams
            demux = staticmethod(lambda _: [Packet()])

            def __enter__(self) -> "Source":
                return self

            def __exit__(self, *_: object) -> None:
                pass

        monkeypatch.setattr(decoders, "open_clip", lambda *_, **__: Source())
        with pytest.raises(MemoryError):
            check_playable(clip)
    monkeypatch.setattr(decoders, "open_clip", failing(SHORT[whose]))
    with pytest.raises(MemoryError):
        check_playable(clip)


@pytest.mark.parametrize("whose", SHORT)
def test_a_refresh_reports_a_file_that_failed_for_lack_of_memory_and_the_next_refresh_reads_it(
    sky: Sky, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    clip, image, other = sky.clip(at(10), GOOD), sky.image(at(10), jpeg() + bytes(9)), sky.image(at(11))
    with monkeypatch.context() as short:
        short.setattr(media.av, "open", failing(SHORT[whose]))
        short.setattr(ImageFile.ImageFile, "load", failing(PILLOW))
        report = sky.refresh()
    assert {path.rsplit("/")[-1] for path in report.unreadable} == {clip.name, image.name}
    assert all("memory" in reason for reason in report.unreadable.values())
    assert_nothing_is_recorded(sky, 1)
    assert (sky.refresh().added, sky.refresh().unreadable) == (2, {})
    assert other.exists()


@pytest.mark.parametrize("error", [LIBJPEG, MemoryError()])
def test_a_lack_of_memory_while_an_image_is_decoded_does_not_make_it_unreadable(
    sky: Sky, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for minute in (0, 30):
        sky.image(at(10, minute))
    sky.refresh()
    with monkeypatch.context() as short:
        short.setattr(imagecodecs, "jpeg8_decode", failing(error))
        short.setattr(ImageFile.ImageFile, "load", failing(OSError("broken data stream")))
        for build in (
            lambda: build_pixels(sky.workspace, CAMERA, DAY, NOW),
            lambda: build_thumbnail(sky.workspace, CAMERA, at(10), NOW),
            lambda: decode_image(jpeg()),
        ):
            with pytest.raises(MemoryError) as raised:
                build()
            assert is_transient(raised.value)
    assert_nothing_is_recorded(sky, 2)
    assert build_pixels(sky.workspace, CAMERA, DAY, NOW).frames == 2


def test_if_one_decoder_gets_no_memory_the_other_decodes_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    content = jpeg()
    monkeypatch.setattr(ImageFile.ImageFile, "load", failing(PILLOW))
    assert decode_image(content).size == (64, 48)
    monkeypatch.setattr(imagecodecs, "jpeg8_decode", failing(imagecodecs.Jpeg8Error("broken")))
    with pytest.raises(MemoryError):
        decode_image(content)


@pytest.mark.parametrize("with_others", [True, False])
def test_a_failed_conversion_is_tried_again_only_by_another_library_version(
    sky: Sky, monkeypatch: pytest.MonkeyPatch, with_others: bool
) -> None:
    hours = (9, 11) if with_others else ()
    for hour in hours:
        sky.clip(at(hour), GOOD)
    odd = sky.clip(at(10), OTHER)
    broken = sky.clip(at(12), partly_broken(Film(codec="mpeg4", frames=9)))
    sky.refresh()
    calls: list[object] = []
    encode = clips._encode

    def refuse_odd_clip_twice(clip: media.Clip, *rest: object) -> int:
        calls.append(clip.path.name)
        if clip.path == odd and len(calls) < 3:
            raise av.error.ExternalError(1, "Generic error in an external library")
        return encode(clip, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(clips, "_encode", refuse_odd_clip_twice)
    for build in (daily, latest, daily):
        assert len(build(sky).excluded) == 2
    assert sorted(calls) == sorted([odd.name, broken.name])
    for module in (video_inputs, videos):
        monkeypatch.setattr(module, "LIBRARY_VERSIONS", "PyAV 99, FFmpeg 99")
    for build in (daily, latest, daily):
        report = build(sky)
        assert [path.rsplit("/")[-1] for path in report.excluded] == [broken.name]
        assert report.clips == len(hours) + 1
    assert len(calls) == 4
