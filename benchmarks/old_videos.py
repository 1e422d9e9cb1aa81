"""Makes a daily video like the scripts in use today (from their description): decodes and re-encodes all clips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import numpy as np

from benchmarks.inputs import workspace_in
from benchmarks.likeness import psnr

FASTSTART = {"movflags": "+faststart"}
QUALITY = {"preset": "veryfast", "crf": "18"}
_RATE = 25  # frames/s


def clips_in(directory: Path) -> list[Path]:
    """Return the clips of the FISH camera in the directory of a benchmark, by time."""
    return sorted((workspace_in(directory).layout.raw / "FISH").rglob("*.mp4"))


def encode(
    clips: Sequence[Path],
    target: Path,
    muxing: Mapping[str, str] = FASTSTART,
    options: Mapping[str, str] = QUALITY,
) -> int:
    """Re-encode clips of one size as one H.264 video; return its number of frames.

    PyAV chooses slice threads: on two cores they are as fast as frame threads.
    """
    count = 0
    with av.open(str(target), "w", format="mp4", container_options=dict(muxing)) as sink:
        stream = sink.add_stream("libx264", rate=_RATE, options=dict(options))
        with av.open(str(clips[0])) as first:
            stream.width, stream.height = first.streams.video[0].width, first.streams.video[0].height
        stream.pix_fmt = "yuv420p"
        for clip in clips:
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                video.thread_type = "AUTO"
                for frame in source.decode(video):
                    frame.pts, frame.time_base, frame.pict_type = count, Fraction(1, _RATE), 0
                    sink.mux(stream.encode(frame))
                    count += 1
        sink.mux(stream.encode(None))
    return count


def lowest_psnr(video: Path, clips: Sequence[Path], every: int) -> float:
    """Return the lowest luma PSNR (dB) of each ``every``-th frame against the clips; 0 if frames are missing."""
    expected = (frame for clip in clips for frame in frames_of(clip))
    lowest = math.inf
    for number, (actual, frame) in enumerate(zip_longest(frames_of(video), expected)):
        if actual is None or frame is None:
            return 0.0
        if number % every == 0:
            lowest = min(lowest, psnr(_luma(actual), _luma(frame)))
    return lowest


def frames_of(path: Path) -> Iterator[av.VideoFrame]:
    """Decode all frames of an MP4 file."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)


def _luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray()[: frame.height]
