"""Daily and latest videos: the camera's hourly clips, joined by copying their compressed frames.

Nothing is decoded or encoded for clips that fit together; those that do not are converted once and kept in ``.clips/``
(:mod:`aurora_platform.cameras.clips`). The joined file begins with its index (faststart), so that browsers can play and
seek at once, and says what it was made from and what it leaves out (:mod:`aurora_platform.cameras.exclusions`). A clip
that cannot be joined or converted is left out of the video and stays in the catalogue.
"""

import io
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path

import av

from aurora_platform.cameras import recipes
from aurora_platform.cameras.catalog import (
    Media,
    as_catalogued,
    day_media,
    mark_unreadable,
    newest_clips,
    open_readonly,
)
from aurora_platform.cameras.clips import Dialect, common_dialect, convert, converted_name
from aurora_platform.cameras.exclusions import Inputs, inputs_of, inputs_of_none, note_none
from aurora_platform.cameras.filenames import CAMERAS, from_epoch_ns
from aurora_platform.cameras.h264 import merged_header
from aurora_platform.cameras.media import (
    TROUBLE,
    VERSIONS,
    Clip,
    entry_points,
    inspect_clip,
    is_of_the_machine,
    open_clip,
    said,
)
from aurora_platform.cameras.readers import prove_playable
from aurora_platform.cameras.reports import VideoReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import MediaError, UnreadableError
from aurora_platform.fs.atomic import publish_file, remove
from aurora_platform.fs.versions import data_version
from aurora_platform.layout import compact
from aurora_platform.text import printable

RECIPE = recipes.VIDEO
POSTER_SIDE = 540  # px
# Bytes: all boxes without their tables, and the most that the tables hold of a frame (stts 8, ctts 8, stsc 12, stsz 4,
# stss 4, sdtp 1, co64 8). What is left over becomes a `free` box.
_INDEX_ROOM, _INDEX_ROOM_A_FRAME = 8192, 45
_COMMON_CLOCK = Fraction(1, 90_000)  # s; where clips count time differently


def build_daily_video(workspace: CameraWorkspace, camera: str, day: date, now: datetime) -> VideoReport:
    """Bring a day's video up to date with the catalogue; nothing is written where its clips are the same."""
    with open_readonly(workspace.layout.catalog) as db:
        listed = day_media(db, day, camera, "video")
    report = VideoReport(camera, workspace.layout.video(camera, day))
    _build(workspace, listed, report, f"{CAMERAS[camera].label}, {day.isoformat()} UTC", compact(day), now)
    _forget_conversions(workspace, camera, day, listed)
    return report


def build_latest_video(workspace: CameraWorkspace, camera: str, now: datetime) -> VideoReport:
    """Bring the video of the newest 24 clips up to date, across midnight."""
    with open_readonly(workspace.layout.catalog) as db:
        listed = newest_clips(db, camera, recipes.LATEST_CLIPS)
    report = VideoReport(camera, workspace.layout.latest_video(camera))
    _build(workspace, listed, report, f"{CAMERAS[camera].label}, latest", "latest", now)
    return report


def _build(
    workspace: CameraWorkspace, listed: list[Media], report: VideoReport, title: str, name: str, now: datetime
) -> None:
    started = time.monotonic()
    with workspace.staging.claim(f"video.{report.camera}.{name}") as staged:
        media = as_catalogued(listed, report.waiting)
        report.data_version = data_version(RECIPE, (m.scanned for m in media))
        published = inputs_of(report.target)
        same = published is not None and published.data_version == report.data_version and published.is_final
        if published and (report.waiting.total or same):
            # It may hold what waits now; the next pass has all of it.
            report.data_version, report.excluded = published.data_version, published.excluded
        elif media and not _cannot_be(workspace, report):
            _make(workspace, media, staged, title, report, now)
        considered = [m for m in media if m.relative_path not in report.unreadable]
        if considered:  # also where all are excluded, and there is no video
            report.span = (from_epoch_ns(considered[0].time_ns), from_epoch_ns(considered[-1].time_ns))
        if media and report.target.is_file():
            _describe(report, considered)
    report.seconds = time.monotonic() - started


def _cannot_be(workspace: CameraWorkspace, report: VideoReport) -> bool:
    """Whether it is known that no video can be made from these clips."""
    known = inputs_of_none(workspace, report.target)
    if known is None or known.data_version != report.data_version or not known.is_final:
        return False
    report.excluded = known.excluded
    return True


def _make(
    workspace: CameraWorkspace, media: Sequence[Media], staged: Path, title: str, report: VideoReport, now: datetime
) -> None:
    clips = _joinable(workspace, media, report, now)
    good = [m for m in media if m.relative_path not in report.unreadable]
    report.data_version = data_version(RECIPE, (m.scanned for m in good))
    while clips:
        try:
            join(list(clips.values()), staged, title, Inputs(report.data_version, report.excluded))
        except _UnjoinableError as error:
            (m,) = (m for m, clip in clips.items() if clip is error.clip)
            _leave_out(m, error, report)
            del clips[m]
        else:
            break
    # A clip that was replaced meanwhile may stand in it with half of each version.
    if len(as_catalogued(good, report.waiting)) != len(good):
        return
    if clips:
        publish_file(staged, report.target)
        report.built = True
    elif good:
        remove(staged)
        note_none(workspace, report.target, Inputs(report.data_version, report.excluded), staged)


def _leave_out(media: Media, error: MediaError, report: VideoReport) -> None:
    kind = report.unreadable if isinstance(error, UnreadableError) else report.excluded
    kind[media.relative_path] = printable(str(error))


def _joinable(
    workspace: CameraWorkspace, media: Sequence[Media], report: VideoReport, now: datetime
) -> dict[Media, Clip]:
    """The clips in one dialect, converted where needed. Those that cannot be are left out, with the reason."""
    found: dict[Media, Clip] = {}
    for m in media:
        try:
            found[m] = _inspected(m)
        except MediaError as error:
            _leave_out(m, error, report)
    while (clips := _in_one_dialect(workspace, found, report)).keys() != found.keys():
        # Once more without those that were left out: they have no say in the size of the others.
        found = {m: found[m] for m in clips}
    bad = report.unreadable
    mark_unreadable(workspace, ((m, bad[m.relative_path]) for m in media if m.relative_path in bad), now)
    return clips


def _in_one_dialect(workspace: CameraWorkspace, found: Mapping[Media, Clip], report: VideoReport) -> dict[Media, Clip]:
    dialect = common_dialect(list(found.values())) if found else None
    clips = {}
    for m, clip in found.items():
        assert dialect is not None  # there is one clip at least
        try:
            clips[m] = clip if dialect.fits(clip) else _converted(workspace, m, clip, dialect, report)
        except MediaError as error:
            _leave_out(m, error, report)
    return clips


def _inspected(media: Media) -> Clip:
    try:
        return inspect_clip(media.path)
    except MediaError:
        prove_playable(media.path)  # or it is unreadable
        raise


def _converted(workspace: CameraWorkspace, media: Media, clip: Clip, dialect: Dialect, report: VideoReport) -> Clip:
    """The clip as it was converted, now or before; what these versions cannot convert they do not try again."""
    day = from_epoch_ns(media.time_ns).date()
    target = workspace.layout.converted_clips(report.camera, day) / converted_name(media.scanned, dialect)
    refusal = target.with_suffix(".txt")
    # Claimed, so that a daily and a latest video that want the same clip convert it once.
    with workspace.staging.claim(f"clip.{report.camera}.{target.stem}") as staged:
        if refusal.is_file():
            reason, _, versions = refusal.read_text().rpartition("\n")
            if versions == VERSIONS:
                raise MediaError(reason)
        with suppress(MediaError, MemoryError, FileNotFoundError):  # damaged since: it is made again
            kept = inspect_clip(target)
            report.kept_conversions += 1
            return kept
        try:
            convert(clip, dialect, staged)
            made = inspect_clip(staged)
        except MediaError as error:
            prove_playable(clip.path)  # or it is unreadable
            if media.is_unchanged():
                remove(staged)
                staged.write_text(f"{error}\n{VERSIONS}")
                publish_file(staged, refusal)
            raise
        publish_file(staged, target)
        remove(refusal)  # of other versions
        report.converted += 1
        return replace(made, path=target)


def _forget_conversions(workspace: CameraWorkspace, camera: str, day: date, listed: Sequence[Media]) -> None:
    """Remove conversions of clips that are not the day's any more, or were of another version of them."""
    anything = Dialect(0, 0, None)
    wanted = tuple(converted_name(m.scanned, anything).removesuffix("0x0.mp4") for m in listed)
    directory = workspace.layout.converted_clips(camera, day)
    for path in directory.iterdir() if wanted and directory.is_dir() else ():
        if not path.name.startswith(wanted):
            remove(path)


class _UnjoinableError(MediaError):
    """One of several clips cannot stand behind the others."""

    def __init__(self, clip: Clip, reason: str) -> None:
        super().__init__(reason)
        self.clip = clip


def join(clips: Sequence[Clip], staged: Path, title: str, inputs: Inputs) -> None:
    """Write one MP4 with the frames of all clips, one clip after the other, without decoding any.

    Presentation times start at 0, increase strictly, and each clip begins where the one before ends.
    """
    clocks, headers = {clip.time_base for clip in clips}, {clip.extradata: None for clip in clips}
    clock = clocks.pop() if len(clocks) == 1 else _COMMON_CLOCK
    # Clips with reordered frames are decoded ahead of their times; all are given the longest lead.
    lead = max(clip.delay * clip.time_base for clip in clips)
    # The index comes first, into room that is kept for it: with faststart FFmpeg writes it last and all data twice.
    tags = {"title": title, **inputs.tags()}
    rest = sum(len(header) for header in headers) + len(tags.get("description", ""))
    room = _INDEX_ROOM + _INDEX_ROOM_A_FRAME * sum(clip.frames for clip in clips) + rest
    options = {"moov_size": str(room), "fflags": "+bitexact", "video_track_timescale": str(clock.denominator)}
    with av.open(str(staged), "w", format="mp4", container_options=options) as output:
        output.metadata.update(tags)
        with open_clip(clips[0].path) as template:
            stream = output.add_stream_from_template(template.streams.video[0])
        stream.codec_context.extradata = merged_header(headers)
        stream.time_base = clock
        begin, last_dts = Fraction(0), None
        for clip in clips:
            try:
                last_dts = _append(output, stream, clip, clock, begin, lead, last_dts)
            except (MediaError, *TROUBLE) as error:
                if is_of_the_machine(error):
                    raise
                raise _UnjoinableError(clip, f"cannot be joined: {said(error)}") from None
            begin += clip.seconds


def _append(
    output: av.container.OutputContainer,
    stream: av.video.stream.VideoStream,
    clip: Clip,
    clock: Fraction,
    begin: Fraction,
    lead: Fraction,
    last_dts: int | None,
) -> int | None:
    scale = clip.time_base / clock
    offset = begin / clock
    ahead = (lead - clip.delay * clip.time_base) / clock
    with open_clip(clip.path) as source:
        entries = entry_points(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.pts is None or packet.dts is None or not packet.size:
                continue
            packet.pts = round((packet.pts - clip.start) * scale + offset)
            packet.dts = round((packet.dts - clip.start) * scale + offset - ahead)
            packet.duration = round((packet.duration or 0) * scale)
            if last_dts is not None and packet.dts <= last_dts:
                packet.dts = last_dts + 1
            if packet.dts > packet.pts:
                raise MediaError("its frames' times cannot be put behind the clip before")
            last_dts = packet.dts
            packet.is_keyframe = packet.pos in entries
            packet.time_base = clock
            packet.stream = stream
            output.mux(packet)
    return last_dts


def _describe(report: VideoReport, considered: Sequence[Media]) -> None:
    with open_clip(report.target) as container:
        stream = container.streams.video[0]
        report.frames = stream.frames
        report.duration = float((stream.duration or 0) * (stream.time_base or 0))
    report.clips = sum(m.relative_path not in report.excluded for m in considered)
    report.bytes = report.target.stat().st_size


def poster(path: Path) -> bytes:
    """The keyframe in the middle of a video, as a small JPEG; :class:`MediaError` where none can be decoded."""
    try:
        return _keyframe(path)
    except (StopIteration, av.error.FFmpegError) as error:
        raise MediaError(f"{path.name}: no frame can be decoded ({error or 'the file is cut'})") from None


def _keyframe(path: Path) -> bytes:
    with open_clip(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        container.seek((stream.duration or 0) // 2, stream=stream)
        frame = next(container.decode(stream))
    # Scaled before it is converted to RGB: a full-size picture is 28 MB.
    shrink = min(1.0, POSTER_SIDE / max(frame.width, frame.height))
    size = {"width": max(1, round(frame.width * shrink)), "height": max(1, round(frame.height * shrink))}
    image = frame.reformat(**size, format="rgb24", interpolation="AREA").to_image()
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
