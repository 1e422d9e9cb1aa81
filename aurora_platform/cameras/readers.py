"""Whether any reader can decode an image or clip: asked before one is condemned for all products.

A product that cannot use an input leaves it out and says why. That another could use it is for this module to find out:
only what no reader decodes is unreadable. It decodes, so it is asked about what has failed elsewhere, and nothing else.
"""

import io
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from aurora_platform.cameras.jpeg import END, frame_of
from aurora_platform.cameras.media import TROUBLE, is_of_the_machine, open_clip, raise_if_memory_is_short, said
from aurora_platform.errors import MediaError, UnreadableError

_SCAN = b"\xff\xda"
# Behind a picture that is not whole it gives another one than nothing does: its first bit is set, where a decoder that
# finds nothing takes zeros.
_NOISE = b"\xaa\x55" * 64
_FILLED_UP = (b"\0\0", b"\xff\xff")
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}


def picture(data: bytes) -> Image.Image:
    """A JPEG as the first reader that can decodes it.

    Raises
    ------
    UnreadableError
        Where none can.
    MemoryError
        Where there is not enough memory to know.
    """
    errors: dict[str, Exception] = {}
    for name, read in _IMAGE_READERS.items():
        try:
            return read(data)
        # Pillow raises all of these of a damaged file; nothing is read from a disk here.
        except (imagecodecs.Jpeg8Error, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            errors[name] = error
    for failure in errors.values():
        raise_if_memory_is_short(failure)
    reasons = (f"{name}: {failure or type(failure).__name__}" for name, failure in errors.items())
    raise UnreadableError(f"no reader can decode it ({'; '.join(reasons)})")


def _by_pillow(data: bytes) -> Image.Image:
    image = Image.open(_Nameless(data), formats=("JPEG",))
    image.load()
    return image


class _Nameless(io.BytesIO):
    """Bytes that have no address in an error's text: the same file gives the same reason each time."""

    def __repr__(self) -> str:
        return "file"


def _by_imagecodecs(data: bytes) -> Image.Image:
    """Also with more than 8 bits a sample; the lowest of them are dropped."""
    pixels = imagecodecs.jpeg8_decode(data)
    if pixels.dtype != np.uint8:
        frame = frame_of(lambda count, offset: data[offset : offset + count])
        if frame is None:
            raise ValueError("no frame header")
        pixels = (pixels >> (frame.bits - 8)).astype(np.uint8)
    height, width, components = np.atleast_3d(pixels).shape
    if components not in _MODES:
        raise ValueError(f"{components} colour components")
    return Image.frombytes(_MODES[components], (width, height), pixels.tobytes())


def is_whole(data: bytes) -> bool:
    """Whether nothing is missing of the picture of a JPEG that imagecodecs decodes, which also decodes what is cut.

    It is whole where its end is marked, whatever follows; or else where it is the same picture whatever would follow.
    """
    if data.rfind(END) > data.rfind(_SCAN):
        return True
    if data.count(_SCAN) > 1:
        return False  # another scan may be missing
    # A decoder would take what a camera or a disk fills up with for the rest of the picture.
    unfilled = data.rstrip(data[-1:]) if data[-2:] in _FILLED_UP else data
    if unfilled.endswith(b"\xff"):  # of the picture a zero follows it
        unfilled += b"\0"
    ended, going_on = (imagecodecs.jpeg8_decode(unfilled + tail + END) for tail in (b"", _NOISE))
    return np.array_equal(ended, going_on)


_IMAGE_READERS: dict[str, Callable[[bytes], Image.Image]] = {"Pillow": _by_pillow, "imagecodecs": _by_imagecodecs}


def prove_playable(path: Path) -> None:
    """Raise :class:`UnreadableError` where not one frame of a clip can be decoded.

    Raises
    ------
    OSError, MemoryError
        Where the disk fails, or there is not enough memory to know.
    """
    reason = "not one frame"
    try:
        with open_clip(path, decodes_first=True) as container:
            if not container.streams.video:
                raise MediaError("no video stream")
            for packet in container.demux(container.streams.video[0]):
                try:
                    if packet.decode():
                        return
                except MemoryError:
                    raise
                except TROUBLE as error:  # a player goes on behind it
                    reason = said(error)
    except MediaError as error:
        reason = str(error)
    except TROUBLE as error:
        if is_of_the_machine(error):
            raise
        reason = said(error)
    raise UnreadableError(f"no reader can decode it ({reason})")
