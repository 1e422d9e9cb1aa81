"""Looking at products without touching them: does each agree with what it was made from?

Each function returns a :class:`CheckReport`. It compares by another way than the product was made: files against rows,
packets against clips, store against catalogue. Nothing is written.
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
from aurora_platform.cameras.exclusions import inputs_of, inputs_of_none
from aurora_platform.cameras.filenames import epoch_ns
from aurora_platform.cameras.hours import is_closed, is_complete, published
from aurora_platform.cameras.media import inspect_clip, open_clip
from aurora_platform.cameras.pixels import INPUTS_SHA256, excluded_from
from aurora_platform.cameras.raw_tree import scan_day
from aurora_platform.cameras.recipes import LATEST_CLIPS, PIXELS, VIDEO
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.check_report import CheckReport
from aurora_platform.errors import MediaError
from aurora_platform.fs.versions import FileVersion, data_version
from aurora_platform.streams.settled import is_settled

_HOUR = timedelta(hours=1)


def catalog_matches_raw(workspace: CameraWorkspace, day: date, now: datetime) -> CheckReport:
    """Every settled file of the day stands in the catalogue as it is, and nothing else does."""
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
            report.add_wrong("changed since" if row else "files without a row", file.scanned.path)
    for path in (rows.keys() | unreadable.keys()) - files.keys():
        report.add_wrong("rows without a file", path)
    report.numbers = {"files": len(files), "rows": len(rows), "unreadable": len(unreadable)}
    return report


def no_unreadable_media(workspace: CameraWorkspace, day: date) -> CheckReport:
    """No settled file of the day was found unreadable."""
    report = CheckReport(f"media of {day}")
    with open_readonly(workspace.layout.catalog) as db:
        unreadable = day_unreadable(db, workspace.layout.raw, day)
    for path, found in sorted(unreadable.items()):
        report.add_wrong("unreadable", f"{Path(path).name}: {found.reason}")
    report.numbers = {"unreadable": len(unreadable)}
    return report


def daily_video_plays(workspace: CameraWorkspace, camera: str, day: date) -> CheckReport:
    """A day's video plays and has the frames of its clips; those that it says it leaves out are named."""
    with open_readonly(workspace.layout.catalog) as db:
        clips = day_media(db, day, camera, "video")
    return _video_plays(workspace, workspace.layout.video(camera, day), clips)


def latest_video_plays(workspace: CameraWorkspace, camera: str) -> CheckReport:
    """The latest video plays and has the frames of the newest clips; those that it leaves out are named."""
    with open_readonly(workspace.layout.catalog) as db:
        clips = newest_clips(db, camera, LATEST_CLIPS)
    return _video_plays(workspace, workspace.layout.latest_video(camera), clips)


def _video_plays(workspace: CameraWorkspace, path: Path, listed: Sequence[Media]) -> CheckReport:
    report = CheckReport(f"video {path.name}")
    said = inputs_of(path) if path.is_file() else inputs_of_none(workspace, path)
    # What it says of another set of clips, or of earlier versions of them, says nothing of these.
    if said and said.data_version == data_version(VIDEO, (clip.scanned for clip in listed)):
        report.excluded = said.excluded
    clips = [clip for clip in listed if clip.relative_path not in report.excluded]
    expected = sum(_frames_of(clip, report) for clip in clips)
    report.numbers = {"clips": len(listed), "frames_of_clips": expected, "excluded": len(report.excluded)}
    if not path.is_file():
        if clips:
            report.add_wrong("clips without a video", path.name)
        return report
    try:
        video = inspect_clip(path)
        report.numbers |= {"frames": video.frames, "duration_s": float(video.seconds), "bytes": path.stat().st_size}
        if video.frames != expected:
            report.add_wrong("frames more or less than its clips have", f"{video.frames} instead of {expected}")
        if (video.codec, video.pixel_format) != ("h264", "yuv420p"):
            report.add_wrong("format that browsers may not play", f"{video.codec} {video.pixel_format}")
        for wanted in (0.0, 0.5, 0.999):
            _decodes(path, wanted)
    except (MediaError, av.FFmpegError) as error:
        report.add_wrong("failure to play", str(error))
    if not is_faststart(path):
        report.add_wrong("index at the end (a browser must load all of it first)", path.name)
    return report


def _frames_of(clip: Media, report: CheckReport) -> int:
    """The frames that a clip's own index says it shows."""
    try:
        return _shown_frames(clip.path, clip.version)
    except (MediaError, IndexError) as error:
        report.add_wrong("clips that cannot be read", f"{clip.relative_path}: {error}")
        return 0


@lru_cache(maxsize=512)
def _shown_frames(path: Path, version: FileVersion) -> int:
    """Count the frames in a clip's index. Kept per version of the file: the latest video has the day's clips too."""
    with open_clip(path) as container:
        return sum(not entry.is_discard for entry in container.streams.video[0].index_entries)


def _decodes(path: Path, fraction: float) -> None:
    """Decode the keyframe before a point of a video; raises what FFmpeg raises."""
    with open_clip(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        container.seek(int((stream.duration or 0) * fraction), stream=stream)
        if next(container.decode(stream), None) is None:
            raise MediaError(f"no picture at {fraction:.0%} of it")


def is_faststart(path: Path) -> bool:
    """Whether an MP4's index (``moov``) stands before its data (``mdat``), by its top-level boxes."""
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
    """Every closed hour that has an image has its thumbnail."""
    wanted = [hour for hour in hours if is_closed(workspace, hour, now)]
    report = CheckReport(f"thumbnails of {len(wanted)} closed hours")
    have: dict[date, dict[int, Path]] = {}
    found = 0
    with open_readonly(workspace.layout.catalog) as db:
        for hour in wanted:
            if not is_complete(db, workspace, camera, hour, now):
                continue
            day = hour.date()
            if day not in have:
                have[day] = published(workspace, camera, day)
            if hour.hour in have[day]:
                found += 1
            elif media_between(db, camera, "image", epoch_ns(hour), epoch_ns(hour + _HOUR)):
                report.add_wrong("hours with images and no thumbnail", f"{hour:%Y-%m-%d %H}:00")
    report.numbers = {"closed_hours": len(wanted), "thumbnails": found}
    return report


def pixels_match_catalog(workspace: CameraWorkspace, camera: str, day: date) -> CheckReport:
    """The times of a day's pixels are sorted, unique and those of the catalogue's images, and every chunk is there.

    Images that the group says it leaves out are named.
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
    # What it says of another set of images, or of earlier versions of them, says nothing of these.
    if group.attrs.get(INPUTS_SHA256) == data_version(PIXELS, (m.scanned for m in media)):
        report.excluded = excluded_from(group)
    report.numbers |= {"frames": len(times), "excluded": len(report.excluded)}
    for earlier, later in pairwise(times):
        if later <= earlier:
            report.add_wrong("times not after the one before", str(np.datetime64(later, "ns")))
    for time_ns in set(times) - {m.time_ns for m in media}:
        report.add_wrong("frames that the catalogue does not have", str(np.datetime64(time_ns, "ns")))
    inside = set(times)
    named = excluded_from(group)
    for m in media:
        # Two files of one time are one frame; the attributes name the other.
        if m.relative_path not in report.excluded and (m.time_ns not in inside or m.relative_path in named):
            report.add_wrong("images that are not in the array", m.relative_path)
    for index, size in enumerate(sizes):
        chunk = root / "image" / f"c.{index}.0.0.0"
        if not chunk.is_file() or chunk.stat().st_size != size:
            report.add_wrong("chunks missing or of another size", chunk.name)
    return report
