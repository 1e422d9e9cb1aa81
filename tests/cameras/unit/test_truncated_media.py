"""A truncated file is unreadable although decoders show a part of it; a complete file is readable by any decoder."""

from datetime import timedelta

import imagecodecs
import numpy as np
import pytest

from aurora_platform.cameras.decoders import check_playable, decode_image
from tests.cameras.sample_media import NOW, SETTLED, WITHOUT_B_FRAMES, Film, Sky, at, build_thumbnail, jpeg

CAMERA = "fish_hdr"


def deep(bits: int, components: int = 3, **options: object) -> bytes:
    """A JPEG with more than 8 bits per sample, whose last samples are not zero."""
    rng = np.random.default_rng(1)
    pixels = np.cumsum(rng.integers(0, 60, (48, 64, components)), axis=1).astype(np.uint16)
    return imagecodecs.jpeg8_encode(np.squeeze(pixels), bitspersample=bits, **options)


DEEP = {
    "12 bits": deep(12),
    "12 bits, gray": deep(12, 1),
    "16 bits, lossless": deep(16, lossless=True),
}


def test_a_truncated_file_is_unreadable_until_its_complete_version_arrives(sky: Sky) -> None:
    photo = jpeg(1, (640, 480))
    film = Film(options=WITHOUT_B_FRAMES, frames=12, faststart=True, size=(320, 240)).encode(1)
    versions = {
        sky.image_path(at(10)): (photo, photo[:-2]),
        sky.image_path(at(11)): (photo, photo[: len(photo) * 2 // 3]),
        sky.clip_path(at(10)): (film, film[: len(film) * 8 // 10]),
    }
    for path, (_, truncated) in versions.items():
        sky.put(path, truncated)
    clip = sky.clip_path(at(10))
    reasons = {path.rsplit("/")[-1]: reason for path, reason in sky.refresh().unreadable.items()}
    assert reasons.keys() == {path.name for path in versions}
    assert reasons.pop(clip.name).startswith("truncated: ")
    assert all("truncated" in reason for reason in reasons.values())
    assert decode_image(photo[:-2]).size == (640, 480)
    check_playable(clip)
    for path, (content, _) in versions.items():
        sky.put(path, content, SETTLED + timedelta(hours=1))
    report = sky.refresh()
    assert (report.added, report.unreadable) == (3, {})


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("padding", [bytes(9), b"\xff" * 512, b"text"])
@pytest.mark.parametrize("missing", [0, 2])
def test_a_complete_image_that_only_imagecodecs_supports_is_catalogued(
    sky: Sky, kind: str, padding: bytes, missing: int
) -> None:
    whole = DEEP[kind]
    sky.image(at(10), whole[: len(whole) - missing] + padding)
    sky.image(at(11), whole[: len(whole) - missing])
    report = sky.refresh()
    assert (report.images, report.unreadable) == (2, {})
    thumbnail = build_thumbnail(sky.workspace, CAMERA, at(10), NOW)
    assert (thumbnail.built, thumbnail.unreadable) == (True, {})


@pytest.mark.parametrize("kind", DEEP)
def test_a_truncated_image_that_only_imagecodecs_supports_is_unreadable(sky: Sky, kind: str) -> None:
    whole = DEEP[kind]
    for minute, missing in enumerate((4, 20, len(whole) // 3)):
        for second, padding in enumerate((b"", bytes(50))):
            sky.image(at(10, minute, second), whole[:-missing] + padding)
    report = sky.refresh()
    assert report.images == 0
    assert set(report.unreadable.values()) == {"truncated: a part of the picture is missing in the file"}
