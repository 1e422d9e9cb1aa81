"""Looking at one image: can it be read, and how large is it? What Pillow does not know, the other readers are asked."""

import os
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from aurora_platform.cameras.jpeg import END, frame_in, plain_size
from aurora_platform.cameras.media import MAX_PIXELS, bounded, raise_if_memory_is_short
from aurora_platform.cameras.readers import is_whole, picture
from aurora_platform.errors import MediaError


def inspect_image(path: str | Path) -> tuple[int, int]:
    """Width and height (px) of a JPEG that is whole, without decoding it; :class:`MediaError` if it is not.

    Only a file that does not end as a JPEG ends (cut, or padded by a camera) is decoded, to tell the two apart: what is
    cut is refused, though readers may show a part of it.
    """
    if (size := plain_size(os.fspath(path))) and size[0] * size[1] <= MAX_PIXELS:
        return size
    with open(path, "rb") as file:
        try:
            # Image.open reads the header only.
            with Image.open(file, formats=("JPEG",)) as image:
                size = bounded(*image.size)
                file.seek(-len(END), 2)
                if file.read() != END:
                    image.load()
                return size
        except UnidentifiedImageError:
            return _as_others_read(path)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk failed, not the file
            raise_if_memory_is_short(error)
            raise MediaError(f"cannot be read as JPEG: {error}") from None


def _as_others_read(path: str | Path) -> tuple[int, int]:
    """The same of a JPEG that Pillow does not know: one of more than 8 bits a sample, say."""
    frame = frame_in(os.fspath(path))
    if frame is None:
        empty = os.stat(path).st_size == 0
        raise MediaError("the file is empty" if empty else "not a JPEG image")
    size = bounded(frame.width, frame.height)
    data = Path(path).read_bytes()
    if frame.bits > 8 and data.endswith(END):
        return size
    picture(data)  # or no reader can decode it
    if not is_whole(data):
        raise MediaError("cut: a part of its picture is not in the file")
    return size
