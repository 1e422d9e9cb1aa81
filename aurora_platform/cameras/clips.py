"""Which clips can be joined as they are, and how the others are made to fit.

A video is joined by copying compressed frames, so all of its clips must speak one dialect: H.264, yuv420p, one size,
one set of parameters. What does not is converted once. A converted clip carries its parameter sets (SPS, PPS) under a
number of its own, so that both dialects stand side by side in the header of the joined file and none is re-encoded for
the other's sake.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.video.stream import VideoStream

from aurora_platform.cameras.h264 import can_stand_beside
from aurora_platform.cameras.media import TROUBLE, Clip, is_of_the_machine, open_clip, said
from aurora_platform.errors import MediaError
from aurora_platform.fs.versions import ScannedEntry, data_version

RECIPE = "clip/1"
# H.264 parameter sets have numbers from 0 to 31; cameras and encoders use 0.
CONVERTED_SPS_ID = 29
_TICKS = 90_000  # per second: the customary clock of video, fine enough for any frame rate
_NOMINAL_RATE = 25  # frames/s, told to the encoder only; true times are kept
_QUALITY = {"preset": "veryfast", "crf": "18"}


@dataclass(frozen=True)
class Dialect:
    """What the clips of one video have in common: size (px) and, of those that need no conversion, the header."""

    width: int
    height: int
    extradata: bytes | None
    """None: all clips are converted."""

    def fits(self, clip: Clip) -> bool:
        """Whether a clip can be joined as it is."""
        return is_playable(clip) and (clip.width, clip.height, clip.extradata) == (
            self.width,
            self.height,
            self.extradata,
        )


def is_playable(clip: Clip) -> bool:
    """Whether browsers play a clip, and it can follow any other."""
    return (
        clip.codec == "h264"
        and clip.pixel_format == "yuv420p"
        and clip.begins_clean
        and can_stand_beside(clip.extradata, CONVERTED_SPS_ID)
    )


def common_dialect(clips: Sequence[Clip]) -> Dialect:
    """The dialect that leaves most clips as they are: the most common size, and in it the most common header."""
    sizes = Counter((clip.width, clip.height) for clip in clips)
    width, height = max(sizes, key=lambda size: sizes[size])
    headers = Counter(c.extradata for c in clips if is_playable(c) and (c.width, c.height) == (width, height))
    header = max(headers, key=lambda h: headers[h], default=None)
    if header is None:  # the encoder's pixel format wants even sizes
        width, height = width - width % 2, height - height % 2
    return Dialect(width, height, header)


def converted_name(clip: ScannedEntry[str], dialect: Dialect) -> str:
    """The file name of a converted clip: source, version of the source, and what it was made into."""
    version = data_version(RECIPE, [clip])[:16]
    return f"{Path(clip.path).stem}.{version}.{dialect.width}x{dialect.height}.mp4"


def convert(clip: Clip, dialect: Dialect, staged: Path) -> None:
    """Encode a clip as H.264 yuv420p of the dialect's size, frame by frame at its own times.

    A clip of another shape keeps its proportions and gets black borders.

    Raises
    ------
    MediaError, OSError
        Where the clip cannot be made to fit, or the disk fails.
    """
    try:
        with open_clip(clip.path, decodes_first=True) as source, _writer(staged) as sink:
            frames = _encode(clip, source, dialect, sink)
    except TROUBLE as error:
        if is_of_the_machine(error):
            raise
        raise MediaError(f"cannot be converted: {said(error)}") from None
    if frames != clip.frames:
        raise MediaError(f"decodes to {frames} of its {clip.frames} frames")


def _writer(path: Path) -> OutputContainer:
    return av.open(str(path), "w", format="mp4", container_options={"fflags": "+bitexact"})


def _encode(clip: Clip, container: InputContainer, dialect: Dialect, sink: OutputContainer) -> int:
    source = container.streams.video[0]
    source.thread_type = "AUTO"
    stream = sink.add_stream("libx264", rate=_NOMINAL_RATE)
    stream.width, stream.height, stream.pix_fmt = dialect.width, dialect.height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, _TICKS)
    # Without B-frames, so that frames leave the encoder in the order of their times.
    stream.codec_context.options = {**_QUALITY, "x264-params": f"sps-id={CONVERTED_SPS_ID}:bframes=0"}
    graph = _fitting(source, dialect)
    durations: dict[int, int] = {}

    def mux(frame: av.VideoFrame | None) -> None:
        for packet in stream.encode(frame):
            if packet.pts is not None:
                packet.duration = durations.pop(packet.pts, packet.duration or 0)
            sink.mux(packet)

    count = 0
    for frame in container.decode(source):
        if frame.pts is None:
            raise MediaError("a frame has no time")
        graph.vpush(frame)
        fitted = graph.vpull()
        fitted.pts = round((frame.pts - clip.start) * clip.time_base * _TICKS)
        fitted.time_base = Fraction(1, _TICKS)
        fitted.pict_type = 0  # the encoder decides, not the source
        durations[fitted.pts] = round((frame.duration or 0) * clip.time_base * _TICKS)
        count += 1
        mux(fitted)
    mux(None)
    return count


def _fitting(source: VideoStream, dialect: Dialect) -> Graph:
    """A filter graph that fits frames into the dialect's size, keeping proportions."""
    size = f"{dialect.width}:{dialect.height}"
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(template=source),
        graph.add("scale", f"{size}:force_original_aspect_ratio=decrease:force_divisible_by=2:out_range=tv"),
        graph.add("pad", f"{size}:(ow-iw)/2:(oh-ih)/2"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ).configure()
    return graph
