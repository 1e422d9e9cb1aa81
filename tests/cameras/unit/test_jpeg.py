"""The size of a plain JPEG, read from its header, agrees with Pillow, which reads all of it."""

import io
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from aurora_platform.cameras.images import inspect_image
from aurora_platform.cameras.jpeg import ROW_MARGIN, read_header, read_plain_size, shorten
from aurora_platform.cameras.pixels import decode

KINDS = ("baseline", "progressive", "gray", "with Exif", "with a profile", "restarts", "optimized")


@cache
def jpeg(kind: str) -> bytes:
    noise = np.random.default_rng(7).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x010F] = "camera"
    options: dict[str, dict[str, object]] = {
        "progressive": {"progressive": True},
        "with Exif": {"exif": exif, "comment": "c" * 5000},
        "with a profile": {"icc_profile": b"profile" * 20_000},
        "restarts": {"restart_marker_blocks": 2},
        "optimized": {"optimize": True, "quality": 95, "subsampling": 0},
    }
    buffer = io.BytesIO()
    (image.convert("L") if kind == "gray" else image).save(buffer, "JPEG", **options.get(kind, {}))
    return buffer.getvalue()


def size_by_our_parser(data: bytes) -> tuple[int, int] | None:
    header = read_header(lambda count, offset: data[offset : offset + count])
    return (header.width, header.height) if header else None


def size_by_pillow(data: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "with a profile"])
def test_jpegs_that_cameras_write_are_plain(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(jpeg(kind))
    assert read_plain_size(str(path)) == (40, 24) == size_by_pillow(jpeg(kind))


def test_a_header_that_is_not_plain_is_left_to_pillow(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(jpeg("with a profile"))
    assert read_plain_size(str(path)) is None
    assert inspect_image(path) == (40, 24)


def with_block(marker: bytes, content: bytes, plain: bytes = jpeg("baseline")) -> bytes:
    return plain[:2] + b"\xff" + marker + (len(content) + 2).to_bytes(2) + content + plain[2:]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(jpeg(draw(st.sampled_from(KINDS))))
    # Damage only the header, the part that the parser reads.
    for offset in draw(st.lists(st.integers(0, min(len(data), 700) - 1), max_size=6)):
        data[offset] = draw(st.sampled_from((0, 1, 2, 8, 0xC0, 0xC4, 0xD8, 0xDA, 0xDB, 0xE0, 0xFE, 0xFF)))
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged Exif
@settings(max_examples=500)
@given(damaged())
@example(b"")
@example(b"\xff\xd8")
@example(b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00")
@example(with_block(b"\xe0", b"JFIF"))
@example(with_block(b"\xe0", b"JFIF\0\1"))
@example(with_block(b"\xe0", b"JFIF\0\1\1"))
@example(with_block(b"\xee", b"Adobe"))
@example(with_block(b"\xee", b"Adobe\0\1"))
@example(with_block(b"\xe1", b"Exif\0\0"))
@example(with_block(b"\xe1", b"Exif\0\0II*\0"))
@example(with_block(b"\xe1", b"http"))
def test_the_parser_accepts_only_what_pillow_accepts_and_finds_the_same_size(data: bytes) -> None:
    size = size_by_our_parser(data)
    assert size is None or size == size_by_pillow(data)


@given(st.binary(max_size=2000))
def test_any_bytes_give_a_size_or_none(data: bytes) -> None:
    assert size_by_our_parser(b"\xff\xd8" + data) in (None, size_by_pillow(b"\xff\xd8" + data))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
@pytest.mark.parametrize("restarts", [0, 3])
def test_a_shortened_jpeg_decodes_to_the_first_rows_of_the_whole(subsampling: str, restarts: int) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (97, 61, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", subsampling=subsampling, restart_marker_blocks=restarts)
    whole = decode(buffer.getvalue(), (97, 61))
    for rows in range(1, 97 - ROW_MARGIN):
        short = shorten(buffer.getvalue(), rows + ROW_MARGIN)
        assert short is not None
        assert np.array_equal(decode(short, (rows + ROW_MARGIN, 61))[:rows], whole[:rows])


@pytest.mark.parametrize("comment", [1, 100, 4000, 4094, 4600, 65_000])
@pytest.mark.parametrize("kind", ["baseline", "gray", "optimized"])
def test_images_that_differ_only_in_their_first_segments_are_parsed_alike(kind: str, comment: int) -> None:
    plain = jpeg(kind)
    longer = with_block(b"\xfe", b"c" * comment, plain)
    block = longer[2 : -len(plain) + 2]
    for _ in range(2):  # each is parsed once after the other
        short, short_of_longer = shorten(plain, 20), shorten(longer, 20)
        assert short is not None
        assert short_of_longer == short[:2] + block + short[2:]
        assert size_by_pillow(short_of_longer) == (40, 20)
    assert shorten(jpeg("baseline" if kind == "gray" else "gray"), 20) != short


def test_only_a_sequential_jpeg_with_more_rows_is_shortened() -> None:
    assert shorten(jpeg("progressive"), 8) is None
    assert shorten(jpeg("baseline"), 25) is None
    assert shorten(b"no JPEG", 8) is None


def test_a_file_without_an_end_marker_at_its_end_is_not_plain(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    for data in (b"", jpeg("baseline")[:-1], jpeg("baseline") + b"\0"):
        path.write_bytes(data)
        assert read_plain_size(str(path)) is None


def test_a_pipe_is_not_waited_for_and_a_symlink_is_not_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="Illegal seek"):
        read_plain_size(str(tmp_path / "pipe.jpg"))
    (tmp_path / "image.jpg").write_bytes(jpeg("baseline"))
    (tmp_path / "link.jpg").symlink_to(tmp_path / "image.jpg")
    with pytest.raises(OSError, match="symbolic links"):
        read_plain_size(str(tmp_path / "link.jpg"))
