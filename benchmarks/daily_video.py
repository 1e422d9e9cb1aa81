"""A day's video of 24 clips that fit together: joined, encoded again, and their bytes copied."""

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
from benchmarks.old_videos import clips_in, encode, frames_of, nearness
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

CAMERA = "fish_hdr"
EVERY = timedelta(minutes=5)
FRAMES = timedelta(days=1) // EVERY
_COPIED_AT_ONCE = 1 << 20  # bytes
_LIKE = 35.0  # dB; what is encoded at CRF 18 is nearer to its source than this


def run(bench: Bench) -> Result:
    """Measure it."""
    with bench.directory() as place:
        bench.log("making a camera's day")
        refresh_day(camera_day(place, EVERY), DAY, NOW)
        methods = {
            REPLACED: Method(replaced, (place,), forget_replaced),
            OURS: Method(ours, (place,), forget_ours),
            LIMIT: Method(copied, (place,), forget_copy),
        }
        found = alternately(methods, partial(_check, place, bench), bench.rounds, bench.log)
        megabytes = sum(clip.stat().st_size for clip in clips_in(place)) / 1e6
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
            f"FISH, 3120 x 3040, an image every 5 min: {FRAMES // 24} frames a clip, {FRAMES} in all; all in the page "
            "cache. Ours has the catalogue at hand, as a run has, and not the video.",
            "Ours is flushed to disk before it gets its name. So is the copy; what is encoded again is not.",
        ],
    )


def ours(place: Path) -> int:
    """The asset's own work; returns the frames that the video has."""
    return build_daily_video(workspace_in(place), CAMERA, DAY, NOW).frames


def forget_ours(place: Path) -> None:
    workspace_in(place).layout.video(CAMERA, DAY).unlink(missing_ok=True)


def replaced(place: Path) -> int:
    """Decode and encode everything."""
    return encode(clips_in(place), _old_video(place))


def forget_replaced(place: Path) -> None:
    _old_video(place).unlink(missing_ok=True)


def _old_video(place: Path) -> Path:
    return place / "replaced.mp4"


def copied(place: Path) -> int:
    """All clips' bytes in one file, published as ours is; returns how many they are."""
    staged = place / "copy.part"
    with staged.open("wb") as target:
        for clip in clips_in(place):
            with clip.open("rb") as source:
                shutil.copyfileobj(source, target, _COPIED_AT_ONCE)
    publish_file(staged, _copy(place))
    return _copy(place).stat().st_size


def forget_copy(place: Path) -> None:
    _copy(place).unlink(missing_ok=True)


def _copy(place: Path) -> Path:
    return place / "copy"


def _check(place: Path, bench: Bench, answers: Mapping[str, Any]) -> None:
    """Ours has the clips' own frames in their order, what was encoded again looks like them, the copy is whole."""
    bench.log("decoding what was made")
    clips = clips_in(place)
    if answers[OURS] != FRAMES or answers[REPLACED] != FRAMES:
        raise WrongAnswerError(f"{FRAMES} frames there; done: {answers}")
    if hashes_of([workspace_in(place).layout.video(CAMERA, DAY)]) != hashes_of(clips):
        raise WrongAnswerError("ours decodes to other frames than its clips")
    if (nearest := nearness(_old_video(place), clips, every=FRAMES // 24)) < _LIKE:
        raise WrongAnswerError(f"what was encoded again is {nearest:.1f} dB near to the clips")
    joined = b"".join(clip.read_bytes() for clip in clips)
    if _copy(place).read_bytes() != joined or answers[LIMIT] != len(joined):
        raise WrongAnswerError("the copy is not the clips' bytes")


def hashes_of(videos: Sequence[Path]) -> list[str]:
    """A hash of the samples of each frame of several videos, in order."""
    return [hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() for path in videos for frame in frames_of(path)]
