"""Make daily and latest videos: join the camera's hourly clips by copying their compressed frames.

Clips in the common format are not decoded. Other clips are converted once and kept in ``.clips/``
(:mod:`aurora_platform.cameras.clips`). The joined file begins with its index (faststart), so that browsers can play and
seek at once. Its tags hold its inputs and the excluded clips (:mod:`aurora_platform.cameras.video_inputs`). A clip that
cannot be joined or converted is excluded from the video and stays in the catalogue.
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
    day_media,
    mark_unreadable,
    newest_clips,
    open_readonly,
    select_unchanged,
)
from aurora_platform.cameras.clips import CommonFormat, choose_common_format, convert_clip, converted_name
from aurora_platform.cameras.decoders import check_playable
from aurora_platform.cameras.filenames import CAMERAS, from_epoch_ns
from aurora_platform.cameras.h264 import merge_headers
from aurora_platform.cameras.media import (
    LIBRARY_VERSIONS,
    MEDIA_ERRORS,
    Clip,
    error_text,
    inspect_clip,
    is_system_error,
    keyframe_positions,
    open_clip,
)
from aurora_platform.cameras.reports import VideoReport
from aurora_platform.cameras.video_inputs import VideoInputs, read_inputs, read_no_video_record, record_no_video
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import MediaError, UnreadableError
from aurora_platform.fs.atomic import publish_file, remove
from aurora_platform.fs.versions import data_version
from aurora_platform.layout import compact
from aurora_platform.text import printable

RECIPE = recipes.VIDEO
POSTER_SIDE = 540  # px
# Bytes: all boxes without their tables, and the most that the tables hold of a frame (stts 8, ctts 8, stsc 12, stsz 4,
# stss 4, sdtp 1, co64 8). The unused rest becomes a `free` box.
_INDEX_BYTES, _INDEX_BYTES_PER_FRAME = 8192, 45
_COMMON_CLOCK = Fraction(1, 90_000)  # s; for clips with different time bases


def build_daily_video(workspace: CameraWorkspace, camera: str, day: date, now: datetime) -> VideoReport:
    """Bring a day's video up to date with the catalogue; write nothing if its clips are unchanged."""
    with open_readonly(workspace.layout.catalog) as db:
        listed = day_media(db, day, camera, "video")
    report = VideoReport(camera, workspace.layout.video(camera, day))
    _build(workspace, listed, report, f"{CAMERAS[camera].label}, {day.isoformat()} UTC", compact(day), now)
    _remove_old_conversions(workspace, camera, day, listed)
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
        media = select_unchanged(listed, report.waiting)
        report.data_version = data_version(RECIPE, (m.scanned for m in media))
        published = read_inputs(report.target)
        same = published is not None and published.data_version == report.data_version and published.is_final
        if published and (report.waiting.total or same):
            # The published video may contain a clip that waits: it is kept, and the next run has all clips.
            report.data_version, report.excluded = published.data_version, published.excluded
        elif media and not _is_recorded_impossible(workspace, report):
            _join_and_publish(workspace, media, staged, title, report, now)
        considered = [m for m in media if m.relative_path not in report.unreadable]
        if considered:  # also if all are excluded and there is no video
            report.span = (from_epoch_ns(considered[0].time_ns), from_epoch_ns(considered[-1].time_ns))
        if media and report.target.is_file():
            _fill_report(report, considered)
    report.seconds = time.monotonic() - started


def _is_recorded_impossible(workspace: CameraWorkspace, report: VideoReport) -> bool:
    """Whether it is recorded that no video can be made from these clips."""
    recorded = read_no_video_record(workspace, report.target)
    if recorded is None or recorded.data_version != report.data_version or not recorded.is_final:
        return False
    report.excluded = recorded.excluded
    return True


def _join_and_publish(
    workspace: CameraWorkspace, media: Sequence[Media], staged: Path, title: str, report: VideoReport, now: datetime
) -> None:
    clips = _prepare_clips(workspace, media, report, now)
    good = [m for m in media if m.relative_path not in report.unreadable]
    report.data_version = data_version(RECIPE, (m.scanned for m in good))
    while clips:
        try:
            join_clips(list(clips.values()), staged, title, VideoInputs(report.data_version, report.excluded))
        except _UnjoinableError as error:
            (m,) = (m for m, clip in clips.items() if clip is error.clip)
            _exclude(m, error, report)
            del clips[m]
        else:
            break
    # If a clip was replaced meanwhile, the video may contain parts of both versions.
    if len(select_unchanged(good, report.waiting)) != len(good):
        return
    if clips:
        publish_file(staged, report.target)
        report.built = True
    elif good:
        remove(staged)
        record_no_video(workspace, report.target, VideoInputs(report.data_version, report.excluded), staged)


def _exclude(media: Media, error: MediaError, report: VideoReport) -> None:
    reasons = report.unreadable if isinstance(error, UnreadableError) else report.excluded
    reasons[media.relative_path] = printable(str(error))


def _prepare_clips(
    workspace: CameraWorkspace, media: Sequence[Media], report: VideoReport, now: datetime
) -> dict[Media, Clip]:
    """Return the clips in one common format, converted if needed; exclude those that cannot be, with the reason."""
    found: dict[Media, Clip] = {}
    for m in media:
        try:
            found[m] = _inspect(m)
        except MediaError as error:
            _exclude(m, error, report)
    while (clips := _convert_to_common_format(workspace, found, report)).keys() != found.keys():
        # Repeat without the excluded clips: they must not count for the common size.
        found = {m: found[m] for m in clips}
    bad = report.unreadable
    mark_unreadable(workspace, ((m, bad[m.relative_path]) for m in media if m.relative_path in bad), now)
    return clips


def _convert_to_common_format(
    workspace: CameraWorkspace, found: Mapping[Media, Clip], report: VideoReport
) -> dict[Media, Clip]:
    common_format = choose_common_format(list(found.values())) if found else None
    clips = {}
    for m, clip in found.items():
        assert common_format is not None  # found has at least one clip
        try:
            clips[m] = clip if common_format.fits(clip) else _convert_once(workspace, m, clip, common_format, report)
        except MediaError as error:
            _exclude(m, error, report)
    return clips


def _inspect(media: Media) -> Clip:
    try:
        return inspect_clip(media.path)
    except MediaError:
        check_playable(media.path)  # raises if it is unreadable
        raise


def _convert_once(
    workspace: CameraWorkspace, media: Media, clip: Clip, common_format: CommonFormat, report: VideoReport
) -> Clip:
    """Return the converted clip, from this or an earlier run; do not retry one that these library versions refused."""
    day = from_epoch_ns(media.time_ns).date()
    target = workspace.layout.converted_clips(report.camera, day) / converted_name(media.scanned, common_format)
    refusal = target.with_suffix(".txt")
    # Claimed, so that a daily and a latest video that need the same clip convert it once.
    with workspace.staging.claim(f"clip.{report.camera}.{target.stem}") as staged:
        if refusal.is_file():
            reason, _, versions = refusal.read_text().rpartition("\n")
            if versions == LIBRARY_VERSIONS:
                raise MediaError(reason)
        with suppress(MediaError, MemoryError, FileNotFoundError):  # a damaged conversion is made again
            kept = inspect_clip(target)
            report.kept_conversions += 1
            return kept
        try:
            convert_clip(clip, common_format, staged)
            made = inspect_clip(staged)
        except MediaError as error:
            check_playable(clip.path)  # raises if it is unreadable
            if media.is_unchanged():
                remove(staged)
                staged.write_text(f"{error}\n{LIBRARY_VERSIONS}")
                publish_file(staged, refusal)
            raise
        publish_file(staged, target)
        remove(refusal)  # written by other library versions
        report.converted += 1
        return replace(made, path=target)


def _remove_old_conversions(workspace: CameraWorkspace, camera: str, day: date, listed: Sequence[Media]) -> None:
    """Remove conversions of clips, or of versions of clips, that the day does not have any more."""
    any_format = CommonFormat(0, 0, None)
    wanted = tuple(converted_name(m.scanned, any_format).removesuffix("0x0.mp4") for m in listed)
    directory = workspace.layout.converted_clips(camera, day)
    for path in directory.iterdir() if wanted and directory.is_dir() else ():
        if not path.name.startswith(wanted):
            remove(path)


class _UnjoinableError(MediaError):
    """A clip cannot be joined to the others."""

    def __init__(self, clip: Clip, reason: str) -> None:
        super().__init__(reason)
        self.clip = clip


def join_clips(clips: Sequence[Clip], staged: Path, title: str, inputs: VideoInputs) -> None:
    """Write one MP4 with the frames of all clips, one clip after the other, without decoding.

    Presentation times start at 0 and increase strictly; each clip begins where the previous clip ends.
    """
    clocks, headers = {clip.time_base for clip in clips}, {clip.extradata: None for clip in clips}
    clock = clocks.pop() if len(clocks) == 1 else _COMMON_CLOCK
    # Clips with reordered frames are decoded before their presentation times; all clips get the longest lead.
    lead = max(clip.delay * clip.time_base for clip in clips)
    # The index comes first, into reserved space: with the option faststart FFmpeg writes it last and all data twice.
    tags = {"title": title, **inputs.tags()}
    rest = sum(len(header) for header in headers) + len(tags.get("description", ""))
    room = _INDEX_BYTES + _INDEX_BYTES_PER_FRAME * sum(clip.frames for clip in clips) + rest
    options = {"moov_size": str(room), "fflags": "+bitexact", "video_track_timescale": str(clock.denominator)}
    with av.open(str(staged), "w", format="mp4", container_options=options) as output:
        output.metadata.update(tags)
        with open_clip(clips[0].path) as template:
            stream = output.add_stream_from_template(template.streams.video[0])
        stream.codec_context.extradata = merge_headers(headers)
        stream.time_base = clock
        begin, last_dts = Fraction(0), None
        for clip in clips:
            try:
                last_dts = _append_clip(output, stream, clip, clock, begin, lead, last_dts)
            except (MediaError, *MEDIA_ERRORS) as error:
                if is_system_error(error):
                    raise
                raise _UnjoinableError(clip, f"cannot be joined: {error_text(error)}") from None
            begin += clip.seconds


def _append_clip(
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
        entries = keyframe_positions(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.pts is None or packet.dts is None or not packet.size:
                continue
            packet.pts = round((packet.pts - clip.start) * scale + offset)
            packet.dts = round((packet.dts - clip.start) * scale + offset - ahead)
            packet.duration = round((packet.duration or 0) * scale)
            if last_dts is not None and packet.dts <= last_dts:
                packet.dts = last_dts + 1
            if packet.dts > packet.pts:
                raise MediaError("its frame times cannot follow the previous clip")
            last_dts = packet.dts
            packet.is_keyframe = packet.pos in entries
            packet.time_base = clock
            packet.stream = stream
            output.mux(packet)
    return last_dts


def _fill_report(report: VideoReport, considered: Sequence[Media]) -> None:
    with open_clip(report.target) as container:
        stream = container.streams.video[0]
        report.frames = stream.frames
        report.duration = float((stream.duration or 0) * (stream.time_base or 0))
    report.clips = sum(m.relative_path not in report.excluded for m in considered)
    report.bytes = report.target.stat().st_size


def render_poster(path: Path) -> bytes:
    """Render the keyframe in the middle of a video as a small JPEG; :class:`MediaError` if none can be decoded."""
    try:
        return _encode_middle_keyframe(path)
    except (StopIteration, av.error.FFmpegError) as error:
        raise MediaError(f"{path.name}: no frame can be decoded ({error or 'the file is truncated'})") from None


def _encode_middle_keyframe(path: Path) -> bytes:
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
