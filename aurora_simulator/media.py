"""Encodes frames as JPEG bytes and as MP4 clips, byte-identical in each run.

Both are encoded from the rendered planes, never from a decoded JPEG. It does not choose file names or times.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.codec.context import Flags
from av.video.stream import VideoStream
from PIL import Image

from aurora_simulator.sky import Frame

FRAMES_PER_SECOND = 25
JPEG_QUALITY = 83  # with the sky's grain: about 1 MB for FISH and 0.3 MB for PANO at scale 1
OTHER_QUALITY = 60
OTHER_SIDE = 320  # px; AUTO, LONG and SHORT only need to exist
OTHER_GAIN = {"AUTO": 1.0, "LONG": 1.6, "SHORT": 0.5}

# One thread: the output of an encoder may depend on the number of threads. Hours run in parallel instead.
ENCODERS = {
    "h264": ("libx264", {"preset": "ultrafast", "crf": "28", "threads": "1"}),
    "mpeg4": ("mpeg4", {"qmin": "4", "qmax": "4", "threads": "1"}),
}

# ITU-R BT.601, as in JPEG, and "limited range": luma in 16..235, chroma in 16..240.
COLORSPACE_BT601 = 6
RANGE_LIMITED = 1
LUMA_TO_LIMITED = [round(16 + level * 219 / 255) for level in range(256)]
CHROMA_TO_LIMITED = [round(128 + (level - 128) * 224 / 255) for level in range(256)]


def encode_jpeg(frame: Frame) -> bytes:
    """Encode the frame as a baseline 4:2:0 JPEG."""
    return _save(Image.frombuffer("YCbCr", frame.size, frame.interleaved(), "raw", "YCbCr", 0, 1), JPEG_QUALITY)


def encode_small_jpeg(frame: Frame, exposure: str) -> bytes:
    """Encode the frame as a small JPEG, brighter or darker by `exposure` (AUTO, LONG, SHORT)."""
    small = frame.overview.copy()
    small.thumbnail((OTHER_SIDE, OTHER_SIDE), Image.Resampling.NEAREST)
    gain = OTHER_GAIN[exposure]
    luma, cb, cr = small.split()
    brighter = luma.point([min(255, round(level * gain)) for level in range(256)])
    return _save(Image.merge("YCbCr", (brighter, cb, cr)), OTHER_QUALITY)


def encode_clip(frames: Iterable[Frame], codec: str) -> bytes:
    """Encode the frames as the bytes of an MP4 file; for short clips that are changed before they are written."""
    buffer = io.BytesIO()
    with ClipWriter(buffer, codec) as writer:
        for frame in frames:
            writer.add(frame)
    return buffer.getvalue()


class ClipWriter:
    """Writes frames of one size to an MP4 file, one by one.

    Parameters
    ----------
    target : Path or BytesIO
        Destination of the clip.
    codec : str
        `h264` or `mpeg4`. All clips of one codec and size have the same extradata, so that they can be joined.
    """

    def __init__(self, target: Path | io.BytesIO, codec: str) -> None:
        self._container = av.open(
            str(target) if isinstance(target, Path) else target, "w", format="mp4", options={"fflags": "+bitexact"}
        )
        self._codec = codec
        self._stream: VideoStream | None = None
        self._planes: np.ndarray[tuple[int, int], np.dtype[np.uint8]] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._container.close()

    def close(self) -> None:
        """Write the remaining frames of the encoder and the index of the clip; the end of a `with` block calls it."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()

    def add(self, frame: Frame) -> None:
        """Append one frame, shown for 1/25 s."""
        if self._stream is None:
            self._stream = self._open_stream(*frame.size)
        picture = av.VideoFrame.from_ndarray(self._limited(frame), format="yuv420p")
        picture.pts = self._count
        picture.time_base = Fraction(1, FRAMES_PER_SECOND)
        self._count += 1
        self._container.mux(self._stream.encode(picture))

    def _open_stream(self, width: int, height: int) -> VideoStream:
        encoder, options = ENCODERS[self._codec]
        stream = self._container.add_stream(encoder, rate=FRAMES_PER_SECOND, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.color_range = RANGE_LIMITED
        stream.codec_context.colorspace = COLORSPACE_BT601
        stream.codec_context.flags |= Flags.bitexact
        return stream

    def _limited(self, frame: Frame) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        """Return the planes in limited range, shape (height * 3 / 2, width), in the memory layout of yuv420p."""
        width, height = frame.size
        if self._planes is None:
            self._planes = np.empty((height * 3 // 2, width), np.uint8)
        self._planes[:height] = np.asarray(Image.fromarray(frame.luma).point(LUMA_TO_LIMITED))
        chroma = self._planes[height:].reshape(2, height // 2, width // 2)
        chroma[0] = np.asarray(Image.fromarray(frame.cb).point(CHROMA_TO_LIMITED))
        chroma[1] = np.asarray(Image.fromarray(frame.cr).point(CHROMA_TO_LIMITED))
        return self._planes


def _save(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()
