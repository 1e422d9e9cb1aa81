"""Pixels: a day of images as a Zarr group whose chunks *are* the camera's JPEGs.

An array of chunks (1, y, x, 3) with the serializer ``imagecodecs_jpeg`` uses a file's own bytes as its chunk: nothing
is encoded again, the size does not grow, and the original file can be read back byte for byte. Every frame is checked
to be decodable before it enters the store. An image that cannot be a frame (for example a grayscale image) is excluded
with a reason and stays in the catalogue. A day with only such images is a group without frames that lists them.

Layout of ``wxcam.zarr/<camera>/YYYYMMDD``: ``image`` (time, y, x, channel) uint8 RGB; ``time`` int64 ns since epoch,
UTC, increasing; ``filename``, ``size_bytes``, ``mtime_ns`` (time). Reading is in :mod:`aurora_platform.cameras.reader`.
"""

import io
import os
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import zarr
from imagecodecs.zarr import Jpeg
from PIL import Image
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from aurora_platform.cameras import recipes
from aurora_platform.cameras.catalog import Media, day_media, mark_unreadable, open_readonly, select_unchanged
from aurora_platform.cameras.decoders import decode_image
from aurora_platform.cameras.filenames import CAMERAS, from_epoch_ns
from aurora_platform.cameras.jpeg import END, read_file_frame_header, read_header
from aurora_platform.cameras.media import raise_if_out_of_memory
from aurora_platform.cameras.reports import PixelsReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import MediaError, UnreadableError
from aurora_platform.fs.atomic import flush, publish_file
from aurora_platform.fs.links import link_or_copy
from aurora_platform.fs.trees import publish_tree
from aurora_platform.fs.versions import FileVersion, data_version
from aurora_platform.layout import compact

RECIPE = recipes.PIXELS
INPUTS_SHA256 = "aurora_inputs_sha256"
# The coordinates of a day are in chunks of a fixed length, longer than the number of frames of a day: a reader with the
# old metadata still reads chunks of the expected size while a day is replaced.
COORDINATE_CHUNK = 16_384
_THREADS_PER_CORE = 4
_RGB_FRAME = (8, 3)  # bits per sample, colour components
_COLOURS = {1: "grayscale", 4: "CMYK"}


class _ChangedError(MediaError):
    """A file changed since it was catalogued."""


def build_pixels(workspace: CameraWorkspace, camera: str, day: date, now: datetime) -> PixelsReport:
    """Bring a day's pixel group up to date with the catalogue; write nothing if its inputs are unchanged.

    Raises
    ------
    CatalogError, BusyError, OSError
        If there is no catalogue, another run works on the same day for too long, or the disk fails.
    """
    started = time.monotonic()
    report = PixelsReport(camera, day)
    target = workspace.layout.pixels(camera, day)
    with workspace.staging.claim(f"pixels.{camera}.{compact(day)}") as staged:
        with open_readonly(workspace.layout.catalog) as db:
            listed = day_media(db, day, camera, "image")
        media = select_unchanged(listed, report.waiting)
        old = _PublishedGroup.read(target)
        unchanged = old.data_version == data_version(RECIPE, (m.scanned for m in media))
        # The published version may contain a file that waits: it is kept, and the next run has all files.
        if media and (unchanged or (report.waiting.total and old.data_version)):
            _fill_report(report, media, _choose_frames(media, report, old.excluded), old.data_version)
        elif media:
            _build(workspace, media, old, staged, target, report, now)
    report.seconds = time.monotonic() - started
    return report


def _build(
    workspace: CameraWorkspace,
    media: list[Media],
    old: "_PublishedGroup",
    staged: Path,
    target: Path,
    report: PixelsReport,
    now: datetime,
) -> None:
    chunks = staged / "image"
    chunks.mkdir(parents=True)
    unusable = _find_not_rgb(media, old)
    frames = _choose_frames(media, report, unusable)
    while failures := _collect_chunks(frames, old, chunks, report):
        bad = {m: str(error) for m, error in failures.items() if isinstance(error, UnreadableError)}
        changed = {m for m, error in failures.items() if isinstance(error, _ChangedError)}
        mark_unreadable(workspace, bad.items(), now)
        report.unreadable |= {m.relative_path: reason for m, reason in bad.items()}
        for m in changed:
            report.waiting.add(m.relative_path)
        unusable |= {m.relative_path: str(error) for m, error in failures.items() if m not in bad and m not in changed}
        # Without these files the day may have another common size, or another file for the same time.
        media = [m for m in media if m not in bad and m not in changed]
        frames = _choose_frames(media, report, unusable)
    if not media:
        return
    for index, frame in enumerate(frames):
        (chunks / _staged_name(frame)).rename(chunks / _chunk_name(index))
    for unused in chunks.glob("*.jpg"):
        unused.unlink()
    new = data_version(RECIPE, (m.scanned for m in media))
    _write_group(staged, report, frames, new)
    _publish_parent_groups(workspace, report.camera)
    publish_tree(staged, target)
    report.built = True
    _fill_report(report, media, frames, new)


def _find_not_rgb(media: Sequence[Media], old: "_PublishedGroup") -> dict[str, str]:
    """Find the files that are not RGB by their header, without decoding: relative path -> reason."""
    found = {}
    for m in media:
        if (m.filename, m.version) in old.index:
            continue
        with suppress(FileNotFoundError):  # _copy_frame reports it
            frame = read_file_frame_header(m.raw_path)
            if frame and (frame.bits, frame.components) != _RGB_FRAME:
                colours = _COLOURS.get(frame.components, f"{frame.components} colour components")
                deep = f" of {frame.bits} bits" if frame.bits != _RGB_FRAME[0] else ""
                found[m.relative_path] = f"{colours}{deep}, not RGB of 8 bits"
    return found


def _choose_frames(media: Sequence[Media], report: PixelsReport, unusable: Mapping[str, str]) -> list[Media]:
    """Choose the frames of the day's array: the images of the most common size, one per time.

    Files in ``unusable`` (relative path -> reason) do not count for the size, unless the day has no other files.
    """
    usable = [m for m in media if m.relative_path not in unusable]
    sizes = Counter((m.height, m.width) for m in usable or media)
    report.shape = max(sizes, key=lambda size: sizes[size], default=None)
    report.excluded = {}
    frames: dict[int, Media] = {}
    for m in media:
        if m.relative_path in unusable:
            report.excluded[m.relative_path] = unusable[m.relative_path]
        elif (m.height, m.width) != report.shape:
            report.excluded[m.relative_path] = f"{m.width} x {m.height} px, unlike most of the day"
        elif m.time_ns in frames:
            report.excluded[m.relative_path] = f"same time as {frames[m.time_ns].relative_path}"
        else:
            frames[m.time_ns] = m
    return list(frames.values())


def _collect_chunks(
    frames: Sequence[Media], old: "_PublishedGroup", chunks: Path, report: PixelsReport
) -> dict[Media, MediaError]:
    """Put the bytes of every frame into ``chunks``: link them from the earlier version, or copy and check them.

    Returns the frames that cannot enter, with their errors.
    """
    new = []
    for frame in frames:
        path = chunks / _staged_name(frame)
        if path.exists():
            continue
        if earlier := old.chunk(frame):
            link_or_copy(earlier, path)
        else:
            new.append(frame)
    report.decoded += len(new)
    # The decoder releases the interpreter lock, so threads use all cores; each holds one frame's bytes at a time. There
    # are more threads than cores, because each also waits for the disk, and concurrent flushes cost less.
    with ThreadPoolExecutor(_THREADS_PER_CORE * len(os.sched_getaffinity(0)), thread_name_prefix="copy-frame") as pool:
        errors = pool.map(lambda frame: _copy_frame(frame, chunks / _staged_name(frame)), new)
        return {frame: error for frame, error in zip(new, errors, strict=True) if error}


def _copy_frame(frame: Media, path: Path) -> MediaError | None:
    """Copy a frame's bytes if they decode to the catalogued size; else return the error."""
    try:
        data = frame.path.read_bytes()
    except FileNotFoundError:
        return _ChangedError()
    if not frame.is_unchanged():
        return _ChangedError()
    try:
        check_decodable(data, (frame.height, frame.width))
    except MediaError as error:
        try:
            decode_image(data)
        except UnreadableError as unreadable:
            return unreadable
        return error
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return None


def check_decodable(data: bytes, shape: tuple[int, int]) -> None:
    """Raise :class:`MediaError` unless :func:`decode` can decode a JPEG to ``shape``. Takes half of its time.

    Only the headers and the Huffman codes of a JPEG can fail. Decoding to an eighth of the size without colour reads
    all of both, and skips what cannot fail: the cosine transform, the colours, 28 MB of pixels. Pillow's decoder
    does that, and accepts no file that ours refuses (a test compares both with damaged JPEGs). A file that it refuses,
    or that is not plain (for example with fractional colour sampling, which it does not check), is decoded in full.
    """
    header = read_header(lambda count, offset: data[offset : offset + count])
    # If the end marker is missing, only our decoder checks the data after the picture.
    if header and (header.height, header.width) == shape and data.endswith(END):
        with suppress(OSError, SyntaxError, ValueError), Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if image.size == shape[::-1] and image.mode == "RGB":
                image.draft("L", (max(1, shape[1] // 8), max(1, shape[0] // 8)))
                image.load()
                return
    decode(data, shape)


def decode(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Decode a JPEG to uint8 (y, x, 3) with the store's own decoder; raise :class:`MediaError` if it is not RGB."""
    try:
        pixels = imagecodecs.jpeg8_decode(data)
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise_if_out_of_memory(error)
        raise MediaError(f"cannot be decoded: {error}") from None
    if pixels.shape != (*shape, 3) or pixels.dtype != np.uint8:
        raise MediaError(f"decodes to {pixels.shape} {pixels.dtype}, not to {(*shape, 3)} uint8")
    return np.asarray(pixels)


def _staged_name(frame: Media) -> str:
    return f"{frame.time_ns}-{frame.version.size}-{frame.version.mtime_ns}.jpg"


def _chunk_name(index: int) -> str:
    """Return the key of a frame's chunk below ``image``. Flat names: one directory per day, not three per frame."""
    return f"c.{index}.0.0.0"


@dataclass
class _PublishedGroup:
    """The parts of a day's published group that the next version can use."""

    root: Path
    data_version: str = ""
    index: dict[tuple[str, FileVersion], int] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "_PublishedGroup":
        if not (root / "zarr.json").is_file():
            return cls(root)
        group = zarr.open_group(root, mode="r")
        columns = [np.asarray(group[name]).tolist() for name in ("filename", "size_bytes", "mtime_ns")]
        rows = zip(*columns, strict=True)
        index = {(name, FileVersion(size, mtime_ns)): i for i, (name, size, mtime_ns) in enumerate(rows)}
        return cls(root, str(group.attrs.get(INPUTS_SHA256, "")), index, read_excluded(group))

    def chunk(self, frame: Media) -> Path | None:
        """Return the chunk of the same version of a file, if it exists."""
        index = self.index.get((frame.filename, frame.version))
        if index is None:
            return None
        chunk = self.root / "image" / _chunk_name(index)
        return chunk if chunk.is_file() and chunk.stat().st_size == frame.version.size else None


def read_excluded(group: zarr.Group) -> dict[str, str]:
    """Read the files that a day's group excludes: relative path -> reason."""
    excluded = group.attrs.get("excluded", {})
    return {str(path): str(reason) for path, reason in excluded.items()} if isinstance(excluded, dict) else {}


def published_inputs(root: Path) -> tuple[str, dict[str, str]]:
    """Read the data version and the excluded files of a day's published group; empty where there is none."""
    if not (root / "zarr.json").is_file():
        return "", {}
    group = zarr.open_group(root, mode="r")
    return str(group.attrs.get(INPUTS_SHA256, "")), read_excluded(group)


class _PrivateStore(LocalStore):
    """A directory that only this program writes. Zarr's own class needs hard links, which not every disk has."""

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not await self.exists(key):
            await self.set(key, value)


def _write_group(staged: Path, report: PixelsReport, frames: Sequence[Media], new_version: str) -> None:
    """Write the metadata and coordinates of a day; the chunks exist already."""
    assert report.shape is not None  # set by _choose_frames
    camera = CAMERAS[report.camera]
    group = zarr.open_group(_PrivateStore(staged), mode="a", zarr_format=3)
    group.attrs.update(
        {
            "title": f"WXcam {camera.label}, {report.day.isoformat()} UTC",
            "instrument": "wxcam",
            "camera": report.camera,
            INPUTS_SHA256: new_version,
            "excluded": report.excluded,
        }
    )
    group.create_array(
        "image",
        shape=(len(frames), *report.shape, 3),
        chunks=(1, *report.shape, 3),
        dtype="uint8",
        serializer=Jpeg(),
        filters=None,
        compressors=None,
        fill_value=0,
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=("time", "y", "x", "channel"),
        attributes={"long_name": "sky image, RGB", "units": "1"},
    )
    columns: dict[str, tuple[np.ndarray, Mapping[str, Any]]] = {
        "time": (np.array([m.time_ns for m in frames], dtype="int64"), _TIME_ATTRIBUTES),
        "filename": (np.array([m.filename for m in frames], dtype="T"), {"long_name": "file name of the camera"}),
        "size_bytes": (np.array([m.version.size for m in frames], dtype="int64"), {"units": "bytes"}),
        "mtime_ns": (
            np.array([m.version.mtime_ns for m in frames], dtype="int64"),
            {"long_name": "modification time of the file, since 1970-01-01 UTC", "units": "ns"},
        ),
    }
    for name, (values, attributes) in columns.items():
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=(COORDINATE_CHUNK,),
            dtype=str if name == "filename" else values.dtype,
            compressors=BloscCodec(cname="zstd", clevel=5),
            fill_value="" if name == "filename" else 0,
            dimension_names=("time",),
            attributes=dict(attributes),
        )
        array[:] = values
    with warnings.catch_warnings():
        # Zarr warns that some readers do not support consolidated metadata of v3; they read the metadata of each array.
        # Our reader reads one file instead of six, and so never a mixture of two versions of a day.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(staged)
    for path in staged.rglob("*"):
        if not path.name.startswith("c.") or path.parent.name != "image":  # the chunks are flushed already
            flush(path)


_TIME_ATTRIBUTES = {
    "standard_name": "time",
    "long_name": "time in the file's name, UTC",
    "units": "nanoseconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
}


def _publish_parent_groups(workspace: CameraWorkspace, camera: str) -> None:
    """Create the root group and the camera's group if they are missing or have other attributes."""
    groups = {
        workspace.layout.store: {
            "title": "WXcam sky images",
            "instrument": "wxcam",
            "storage_policy": recipes.STORAGE_POLICY,
        },
        workspace.layout.store / camera: {
            "title": f"WXcam {CAMERAS[camera].label}",
            "instrument": "wxcam",
            "camera": camera,
        },
    }
    for path, attributes in groups.items():
        metadata = path / "zarr.json"
        if metadata.is_file() and dict(zarr.open_group(path, mode="r").attrs) == attributes:
            continue
        with workspace.staging.claim(f"group.{camera}") as staged:
            zarr.create_group(_PrivateStore(staged), zarr_format=3, attributes=attributes)
            publish_file(staged / "zarr.json", metadata)


def _fill_report(report: PixelsReport, media: Sequence[Media], frames: Sequence[Media], new_version: str) -> None:
    report.frames = len(frames)
    report.bytes = sum(m.version.size for m in frames)
    report.data_version = new_version
    report.span = (from_epoch_ns(media[0].time_ns), from_epoch_ns(media[-1].time_ns))
