"""Inspect an image: is it readable, and how large is it? Other decoders try what Pillow does not support."""

import os
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from aurora_platform.cameras.decoders import decode_image, is_whole_jpeg
from aurora_platform.cameras.jpeg import END, read_file_frame_header, read_plain_size
from aurora_platform.cameras.media import MAX_PIXELS, check_size, raise_if_out_of_memory
from aurora_platform.errors import MediaError


def inspect_image(path: str | Path) -> tuple[int, int]:
    """Read width and height (px) of a complete JPEG without decoding it; raise :class:`MediaError` otherwise.

    Only a file without an end marker at its end (truncated, or padded by a camera) is decoded, to distinguish the two.
    A truncated file is refused, although decoders may show a part of it.
    """
    if (size := read_plain_size(os.fspath(path))) and size[0] * size[1] <= MAX_PIXELS:
        return size
    with open(path, "rb") as file:
        try:
            # Image.open reads the header only.
            with Image.open(file, formats=("JPEG",)) as image:
                size = check_size(*image.size)
                file.seek(-len(END), 2)
                if file.read() != END:
                    image.load()
                return size
        except UnidentifiedImageError:
            return _inspect_with_other_decoders(path)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk failed, not the file
            raise_if_out_of_memory(error)
            raise MediaError(f"cannot be read as JPEG: {error}") from None


def _inspect_with_other_decoders(path: str | Path) -> tuple[int, int]:
    """As :func:`inspect_image`, for a JPEG that Pillow does not support, such as one with 12 bits per sample."""
    frame = read_file_frame_header(os.fspath(path))
    if frame is None:
        empty = os.stat(path).st_size == 0
        raise MediaError("the file is empty" if empty else "not a JPEG image")
    size = check_size(frame.width, frame.height)
    data = Path(path).read_bytes()
    if frame.bits > 8 and data.endswith(END):
        return size
    decode_image(data)  # raises if no decoder can read it
    if not is_whole_jpeg(data):
        raise MediaError("truncated: a part of the picture is missing in the file")
    return size
