"""The decoders for images and clips. A file is unreadable only if none of them can read it.

A product that cannot use an input excludes it, with the reason. This module finds out whether any decoder can read the
file, before it is recorded as unreadable for all products. It decodes, so call it only for files that failed before.
"""

import io
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from aurora_platform.cameras.jpeg import END, read_frame_header
from aurora_platform.cameras.media import MEDIA_ERRORS, error_text, is_system_error, open_clip, raise_if_out_of_memory
from aurora_platform.errors import MediaError, UnreadableError

_SCAN = b"\xff\xda"
# Appended to an incomplete picture, it decodes to another picture than without it: its first bit is set, but a decoder
# takes zeros for missing data.
_NOISE = b"\xaa\x55" * 64
_PADDING = (b"\0\0", b"\xff\xff")
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}


def decode_image(data: bytes) -> Image.Image:
    """Decode a JPEG with the first decoder that can read it.

    Raises
    ------
    UnreadableError
        If no decoder can read it.
    MemoryError
        If a decoder did not get enough memory and no other could read it.
    """
    errors: dict[str, Exception] = {}
    for name, decode in _IMAGE_DECODERS.items():
        try:
            return decode(data)
        # Pillow raises all of these for a damaged file; the data is in memory, so no error is one of the disk.
        except (imagecodecs.Jpeg8Error, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            errors[name] = error
    for failure in errors.values():
        raise_if_out_of_memory(failure)
    reasons = (f"{name}: {failure or type(failure).__name__}" for name, failure in errors.items())
    raise UnreadableError(f"no decoder can read it ({'; '.join(reasons)})")


def _decode_with_pillow(data: bytes) -> Image.Image:
    image = Image.open(_Nameless(data), formats=("JPEG",))
    image.load()
    return image


class _Nameless(io.BytesIO):
    """Bytes whose error texts contain no memory address: the same file gives the same reason each time."""

    def __repr__(self) -> str:
        return "file"


def _decode_with_imagecodecs(data: bytes) -> Image.Image:
    """Decode a JPEG, also one with more than 8 bits per sample; the lowest bits are dropped."""
    pixels = imagecodecs.jpeg8_decode(data)
    if pixels.dtype != np.uint8:
        frame = read_frame_header(lambda count, offset: data[offset : offset + count])
        if frame is None:
            raise ValueError("no frame header")
        pixels = (pixels >> (frame.bits - 8)).astype(np.uint8)
    height, width, components = np.atleast_3d(pixels).shape
    if components not in _MODES:
        raise ValueError(f"{components} colour components")
    return Image.frombytes(_MODES[components], (width, height), pixels.tobytes())


def is_whole_jpeg(data: bytes) -> bool:
    """Whether the picture of a JPEG is complete. (imagecodecs also decodes truncated files.)

    It is complete if it has an end marker, or if data appended to it does not change the picture.
    """
    if data.rfind(END) > data.rfind(_SCAN):
        return True
    if data.count(_SCAN) > 1:
        return False  # another scan may be missing
    # A decoder would read padding of a camera or a disk as the rest of the picture.
    unpadded = data.rstrip(data[-1:]) if data[-2:] in _PADDING else data
    if unpadded.endswith(b"\xff"):  # within the picture a zero follows it
        unpadded += b"\0"
    ended, continued = (imagecodecs.jpeg8_decode(unpadded + tail + END) for tail in (b"", _NOISE))
    return np.array_equal(ended, continued)


_IMAGE_DECODERS: dict[str, Callable[[bytes], Image.Image]] = {
    "Pillow": _decode_with_pillow,
    "imagecodecs": _decode_with_imagecodecs,
}


def check_playable(path: Path) -> None:
    """Raise :class:`UnreadableError` if no frame of a clip can be decoded.

    Raises
    ------
    OSError, MemoryError
        If the disk fails, or there is not enough memory to decide.
    """
    reason = "no frame"
    try:
        with open_clip(path, decode_first_frame=True) as container:
            if not container.streams.video:
                raise MediaError("no video stream")
            for packet in container.demux(container.streams.video[0]):
                try:
                    if packet.decode():
                        return
                except MemoryError:
                    raise
                except MEDIA_ERRORS as error:  # a player continues with the next packet
                    reason = error_text(error)
    except MediaError as error:
        reason = str(error)
    except MEDIA_ERRORS as error:
        if is_system_error(error):
            raise
        reason = error_text(error)
    raise UnreadableError(f"no decoder can read it ({reason})")
