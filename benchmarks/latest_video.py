"""The latest video when one new clip has come, of clips that need conversion: only the new one is encoded."""

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
from benchmarks.old_videos import QUALITY, clips_in, encode, nearness
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

CAMERA = "fish_hdr"
EVERY = timedelta(minutes=5)
FRAMES = timedelta(days=1) // EVERY
# As the product converts: without B-frames, so that any clip can follow.
_CONVERSION = {**QUALITY, "x264-params": "bframes=0"}
_LIKE = 35.0  # dB; what is encoded at CRF 18 is nearer to its source than this


def run(bench: Bench) -> Result:
    """Measure it."""
    with bench.directory() as place:
        bench.log("making a camera's day")
        camera_day(place, EVERY, codec="mpeg4")
        bench.log("converting all clips but the newest")
        _make_the_hour_before(place)
        methods = {
            REPLACED: Method(replaced, (place,), forget_replaced),
            OURS: Method(ours, (place,), back_to_the_hour_before),
            LIMIT: Method(one_encoded, (place,), forget_one),
        }
        found = alternately(methods, partial(_check, place, bench), bench.rounds, bench.log)
    old, mine, least = (Figure.of(found[name]) for name in (REPLACED, OURS, LIMIT))
    return Result(
        "latest_video",
        f"Latest video of {LATEST_CLIPS} clips that need conversion, one of them new",
        [
            times_faster("in use today: re-encode all 24, libx264 veryfast, CRF 18, yuv420p, faststart", old, mine, 20),
            times_longer("limit: encode the new one", least, mine, 1.5),
        ],
        [
            f"FISH, 3120 x 3040, MPEG-4 part 2, an image every 5 min: {FRAMES // 24} frames a clip; cached in memory. "
            "Ours has the catalogue at hand, the conversions of the 23 clips before, and the video of an hour ago.",
            "The limit encodes as ours does, without B-frames, which takes less time than what is in use today spends "
            "on a clip. That a target stands at the limit too is ours.",
            "Ours is flushed to disk, the converted clip and the video. The others are not.",
        ],
    )


def ours(place: Path) -> tuple[int, int, int]:
    """The asset's own work; returns frames, and clips that were converted now and before."""
    report = build_latest_video(workspace_in(place), CAMERA, NOW)
    return report.frames, report.converted, report.kept_conversions


def _make_the_hour_before(place: Path) -> None:
    workspace, newest = workspace_in(place), clips_in(place)[-1]
    hidden = place / newest.name
    newest.rename(hidden)
    refresh_day(workspace, DAY, NOW)
    build_latest_video(workspace, CAMERA, NOW)
    shutil.copytree(workspace.layout.products, _before(place), ignore=shutil.ignore_patterns("wxcam_catalog*"))
    hidden.rename(newest)
    refresh_day(workspace, DAY, NOW)


def back_to_the_hour_before(place: Path) -> None:
    products = workspace_in(place).layout.products
    for saved in _before(place).iterdir():
        shutil.rmtree(products / saved.name, ignore_errors=True)
        shutil.copytree(saved, products / saved.name)


def _before(place: Path) -> Path:
    return place / "before"


def replaced(place: Path) -> int:
    """Decode and encode everything."""
    return encode(clips_in(place), _old_video(place))


def forget_replaced(place: Path) -> None:
    _old_video(place).unlink(missing_ok=True)


def _old_video(place: Path) -> Path:
    return place / "replaced.mp4"


def one_encoded(place: Path) -> int:
    """Decode and encode the newest clip, as the product does."""
    return encode(clips_in(place)[-1:], _one(place), muxing={}, options=_CONVERSION)


def forget_one(place: Path) -> None:
    _one(place).unlink(missing_ok=True)


def _one(place: Path) -> Path:
    return place / "one.mp4"


def _check(place: Path, bench: Bench, answers: Mapping[str, Any]) -> None:
    """Each video has all frames of its clips, in their order, and looks like them; one clip was converted in ours."""
    bench.log("decoding what was made")
    clips, in_one = clips_in(place), FRAMES // LATEST_CLIPS
    if answers != {REPLACED: FRAMES, OURS: (FRAMES, 1, LATEST_CLIPS - 1), LIMIT: in_one}:
        raise WrongAnswerError(f"{FRAMES} frames in {LATEST_CLIPS} clips there; done: {answers}")
    made = {
        REPLACED: (_old_video(place), clips),
        OURS: (workspace_in(place).layout.latest_video(CAMERA), clips),
        LIMIT: (_one(place), clips[-1:]),
    }
    for name, (video, sources) in made.items():
        # Every fifth, so that each place within a clip has its turn.
        if (nearest := nearness(video, sources, every=5)) < _LIKE:
            raise WrongAnswerError(f"{name}: {nearest:.1f} dB near to its clips")
