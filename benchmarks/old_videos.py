"""A day's video as the scripts in use today make it, written from their description: decoded and encoded again."""

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


def clips_in(place: Path) -> list[Path]:
    """The clips of the FISH camera in a benchmark's directory, by time."""
    return sorted((workspace_in(place).layout.raw / "FISH").rglob("*.mp4"))


def encode(
    clips: Sequence[Path],
    target: Path,
    muxing: Mapping[str, str] = FASTSTART,
    options: Mapping[str, str] = QUALITY,
) -> int:
    """Encode clips of one size again, one after the other, as one H.264 video; returns how many frames that were.

    Threads are PyAV's own choice, slices: on two cores they took no longer than frames at a time.
    """
    count = 0
    with av.open(str(target), "w", format="mp4", container_options=dict(muxing)) as sink:
        stream = sink.add_stream("libx264", rate=_RATE, options=dict(options))
        with av.open(str(clips[0])) as first:
            stream.width, stream.height = first.streams.video[0].width, first.streams.video[0].height
        stream.pix_fmt = "yuv420p"
        for clip in clips:
            with av.open(str(clip)) as source:
                pictures = source.streams.video[0]
                pictures.thread_type = "AUTO"
                for frame in source.decode(pictures):
                    frame.pts, frame.time_base, frame.pict_type = count, Fraction(1, _RATE), 0
                    sink.mux(stream.encode(frame))
                    count += 1
        sink.mux(stream.encode(None))
    return count


def nearness(video: Path, clips: Sequence[Path], every: int) -> float:
    """The lowest PSNR (dB) of every so many-th frame of a video against its clips' luma; 0 where frames are missing."""
    wanted = (frame for clip in clips for frame in frames_of(clip))
    lowest = math.inf
    for number, (found, frame) in enumerate(zip_longest(frames_of(video), wanted)):
        if found is None or frame is None:
            return 0.0
        if number % every == 0:
            lowest = min(lowest, psnr(_luma(found), _luma(frame)))
    return lowest


def frames_of(path: Path) -> Iterator[av.VideoFrame]:
    """All frames of an MP4, decoded."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)


def _luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray()[: frame.height]
