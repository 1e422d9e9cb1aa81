"""An input that changed since it was catalogued waits for the next run; the published product keeps all its content."""

from pathlib import Path

import pytest

from aurora_platform.cameras import videos
from aurora_platform.cameras.pixels import build_pixels
from aurora_platform.cameras.videos import build_daily_video
from tests.cameras.sample_media import DAY, NOW, Film, Sky, at, jpeg


def file_version(path: Path) -> tuple[int, int]:
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_pixels_keep_all_their_frames_while_a_new_version_of_one_waits(sky: Sky) -> None:
    paths = [sky.image(at(10, minute)) for minute in (0, 10, 20)]
    sky.refresh()
    assert build_pixels(sky.workspace, "fish_hdr", DAY, NOW).frames == 3
    group = sky.layout.pixels("fish_hdr", DAY)
    before = file_version(group)
    sky.put(paths[1], jpeg(99), ns=5)
    waiting = build_pixels(sky.workspace, "fish_hdr", DAY, NOW)
    assert (waiting.built, waiting.waiting.total) == (False, 1)
    assert file_version(group) == before
    sky.refresh()
    after = build_pixels(sky.workspace, "fish_hdr", DAY, NOW)
    assert (after.built, after.frames, after.decoded) == (True, 3, 1)


def test_a_video_keeps_all_its_clips_while_a_new_version_of_one_waits(sky: Sky) -> None:
    paths = [sky.clip(at(hour)) for hour in (10, 11)]
    sky.refresh()
    build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
    target = sky.layout.video("fish_hdr", DAY)
    before = file_version(target)
    sky.put(paths[1], Film().encode(99), ns=5)
    waiting = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
    assert (waiting.built, waiting.waiting.total) == (False, 1)
    assert file_version(target) == before
    sky.refresh()
    assert build_daily_video(sky.workspace, "fish_hdr", DAY, NOW).built


def test_a_video_is_not_published_if_a_clip_was_replaced_while_it_was_joined(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [sky.clip(at(hour)) for hour in (10, 11)]
    sky.refresh()
    join_clips = videos.join_clips

    def replace_clip_and_join(*arguments: object) -> None:
        sky.put(paths[1], Film().encode(99), ns=5)
        join_clips(*arguments)

    monkeypatch.setattr(videos, "join_clips", replace_clip_and_join)
    report = build_daily_video(sky.workspace, "fish_hdr", DAY, NOW)
    assert (report.built, report.waiting.total) == (False, 1)
    assert not sky.layout.video("fish_hdr", DAY).exists()
    monkeypatch.undo()
    sky.refresh()
    assert build_daily_video(sky.workspace, "fish_hdr", DAY, NOW).built
