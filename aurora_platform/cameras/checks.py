"""Checks that each product agrees with its inputs. They only read.

Each function returns a :class:`CheckReport`. It compares in another way than the product was made: files with rows,
packets with clips, store with catalogue.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import zarr

from aurora_platform.cameras.catalog import (
    Media,
    day_media,
    day_unreadable,
    media_between,
    newest_clips,
    open_readonly,
)
from aurora_platform.cameras.filenames import epoch_ns
from aurora_platform.cameras.hours import is_closed, is_complete, published
from aurora_platform.cameras.media import inspect_clip, open_clip
from aurora_platform.cameras.pixels import INPUTS_SHA256, read_excluded
from aurora_platform.cameras.raw_tree import scan_day
from aurora_platform.cameras.recipes import LATEST_CLIPS, PIXELS, VIDEO
from aurora_platform.cameras.video_inputs import read_inputs, read_no_video_record
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.check_report import CheckReport
from aurora_platform.errors import MediaError
from aurora_platform.fs.versions import FileVersion, data_version
from aurora_platform.streams.settled import is_settled

_HOUR = timedelta(hours=1)


def catalog_matches_raw(workspace: CameraWorkspace, day: date, now: datetime) -> CheckReport:
    """Check that the catalogue has a current row for every settled file of the day, and no other rows."""
    report = CheckReport(f"catalogue of {day}")
    with open_readonly(workspace.layout.catalog) as db:
        rows = {m.raw_path: m for m in day_media(db, day)}
        unreadable = day_unreadable(db, workspace.layout.raw, day)
    now_ns = int(now.timestamp() * 1e9)
    files = {f.raw_path: f for f in scan_day(workspace.layout.raw, day)}
    for path, file in files.items():
        row = rows.get(path)
        version = file.scanned.version
        if path in unreadable and unreadable[path].version == version:
            continue
        if row is not None and row.version == version:
            continue
        if is_settled(version.mtime_ns, now_ns, workspace.settle):
            report.add_wrong(
                "files changed since they were catalogued" if row else "files without a row", file.scanned.path
            )
    for path in (rows.keys() | unreadable.keys()) - files.keys():
        report.add_wrong("rows without a file", path)
    report.numbers = {"files": len(files), "rows": len(rows), "unreadable": len(unreadable)}
    return report


def no_unreadable_media(workspace: CameraWorkspace, day: date) -> CheckReport:
    """Check that no settled file of the day is unreadable."""
    report = CheckReport(f"media of {day}")
    with open_readonly(workspace.layout.catalog) as db:
        unreadable = day_unreadable(db, workspace.layout.raw, day)
    for path, entry in sorted(unreadable.items()):
        report.add_wrong("unreadable", f"{Path(path).name}: {entry.reason}")
    report.numbers = {"unreadable": len(unreadable)}
    return report


def daily_video_plays(workspace: CameraWorkspace, camera: str, day: date) -> CheckReport:
    """Check that a day's video plays and has all frames of its clips; list the clips that it excludes."""
    with open_readonly(workspace.layout.catalog) as db:
        clips = day_media(db, day, camera, "video")
    return _video_plays(workspace, workspace.layout.video(camera, day), clips)


def latest_video_plays(workspace: CameraWorkspace, camera: str) -> CheckReport:
    """Check that the latest video plays and has all frames of the newest clips; list the clips that it excludes."""
    with open_readonly(workspace.layout.catalog) as db:
        clips = newest_clips(db, camera, LATEST_CLIPS)
    return _video_plays(workspace, workspace.layout.latest_video(camera), clips)


def _video_plays(workspace: CameraWorkspace, path: Path, listed: Sequence[Media]) -> CheckReport:
    report = CheckReport(f"video {path.name}")
    recorded = read_inputs(path) if path.is_file() else read_no_video_record(workspace, path)
    # Exclusions that were recorded for other clips, or for other versions of these, do not count.
    if recorded and recorded.data_version == data_version(VIDEO, (clip.scanned for clip in listed)):
        report.excluded = recorded.excluded
    clips = [clip for clip in listed if clip.relative_path not in report.excluded]
    expected = sum(_count_frames(clip, report) for clip in clips)
    report.numbers = {"clips": len(listed), "frames_of_clips": expected, "excluded": len(report.excluded)}
    if not path.is_file():
        if clips:
            report.add_wrong("clips without a video", path.name)
        return report
    try:
        video = inspect_clip(path)
        report.numbers |= {"frames": video.frames, "duration_s": float(video.seconds), "bytes": path.stat().st_size}
        if video.frames != expected:
            report.add_wrong("frame count different from its clips", f"{video.frames} instead of {expected}")
        if (video.codec, video.pixel_format) != ("h264", "yuv420p"):
            report.add_wrong("format that browsers may not play", f"{video.codec} {video.pixel_format}")
        for fraction in (0.0, 0.5, 0.999):
            _check_keyframe(path, fraction)
    except (MediaError, av.FFmpegError) as error:
        report.add_wrong("playback error", str(error))
    if not is_faststart(path):
        report.add_wrong("index at the end (a browser must load the whole file before it plays)", path.name)
    return report


def _count_frames(clip: Media, report: CheckReport) -> int:
    """Count the frames of a clip by its own index, without those that an edit list hides."""
    try:
        return _count_frames_in_index(clip.path, clip.version)
    except (MediaError, IndexError) as error:
        report.add_wrong("clips that cannot be read", f"{clip.relative_path}: {error}")
        return 0


@lru_cache(maxsize=512)
def _count_frames_in_index(path: Path, version: FileVersion) -> int:
    """Count the frames in a clip's index. Cached per file version: the latest video has the day's clips too."""
    with open_clip(path) as container:
        return sum(not entry.is_discard for entry in container.streams.video[0].index_entries)


def _check_keyframe(path: Path, fraction: float) -> None:
    """Decode the keyframe before a point of a video (``fraction`` of its duration); raises FFmpeg's errors."""
    with open_clip(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        container.seek(int((stream.duration or 0) * fraction), stream=stream)
        if next(container.decode(stream), None) is None:
            raise MediaError(f"no picture at {fraction:.0%} of its duration")


def is_faststart(path: Path) -> bool:
    """Whether an MP4's index (``moov``) comes before its data (``mdat``), by its top-level boxes."""
    with path.open("rb") as file:
        position, end = 0, path.stat().st_size
        while position + 8 <= end:
            file.seek(position)
            header = file.read(16)
            size, kind = int.from_bytes(header[:4]), header[4:8]
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            if size == 1:  # the true size follows
                size = int.from_bytes(header[8:16])
            if size < 8:
                return False
            position += size
    return False


def hours_have_thumbnails(
    workspace: CameraWorkspace, camera: str, hours: Iterable[datetime], now: datetime
) -> CheckReport:
    """Check that every closed and complete hour with images has a thumbnail."""
    closed = [hour for hour in hours if is_closed(workspace, hour, now)]
    report = CheckReport(f"thumbnails of {len(closed)} closed hours")
    thumbnails: dict[date, dict[int, Path]] = {}
    found = 0
    with open_readonly(workspace.layout.catalog) as db:
        for hour in closed:
            if not is_complete(db, workspace, camera, hour, now):
                continue
            day = hour.date()
            if day not in thumbnails:
                thumbnails[day] = published(workspace, camera, day)
            if hour.hour in thumbnails[day]:
                found += 1
            elif media_between(db, camera, "image", epoch_ns(hour), epoch_ns(hour + _HOUR)):
                report.add_wrong("hours with images and no thumbnail", f"{hour:%Y-%m-%d %H}:00")
    report.numbers = {"closed_hours": len(closed), "thumbnails": found}
    return report


def pixels_match_catalog(workspace: CameraWorkspace, camera: str, day: date) -> CheckReport:
    """Check that a day's pixels have sorted, unique times, those of the catalogue's images, and all chunks.

    Images that the group's attributes exclude are listed.
    """
    report = CheckReport(f"pixels of {day}")
    with open_readonly(workspace.layout.catalog) as db:
        media = day_media(db, day, camera, "image")
    root = workspace.layout.pixels(camera, day)
    report.numbers = {"images": len(media)}
    if not (root / "zarr.json").is_file():
        if media:
            report.add_wrong("images without a pixel group", root.name)
        return report
    group = zarr.open_group(root, mode="r")
    times = np.asarray(group["time"]).tolist()
    sizes = np.asarray(group["size_bytes"]).tolist()
    # Exclusions that were recorded for other images, or for other versions of these, do not count.
    if group.attrs.get(INPUTS_SHA256) == data_version(PIXELS, (m.scanned for m in media)):
        report.excluded = read_excluded(group)
    report.numbers |= {"frames": len(times), "excluded": len(report.excluded)}
    for earlier, later in pairwise(times):
        if later <= earlier:
            report.add_wrong("times out of order", str(np.datetime64(later, "ns")))
    for time_ns in set(times) - {m.time_ns for m in media}:
        report.add_wrong("frames without a row in the catalogue", str(np.datetime64(time_ns, "ns")))
    frame_times = set(times)
    excluded_by_group = read_excluded(group)
    for m in media:
        if m.relative_path in report.excluded:
            continue
        # Two files with the same time share one frame; the attributes list the other file.
        if m.time_ns not in frame_times or m.relative_path in excluded_by_group:
            report.add_wrong("images missing from the array", m.relative_path)
    for index, size in enumerate(sizes):
        chunk = root / "image" / f"c.{index}.0.0.0"
        if not chunk.is_file() or chunk.stat().st_size != size:
            report.add_wrong("chunks missing or of the wrong size", chunk.name)
    return report
