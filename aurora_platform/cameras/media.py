"""Looking at one clip: can it be read, and how large is it?

Files come from a host and are hostile: the decoder is named instead of guessed (an ``.mp4`` that is a playlist would
make FFmpeg open other files), and sizes are bounded before anything is decoded.
"""

import errno
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from aurora_platform.cameras.h264 import plain_frames
from aurora_platform.errors import MediaError

MAX_PIXELS = 64_000_000  # per frame; the largest of our cameras has 9.5 million
MAX_FRAMES = 100_000  # per clip; an hour at one frame a second is 3,600

_ONLY_THIS_FILE = {"protocol_whitelist": "file"}
# Otherwise FFmpeg decodes the first frame of whatever it opens, for what an MP4's index says already.
_WITHOUT_A_FRAME = {"skip_frame": "all", "probesize": "32"}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def bounded(width: int, height: int) -> tuple[int, int]:
    """A size as it is; :class:`MediaError` where it is more than we read."""
    if not 0 < width * height <= MAX_PIXELS:
        raise MediaError(f"{width} x {height} px is more than the {MAX_PIXELS} px that we read")
    return width, height


@dataclass(frozen=True)
class Clip:
    """What joining needs to know of a clip. Times are in units of ``time_base`` (s)."""

    path: Path
    codec: str
    pixel_format: str
    width: int
    height: int
    extradata: bytes
    time_base: Fraction
    start: int
    """Presentation time of the first frame."""
    delay: int
    """How far the first frame's decoding comes before its presentation (0 without B-frames)."""
    duration: int
    frames: int
    """Those that are shown."""
    begins_clean: bool
    """Begins with a keyframe, and hides no frames in an edit list: can follow any other clip as it is."""

    @property
    def seconds(self) -> Fraction:
        return self.duration * self.time_base


def open_clip(path: Path, decodes_first: bool = False) -> InputContainer:
    """Open an MP4 and nothing else, and let it open nothing else; :class:`MediaError` if that fails.

    Parameters
    ----------
    decodes_first
        Decode the first frame too: only then the pixel format is known in any case before a frame is asked for.
    """
    options = _ONLY_THIS_FILE if decodes_first else _ONLY_THIS_FILE | _WITHOUT_A_FRAME
    try:
        return av.open(str(path.absolute()), format="mp4", options=options)
    except (av.FFmpegError, ValueError) as error:
        raise _media_error(error, path) from None


def entry_points(stream: VideoStream) -> set[int]:
    """Where in the file the packets lie at which decoding may begin, as the file's own index says (bytes).

    FFmpeg's parser marks more packets as keyframes: any frame that stands alone, also where later ones look behind it.
    """
    return {entry.pos for entry in stream.index_entries if entry.is_keyframe}


def inspect_clip(path: Path) -> Clip:
    """Read a clip's parameters and all of its packets, decoding none; :class:`MediaError` if it is not whole."""
    if path.stat().st_size == 0:
        raise MediaError("the file is empty")
    try:
        with open_clip(path) as container:
            if not container.streams.video:
                raise MediaError("no video stream")
            return _inspect(path, container, container.streams.video[0])
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise _media_error(error, path) from None


def _inspect(path: Path, container: InputContainer, stream: VideoStream) -> Clip:
    context: VideoCodecContext | None = stream.codec_context
    if context is None:
        raise MediaError("no decoder for its codec")
    bounded(context.width, context.height)
    if not 0 < stream.frames <= MAX_FRAMES or stream.time_base is None:
        raise MediaError(f"says that it has {stream.frames} frames")
    shown: list[tuple[int, int]] = []
    first_dts, clean, whole = 0, True, True
    found, expected, entries = 0, len(stream.index_entries), entry_points(stream)
    for packet in container.demux(stream):
        if packet.pts is None or packet.dts is None or not packet.size:
            continue
        if not found:
            first_dts, clean = packet.dts, packet.pos in entries
        found += 1
        whole &= not packet.is_corrupt
        if packet.is_discard:  # hidden by an edit list, and only decoded because others need it
            clean = False
        else:
            shown.append((packet.pts, packet.duration or 0))
    if found != expected or not whole or not shown:
        raise MediaError(f"cut: {found} of its {expected} frames are in the file")
    shown.sort()
    start, end = shown[0][0], shown[-1][0] + _last_duration(shown)
    return Clip(
        path=path,
        codec=context.name,
        pixel_format=_pixel_format(path, context),
        width=context.width,
        height=context.height,
        extradata=bytes(context.extradata or b""),
        time_base=Fraction(stream.time_base.numerator, stream.time_base.denominator),
        start=start,
        delay=max(0, start - first_dts),
        duration=end - start,
        frames=len(shown),
        begins_clean=clean and shown[0][1] >= 0,
    )


def _pixel_format(path: Path, context: VideoCodecContext) -> str:
    """The pixel format of a clip's frames; empty where nobody knows."""
    if context.pix_fmt:
        return context.pix_fmt
    plain = plain_frames(bytes(context.extradata or b"")) if context.name == "h264" else None
    if plain == (context.width, context.height) and context.color_range != _FULL_RANGE:
        return "yuv420p"
    with open_clip(path, decodes_first=True) as container:
        decoder = container.streams.video[0].codec_context
        bounded(decoder.width, decoder.height)
        return decoder.pix_fmt or ""


def _last_duration(shown: list[tuple[int, int]]) -> int:
    """The duration of the last frame; where the file does not say, that of the one before."""
    if shown[-1][1] > 0:
        return shown[-1][1]
    return shown[-1][0] - shown[-2][0] if len(shown) > 1 else 1


def _media_error(error: Exception, path: Path) -> Exception:
    """The error as one of the file, unless it is one of the disk or of memory, which passes."""
    if isinstance(error, OSError | MemoryError):
        return error
    return MediaError(f"cannot be read as MP4: {said(error).replace(str(path), path.name)}")


TROUBLE = (av.FFmpegError, ValueError, ArithmeticError, LookupError)
"""What PyAV raises while a file is decoded, encoded or joined."""

# FFmpeg says "Operation not permitted" (-1) and "try again" of data that it does not understand; of a disk it does not.
_OF_DATA = {errno.EPERM, errno.EAGAIN}
# Pillow's and libjpeg's words, which come as errors of another kind.
_NO_MEMORY = ("out of memory", "Insufficient memory")

VERSIONS = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
"""What decodes and encodes clips here; another version may be able to do what this one is not."""


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error is one of the disk or of memory, which may pass, and not of the file."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, OSError) and not (isinstance(error, av.FFmpegError) and error.errno in _OF_DATA)


def raise_if_memory_is_short(error: BaseException) -> None:
    """Raise a decoder's complaint that it gets no memory as the :class:`MemoryError` that it is: no file's fault."""
    if any(complaint in str(error) for complaint in _NO_MEMORY):
        raise MemoryError(str(error)) from None


def said(error: Exception) -> str:
    """What FFmpeg says of an error, without the path that its messages carry: whoever shows it names the file."""
    return error.strerror if isinstance(error, av.FFmpegError) and error.strerror else str(error)
