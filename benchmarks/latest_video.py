"""Measures the latest video after one new clip, with clips that need conversion: ours encodes only the new clip."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aurora_platform.cameras.recipes import LATEST_CLIPS
from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.videos import build_latest_video
from benchmarks.inputs import DAY, NOW, camera_day, workspace_in
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.old_videos import QUALITY, clips_in, encode, lowest_psnr
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

CAMERA = "fish_hdr"
EVERY = timedelta(minutes=5)
FRAMES = timedelta(days=1) // EVERY
# Like the product: without B-frames, so that any clip can follow.
_CONVERSION = {**QUALITY, "x264-params": "bframes=0"}
_MIN_PSNR = 35.0  # dB; video encoded at CRF 18 has a higher PSNR against its source


def run(bench: Bench) -> Result:
    """Measure the three methods."""
    with bench.directory() as directory:
        bench.log("writing a camera day")
        camera_day(directory, EVERY, codec="mpeg4")
        bench.log("converting all clips but the newest")
        _prepare_hour_before(directory)
        methods = {
            REPLACED: Method(replaced, (directory,), remove_replaced),
            OURS: Method(ours, (directory,), restore_hour_before),
            LIMIT: Method(encode_newest, (directory,), remove_newest_video),
        }
        found = alternately(methods, partial(_check, directory, bench), bench.rounds, bench.log)
    old, mine, least = (Figure.of(found[name]) for name in (REPLACED, OURS, LIMIT))
    return Result(
        "latest_video",
        f"Latest video of {LATEST_CLIPS} clips that need conversion, one of them new",
        [
            times_faster("in use today: re-encode all 24, libx264 veryfast, CRF 18, yuv420p, faststart", old, mine, 20),
            times_longer("limit: encode the new one", least, mine, 1.5),
        ],
        [
            f"FISH, 3120 x 3040, MPEG-4 part 2, an image every 5 min: {FRAMES // 24} frames per clip; in the page "
            "cache. Ours has the catalogue, the conversions of the 23 earlier clips, and the video of an hour ago.",
            "The limit encodes like ours, without B-frames, which takes less time per clip than the method in use "
            "today. The target at the limit is our own choice.",
            "Ours flushes the converted clip and the video to disk. The others flush nothing.",
        ],
    )


def ours(directory: Path) -> tuple[int, int, int]:
    """Build the video as the asset does; return its frames, and the clips converted now and before."""
    report = build_latest_video(workspace_in(directory), CAMERA, NOW)
    return report.frames, report.converted, report.kept_conversions


def _prepare_hour_before(directory: Path) -> None:
    workspace, newest = workspace_in(directory), clips_in(directory)[-1]
    hidden = directory / newest.name
    newest.rename(hidden)
    refresh_day(workspace, DAY, NOW)
    build_latest_video(workspace, CAMERA, NOW)
    shutil.copytree(workspace.layout.products, _before(directory), ignore=shutil.ignore_patterns("wxcam_catalog*"))
    hidden.rename(newest)
    refresh_day(workspace, DAY, NOW)


def restore_hour_before(directory: Path) -> None:
    products = workspace_in(directory).layout.products
    for saved in _before(directory).iterdir():
        shutil.rmtree(products / saved.name, ignore_errors=True)
        shutil.copytree(saved, products / saved.name)


def _before(directory: Path) -> Path:
    return directory / "before"


def replaced(directory: Path) -> int:
    """Decode and encode all clips."""
    return encode(clips_in(directory), _old_video(directory))


def remove_replaced(directory: Path) -> None:
    _old_video(directory).unlink(missing_ok=True)


def _old_video(directory: Path) -> Path:
    return directory / "replaced.mp4"


def encode_newest(directory: Path) -> int:
    """Decode and encode the newest clip, as the product does."""
    return encode(clips_in(directory)[-1:], _newest_video(directory), muxing={}, options=_CONVERSION)


def remove_newest_video(directory: Path) -> None:
    _newest_video(directory).unlink(missing_ok=True)


def _newest_video(directory: Path) -> Path:
    return directory / "one.mp4"


def _check(directory: Path, bench: Bench, answers: Mapping[str, Any]) -> None:
    """Check that each video has all frames of its clips in order, and similar; and that ours converted one clip."""
    bench.log("decoding the results")
    clips, frames_per_clip = clips_in(directory), FRAMES // LATEST_CLIPS
    if answers != {REPLACED: FRAMES, OURS: (FRAMES, 1, LATEST_CLIPS - 1), LIMIT: frames_per_clip}:
        raise WrongAnswerError(f"{FRAMES} frames in {LATEST_CLIPS} clips; answers: {answers}")
    videos = {
        REPLACED: (_old_video(directory), clips),
        OURS: (workspace_in(directory).layout.latest_video(CAMERA), clips),
        LIMIT: (_newest_video(directory), clips[-1:]),
    }
    for name, (video, sources) in videos.items():
        # Every fifth frame: over several clips this covers each position in a clip.
        if (psnr := lowest_psnr(video, sources, every=5)) < _MIN_PSNR:
            raise WrongAnswerError(f"{name}: a PSNR of only {psnr:.1f} dB against its clips")
