"""The format that the clips of one video share, and the conversion of clips that have another format.

A video is joined by copying compressed frames, so all of its clips need one format: H.264, yuv420p, one size, one set
of parameters. Clips with another format are converted once. A converted clip has its own ID for its parameter sets
(SPS, PPS). So the header of the joined file holds both sets, and the original clips need no re-encoding.
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

from aurora_platform.cameras.h264 import can_merge_with
from aurora_platform.cameras.media import MEDIA_ERRORS, Clip, error_text, is_system_error, open_clip
from aurora_platform.errors import MediaError
from aurora_platform.fs.versions import ScannedEntry, data_version

RECIPE = "clip/1"
# H.264 parameter sets have IDs from 0 to 31; cameras and encoders use 0.
CONVERTED_SPS_ID = 29
_TICKS = 90_000  # per second: the customary clock of video, fine enough for any frame rate
_NOMINAL_RATE = 25  # frames/s, for the encoder only; true times are kept
_QUALITY = {"preset": "veryfast", "crf": "18"}


@dataclass(frozen=True)
class CommonFormat:
    """The format that the clips of one video share."""

    width: int  # px
    height: int  # px
    extradata: bytes | None
    """H.264 header of the clips that need no conversion; None: all clips are converted."""

    def fits(self, clip: Clip) -> bool:
        """Whether a clip can be joined without conversion."""
        return is_joinable(clip) and (clip.width, clip.height, clip.extradata) == (
            self.width,
            self.height,
            self.extradata,
        )


def is_joinable(clip: Clip) -> bool:
    """Whether browsers play a clip, and it can follow any other clip."""
    return (
        clip.codec == "h264"
        and clip.pixel_format == "yuv420p"
        and clip.has_clean_start
        and can_merge_with(clip.extradata, CONVERTED_SPS_ID)
    )


def choose_common_format(clips: Sequence[Clip]) -> CommonFormat:
    """Choose the format that needs the fewest conversions: the most common size, and its most common header."""
    sizes = Counter((clip.width, clip.height) for clip in clips)
    width, height = max(sizes, key=lambda size: sizes[size])
    headers = Counter(c.extradata for c in clips if is_joinable(c) and (c.width, c.height) == (width, height))
    header = max(headers, key=lambda h: headers[h], default=None)
    if header is None:  # the encoder's pixel format needs even sizes
        width, height = width - width % 2, height - height % 2
    return CommonFormat(width, height, header)


def converted_name(clip: ScannedEntry[str], common_format: CommonFormat) -> str:
    """Return the file name of a converted clip: stem and version of the source clip, and the new size."""
    version = data_version(RECIPE, [clip])[:16]
    return f"{Path(clip.path).stem}.{version}.{common_format.width}x{common_format.height}.mp4"


def convert_clip(clip: Clip, common_format: CommonFormat, staged: Path) -> None:
    """Encode a clip as H.264 yuv420p at the common size; frames keep their times.

    A clip of another shape keeps its proportions and gets black borders.

    Raises
    ------
    MediaError, OSError
        If the clip cannot be converted, or the disk fails.
    """
    try:
        with open_clip(clip.path, decode_first_frame=True) as source, _open_writer(staged) as sink:
            frames = _encode(clip, source, common_format, sink)
    except MEDIA_ERRORS as error:
        if is_system_error(error):
            raise
        raise MediaError(f"cannot be converted: {error_text(error)}") from None
    if frames != clip.frames:
        raise MediaError(f"decodes to {frames} of its {clip.frames} frames")


def _open_writer(path: Path) -> OutputContainer:
    return av.open(str(path), "w", format="mp4", container_options={"fflags": "+bitexact"})


def _encode(clip: Clip, container: InputContainer, common_format: CommonFormat, sink: OutputContainer) -> int:
    source = container.streams.video[0]
    source.thread_type = "AUTO"
    stream = sink.add_stream("libx264", rate=_NOMINAL_RATE)
    stream.width, stream.height, stream.pix_fmt = common_format.width, common_format.height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, _TICKS)
    # Without B-frames, so that the encoder returns frames in the order of their times.
    stream.codec_context.options = {**_QUALITY, "x264-params": f"sps-id={CONVERTED_SPS_ID}:bframes=0"}
    graph = _build_fit_graph(source, common_format)
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
        fitted.pict_type = 0  # the encoder chooses the type, not the source
        durations[fitted.pts] = round((frame.duration or 0) * clip.time_base * _TICKS)
        count += 1
        mux(fitted)
    mux(None)
    return count


def _build_fit_graph(source: VideoStream, common_format: CommonFormat) -> Graph:
    """Build a filter graph that fits frames into the common size and keeps their proportions."""
    size = f"{common_format.width}:{common_format.height}"
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(template=source),
        graph.add("scale", f"{size}:force_original_aspect_ratio=decrease:force_divisible_by=2:out_range=tv"),
        graph.add("pad", f"{size}:(ow-iw)/2:(oh-ih)/2"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ).configure()
    return graph
