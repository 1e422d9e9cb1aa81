"""Open and inspect clips safely, and classify the errors of media libraries.

Files come from a host and may be hostile. So the format is given, not guessed: an ``.mp4`` that is a playlist would
make FFmpeg open other files. Sizes are limited before anything is decoded.
"""

import errno
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from aurora_platform.cameras.h264 import plain_frame_size
from aurora_platform.errors import MediaError

MAX_PIXELS = 64_000_000  # per frame; the largest of our cameras has 9.5 million
MAX_FRAMES = 100_000  # per clip; an hour at one frame a second is 3,600

_ONLY_THIS_FILE = {"protocol_whitelist": "file"}
# Otherwise FFmpeg decodes the first frame of every file, for parameters that an MP4's index has already.
_SKIP_FIRST_FRAME = {"skip_frame": "all", "probesize": "32"}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def check_size(width: int, height: int) -> tuple[int, int]:
    """Return the size (px); raise :class:`MediaError` if it is not within the limit."""
    if not 0 < width * height <= MAX_PIXELS:
        raise MediaError(f"{width} x {height} px is not supported: the limit is {MAX_PIXELS} px")
    return width, height


@dataclass(frozen=True)
class Clip:
    """The properties of a clip that joining needs. Times are in units of ``time_base`` (s)."""

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
    """Presentation time minus decoding time of the first frame (0 without B-frames)."""
    duration: int
    frames: int
    """Frames that a player shows."""
    has_clean_start: bool
    """The clip begins with a keyframe and has no edit list that hides frames: it can follow any other clip."""

    @property
    def seconds(self) -> Fraction:
        return self.duration * self.time_base


def open_clip(path: Path, decode_first_frame: bool = False) -> InputContainer:
    """Open an MP4 so that FFmpeg opens no other file; raise :class:`MediaError` if that fails.

    Parameters
    ----------
    decode_first_frame
        Decode the first frame too. Without it the pixel format may be unknown until a frame is decoded.
    """
    options = _ONLY_THIS_FILE if decode_first_frame else _ONLY_THIS_FILE | _SKIP_FIRST_FRAME
    try:
        return av.open(str(path.absolute()), format="mp4", options=options)
    except (av.FFmpegError, ValueError) as error:
        raise _media_error(error, path) from None


def keyframe_positions(stream: VideoStream) -> set[int]:
    """Return the file positions (bytes) of the packets at which decoding may begin, by the file's own index.

    FFmpeg's parser marks more packets as keyframes: every intra-coded frame, even if later frames need earlier ones.
    """
    return {entry.pos for entry in stream.index_entries if entry.is_keyframe}


def inspect_clip(path: Path) -> Clip:
    """Read a clip's parameters and all packets without decoding; raise :class:`MediaError` if it is not complete."""
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
    check_size(context.width, context.height)
    if not 0 < stream.frames <= MAX_FRAMES or stream.time_base is None:
        raise MediaError(f"the number of frames is invalid: {stream.frames}")
    presented: list[tuple[int, int]] = []
    first_dts, has_clean_start, is_whole = 0, True, True
    found, expected, entries = 0, len(stream.index_entries), keyframe_positions(stream)
    for packet in container.demux(stream):
        if packet.pts is None or packet.dts is None or not packet.size:
            continue
        if not found:
            first_dts, has_clean_start = packet.dts, packet.pos in entries
        found += 1
        is_whole &= not packet.is_corrupt
        if packet.is_discard:  # hidden by an edit list, and only decoded because other frames need it
            has_clean_start = False
        else:
            presented.append((packet.pts, packet.duration or 0))
    if found != expected or not is_whole or not presented:
        raise MediaError(f"truncated: {found} of its {expected} frames are in the file")
    presented.sort()
    start, end = presented[0][0], presented[-1][0] + _last_duration(presented)
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
        frames=len(presented),
        has_clean_start=has_clean_start and presented[0][1] >= 0,
    )


def _pixel_format(path: Path, context: VideoCodecContext) -> str:
    """Return the pixel format of a clip's frames; empty if it is unknown."""
    if context.pix_fmt:
        return context.pix_fmt
    plain = plain_frame_size(bytes(context.extradata or b"")) if context.name == "h264" else None
    if plain == (context.width, context.height) and context.color_range != _FULL_RANGE:
        return "yuv420p"
    with open_clip(path, decode_first_frame=True) as container:
        decoder = container.streams.video[0].codec_context
        check_size(decoder.width, decoder.height)
        return decoder.pix_fmt or ""


def _last_duration(presented: list[tuple[int, int]]) -> int:
    """Return the duration of the last frame; if the file does not give it, that of the frame before."""
    if presented[-1][1] > 0:
        return presented[-1][1]
    return presented[-1][0] - presented[-2][0] if len(presented) > 1 else 1


def _media_error(error: Exception, path: Path) -> Exception:
    """Return the error as a :class:`MediaError`, unless it is a disk or memory error, which is returned as it is."""
    if isinstance(error, OSError | MemoryError):
        return error
    return MediaError(f"cannot be read as MP4: {error_text(error).replace(str(path), path.name)}")


MEDIA_ERRORS = (av.FFmpegError, ValueError, ArithmeticError, LookupError)
"""The errors that PyAV raises while it decodes, encodes or joins a file."""

# FFmpeg reports data that it does not understand as "Operation not permitted" (-1) or "try again"; disk errors never.
_DATA_ERRNOS = {errno.EPERM, errno.EAGAIN}
# Messages of Pillow and libjpeg, which raise another exception type for a lack of memory.
_NO_MEMORY_MESSAGES = ("out of memory", "Insufficient memory")

LIBRARY_VERSIONS = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
"""The libraries that decode and encode clips; another version may convert a clip that this version cannot."""


def is_system_error(error: BaseException) -> bool:
    """Whether the disk or the memory caused an error, not the file. Such an error may be transient."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, OSError) and not (isinstance(error, av.FFmpegError) and error.errno in _DATA_ERRNOS)


def raise_if_out_of_memory(error: BaseException) -> None:
    """Raise :class:`MemoryError` if a decoder's error reports a lack of memory, which is not the file's fault."""
    if any(message in str(error) for message in _NO_MEMORY_MESSAGES):
        raise MemoryError(str(error)) from None


def error_text(error: Exception) -> str:
    """Return FFmpeg's message without the path that it contains: the caller names the file."""
    return error.strerror if isinstance(error, av.FFmpegError) and error.strerror else str(error)
