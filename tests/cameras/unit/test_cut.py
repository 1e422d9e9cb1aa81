"""Part of a picture is not the picture: what is cut is unreadable, what is whole is not, whichever reader knows it."""

from datetime import timedelta

import imagecodecs
import numpy as np
import pytest

from aurora_platform.cameras.readers import picture, prove_playable
from aurora_platform.cameras.thumbnails import build_thumbnail
from tests.cameras.making import NOW, SETTLED, WITHOUT_B_FRAMES, Film, Sky, at, jpeg

CAMERA = "fish_hdr"


def deep(bits: int, components: int = 3, **options: object) -> bytes:
    """A JPEG of more than 8 bits a sample, whose last samples are no zeros."""
    rng = np.random.default_rng(1)
    pixels = np.cumsum(rng.integers(0, 60, (48, 64, components)), axis=1).astype(np.uint16)
    return imagecodecs.jpeg8_encode(np.squeeze(pixels), bitspersample=bits, **options)


DEEP = {
    "12 bits": deep(12),
    "12 bits, gray": deep(12, 1),
    "16 bits, lossless": deep(16, lossless=True),
}


def test_what_is_cut_is_unreadable_though_a_reader_shows_a_part_of_it_and_a_whole_version_is_read(sky: Sky) -> None:
    photo = jpeg(1, (640, 480))
    film = Film(options=WITHOUT_B_FRAMES, frames=12, faststart=True, size=(320, 240)).encode(1)
    whole = {
        sky.image_path(at(10)): (photo, photo[:-2]),
        sky.image_path(at(11)): (photo, photo[: len(photo) * 2 // 3]),
        sky.clip_path(at(10)): (film, film[: len(film) * 8 // 10]),
    }
    for path, (_, cut) in whole.items():
        sky.put(path, cut)
    clip = sky.clip_path(at(10))
    reasons = {path.rsplit("/")[-1]: reason for path, reason in sky.refresh().unreadable.items()}
    assert reasons.keys() == {path.name for path in whole}
    assert reasons.pop(clip.name).startswith("cut: ")
    assert all("truncated" in reason for reason in reasons.values())
    assert picture(photo[:-2]).size == (640, 480)
    prove_playable(clip)
    for path, (content, _) in whole.items():
        sky.put(path, content, SETTLED + timedelta(hours=1))
    report = sky.refresh()
    assert (report.added, report.unreadable) == (3, {})


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("behind", [bytes(9), b"\xff" * 512, b"text"])
@pytest.mark.parametrize("missing", [0, 2])
def test_an_image_that_only_imagecodecs_knows_is_catalogued_where_it_is_whole(
    sky: Sky, kind: str, behind: bytes, missing: int
) -> None:
    whole = DEEP[kind]
    sky.image(at(10), whole[: len(whole) - missing] + behind)
    sky.image(at(11), whole[: len(whole) - missing])
    report = sky.refresh()
    assert (report.images, report.unreadable) == (2, {})
    thumbnail = build_thumbnail(sky.workspace, CAMERA, at(10), NOW)
    assert (thumbnail.built, thumbnail.unreadable) == (True, {})


@pytest.mark.parametrize("kind", DEEP)
def test_an_image_that_only_imagecodecs_knows_is_unreadable_where_it_is_cut(sky: Sky, kind: str) -> None:
    whole = DEEP[kind]
    for minute, missing in enumerate((4, 20, len(whole) // 3)):
        for second, behind in enumerate((b"", bytes(50))):
            sky.image(at(10, minute, second), whole[:-missing] + behind)
    report = sky.refresh()
    assert report.images == 0
    assert set(report.unreadable.values()) == {"cut: a part of its picture is not in the file"}
