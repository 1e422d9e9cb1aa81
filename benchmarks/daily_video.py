"""Measures a daily video of 24 compatible clips: joined (ours), re-encoded (in use today), copied (limit)."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.videos import build_daily_video
from aurora_platform.fs.atomic import publish_file
from benchmarks.inputs import DAY, NOW, camera_day, workspace_in
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.old_videos import clips_in, encode, frames_of, lowest_psnr
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

CAMERA = "fish_hdr"
EVERY = timedelta(minutes=5)
FRAMES = timedelta(days=1) // EVERY
_BLOCK = 1 << 20  # bytes
_MIN_PSNR = 35.0  # dB; video encoded at CRF 18 has a higher PSNR against its source


def run(bench: Bench) -> Result:
    """Measure the three methods."""
    with bench.directory() as directory:
        bench.log("writing a camera day")
        refresh_day(camera_day(directory, EVERY), DAY, NOW)
        methods = {
            REPLACED: Method(replaced, (directory,), remove_replaced),
            OURS: Method(ours, (directory,), remove_ours),
            LIMIT: Method(copy_bytes, (directory,), remove_copy),
        }
        found = alternately(methods, partial(_check, directory, bench), bench.rounds, bench.log)
        megabytes = sum(clip.stat().st_size for clip in clips_in(directory)) / 1e6
    old, mine, least = (Figure.of(found[name]) for name in (REPLACED, OURS, LIMIT))
    return Result(
        "daily_video",
        f"Daily video of 24 H.264 clips, {megabytes:.0f} MB",
        [
            times_faster(
                "in use today: concat and re-encode, libx264 veryfast, CRF 18, yuv420p, faststart", old, mine, 50
            ),
            times_longer("limit: copying the clips' bytes", least, mine, 3),
        ],
        [
            f"FISH, 3120 x 3040, an image every 5 min: {FRAMES // 24} frames per clip, {FRAMES} in total; all in the "
            "page cache. Ours has the catalogue, as in a run, but no video yet.",
            "Ours and the copy are flushed to disk before they get their names. The re-encoded video is not flushed.",
        ],
    )


def ours(directory: Path) -> int:
    """Build the video as the asset does; return its number of frames."""
    return build_daily_video(workspace_in(directory), CAMERA, DAY, NOW).frames


def remove_ours(directory: Path) -> None:
    workspace_in(directory).layout.video(CAMERA, DAY).unlink(missing_ok=True)


def replaced(directory: Path) -> int:
    """Decode and encode everything."""
    return encode(clips_in(directory), _old_video(directory))


def remove_replaced(directory: Path) -> None:
    _old_video(directory).unlink(missing_ok=True)


def _old_video(directory: Path) -> Path:
    return directory / "replaced.mp4"


def copy_bytes(directory: Path) -> int:
    """Copy the bytes of all clips to one file, published like ours; return its size."""
    staged = directory / "copy.part"
    with staged.open("wb") as target:
        for clip in clips_in(directory):
            with clip.open("rb") as source:
                shutil.copyfileobj(source, target, _BLOCK)
    publish_file(staged, _copy(directory))
    return _copy(directory).stat().st_size


def remove_copy(directory: Path) -> None:
    _copy(directory).unlink(missing_ok=True)


def _copy(directory: Path) -> Path:
    return directory / "copy"


def _check(directory: Path, bench: Bench, answers: Mapping[str, Any]) -> None:
    """Check that ours has the frames of the clips in order, that the re-encoded video is similar, the copy complete."""
    bench.log("decoding the results")
    clips = clips_in(directory)
    if answers[OURS] != FRAMES or answers[REPLACED] != FRAMES:
        raise WrongAnswerError(f"{FRAMES} frames in the clips; answers: {answers}")
    if hashes_of([workspace_in(directory).layout.video(CAMERA, DAY)]) != hashes_of(clips):
        raise WrongAnswerError("our video does not decode to the frames of the clips")
    if (psnr := lowest_psnr(_old_video(directory), clips, every=FRAMES // 24)) < _MIN_PSNR:
        raise WrongAnswerError(f"the re-encoded video has a PSNR of only {psnr:.1f} dB against the clips")
    joined = b"".join(clip.read_bytes() for clip in clips)
    if _copy(directory).read_bytes() != joined or answers[LIMIT] != len(joined):
        raise WrongAnswerError("the copy differs from the bytes of the clips")


def hashes_of(videos: Sequence[Path]) -> list[str]:
    """Return a hash of the samples of each frame of several videos, in order."""
    return [hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() for path in videos for frame in frames_of(path)]
