"""Pixels: a day of images as a Zarr group whose chunks *are* the camera's JPEGs.

An array of chunks (1, y, x, 3) with the serializer ``imagecodecs_jpeg`` takes a file's own bytes as its chunk: nothing
is encoded again, nothing grows, and the original can be had back byte for byte. Every frame is proved decodable before
it enters, so that a reader never meets one that cannot be. An image that cannot be such a frame (it is grayscale, say)
is excluded with a reason and stays in the catalogue; a day of such images is a group without frames, which says so.

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

from aurora_platform.cameras import recipes
from aurora_platform.cameras.catalog import Media, as_catalogued, day_media, mark_unreadable, open_readonly
from aurora_platform.cameras.filenames import CAMERAS, from_epoch_ns
from aurora_platform.cameras.jpeg import END, frame_in, header_of
from aurora_platform.cameras.media import raise_if_memory_is_short
from aurora_platform.cameras.readers import picture
from aurora_platform.cameras.reports import PixelsReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import MediaError, UnreadableError
from aurora_platform.fs.atomic import flush, publish_file, publish_tree
from aurora_platform.fs.versions import FileVersion, data_version
from aurora_platform.layout import compact

RECIPE = recipes.PIXELS
INPUTS_SHA256 = "aurora_inputs_sha256"
# The coordinates of a day stand in chunks of fixed length, longer than a day has frames: a reader that holds the old
# metadata while a day is replaced still reads chunks of the size that it expects.
COORDINATE_CHUNK = 16_384
_THREADS_A_CORE = 4
_RGB = (8, 3)  # bits of a sample, colour components
_COLOURS = {1: "grayscale", 4: "CMYK"}


class _ChangedError(MediaError):
    """A file is not what was catalogued any more."""


def build_pixels(workspace: CameraWorkspace, camera: str, day: date, now: datetime) -> PixelsReport:
    """Bring a day's pixel group up to date with the catalogue; nothing is written where its inputs are the same.

    Raises
    ------
    CatalogError, BusyError, OSError
        Where there is no catalogue, another run works on the same day for too long, or the disk fails.
    """
    started = time.monotonic()
    report = PixelsReport(camera, day)
    target = workspace.layout.pixels(camera, day)
    with workspace.staging.claim(f"pixels.{camera}.{compact(day)}") as staged:
        with open_readonly(workspace.layout.catalog) as db:
            listed = day_media(db, day, camera, "image")
        media = as_catalogued(listed, report.waiting)
        old = _Generation.read(target)
        unchanged = old.data_version == data_version(RECIPE, (m.scanned for m in media))
        # What waits may be in the published version: it is kept, and the next pass has all of it.
        if media and (unchanged or (report.waiting.total and old.data_version)):
            _describe(report, media, _choose(media, report, old.excluded), old.data_version)
        elif media:
            _build(workspace, media, old, staged, target, report, now)
    report.seconds = time.monotonic() - started
    return report


def _build(
    workspace: CameraWorkspace,
    media: list[Media],
    old: "_Generation",
    staged: Path,
    target: Path,
    report: PixelsReport,
    now: datetime,
) -> None:
    chunks = staged / "image"
    chunks.mkdir(parents=True)
    refused = _not_rgb(media, old)
    frames = _choose(media, report, refused)
    while failures := _collect(frames, old, chunks, report):
        bad = {m: str(error) for m, error in failures.items() if isinstance(error, UnreadableError)}
        changed = {m for m, error in failures.items() if isinstance(error, _ChangedError)}
        mark_unreadable(workspace, bad.items(), now)
        report.unreadable |= {m.relative_path: reason for m, reason in bad.items()}
        for m in changed:
            report.waiting.add(m.relative_path)
        refused |= {m.relative_path: str(error) for m, error in failures.items() if m not in bad and m not in changed}
        # Without these another file of that time, or another size, may be the day's.
        media = [m for m in media if m not in bad and m not in changed]
        frames = _choose(media, report, refused)
    if not media:
        return
    for index, frame in enumerate(frames):
        (chunks / _parked(frame)).rename(chunks / _chunk(index))
    for left in chunks.glob("*.jpg"):
        left.unlink()
    new = data_version(RECIPE, (m.scanned for m in media))
    _write_group(staged, report, frames, new)
    _publish_ancestors(workspace, report.camera)
    publish_tree(staged, target)
    report.built = True
    _describe(report, media, frames, new)


def _not_rgb(media: Sequence[Media], old: "_Generation") -> dict[str, str]:
    """Relative path -> reason of the files whose header says that they are no frames; nothing is decoded for it."""
    found = {}
    for m in media:
        if (m.filename, m.version) in old.index:
            continue
        with suppress(FileNotFoundError):  # whoever reads it says so
            frame = frame_in(m.raw_path)
            if frame and (frame.bits, frame.components) != _RGB:
                colours = _COLOURS.get(frame.components, f"{frame.components} colour components")
                deep = f" of {frame.bits} bits" if frame.bits != _RGB[0] else ""
                found[m.relative_path] = f"{colours}{deep}, not RGB of 8 bits"
    return found


def _choose(media: Sequence[Media], report: PixelsReport, refused: Mapping[str, str]) -> list[Media]:
    """The frames of the day's array: those of its most common size, one for each time.

    Those in ``refused`` (relative path -> reason) have no say in it; of a day of such only, the size is theirs.
    """
    able = [m for m in media if m.relative_path not in refused]
    sizes = Counter((m.height, m.width) for m in able or media)
    report.shape = max(sizes, key=lambda size: sizes[size], default=None)
    report.excluded = {}
    frames: dict[int, Media] = {}
    for m in media:
        if m.relative_path in refused:
            report.excluded[m.relative_path] = refused[m.relative_path]
        elif (m.height, m.width) != report.shape:
            report.excluded[m.relative_path] = f"{m.width} x {m.height} px, unlike most of the day"
        elif m.time_ns in frames:
            report.excluded[m.relative_path] = f"same time as {frames[m.time_ns].relative_path}"
        else:
            frames[m.time_ns] = m
    return list(frames.values())


def _collect(
    frames: Sequence[Media], old: "_Generation", chunks: Path, report: PixelsReport
) -> dict[Media, MediaError]:
    """Put the bytes of every frame into ``chunks``: linked from the earlier version, or read and proved.

    Returns the frames that cannot enter, with the reasons.
    """
    new = []
    for frame in frames:
        place = chunks / _parked(frame)
        if place.exists():
            continue
        if earlier := old.chunk(frame):
            os.link(earlier, place)
        else:
            new.append(frame)
    report.decoded += len(new)
    # The decoder releases the interpreter lock, so threads fill the cores; each holds one frame's bytes at a time. More
    # than there are cores, because each also waits for the disk, and files that are flushed together cost less.
    with ThreadPoolExecutor(_THREADS_A_CORE * len(os.sched_getaffinity(0)), thread_name_prefix="take-in") as pool:
        errors = pool.map(lambda frame: _take_in(frame, chunks / _parked(frame)), new)
        return {frame: error for frame, error in zip(new, errors, strict=True) if error}


def _take_in(frame: Media, place: Path) -> MediaError | None:
    """Copy a frame's bytes if they decode to what the catalogue says; else say why not."""
    try:
        data = frame.path.read_bytes()
    except FileNotFoundError:
        return _ChangedError()
    if not frame.is_unchanged():
        return _ChangedError()
    try:
        prove(data, (frame.height, frame.width))
    except MediaError as error:
        try:
            picture(data)
        except UnreadableError as nobody:
            return nobody
        return error
    with place.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return None


def prove(data: bytes, shape: tuple[int, int]) -> None:
    """Raise :class:`MediaError` unless :func:`decode` can decode a JPEG to ``shape``, and say so in half its time.

    What can fail in a JPEG is its headers and its Huffman codes. Decoded to an eighth of its size and without colour,
    all of both is read, and what cannot fail is left out: the cosine transform, the colours, 28 MB of pixels. Pillow's
    decoder does that, and accepts no more than ours (a test damages JPEGs and asks both); what it does not accept, or
    what is not plain (colours sampled by a fraction, say, which it never looks at), is decoded in full.
    """
    header = header_of(lambda count, offset: data[offset : offset + count])
    # What stands behind the picture instead of its end is read by our decoder only.
    if header and (header.height, header.width) == shape and data.endswith(END):
        with suppress(OSError, SyntaxError, ValueError), Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if image.size == shape[::-1] and image.mode == "RGB":
                image.draft("L", (max(1, shape[1] // 8), max(1, shape[0] // 8)))
                image.load()
                return
    decode(data, shape)


def decode(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Decode a JPEG to uint8 (y, x, 3) with the decoder that reads the store; :class:`MediaError` if it is not RGB."""
    try:
        pixels = imagecodecs.jpeg8_decode(data)
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise_if_memory_is_short(error)
        raise MediaError(f"cannot be decoded: {error}") from None
    if pixels.shape != (*shape, 3) or pixels.dtype != np.uint8:
        raise MediaError(f"decodes to {pixels.shape} {pixels.dtype}, not to {(*shape, 3)} uint8")
    return np.asarray(pixels)


def _parked(frame: Media) -> str:
    return f"{frame.time_ns}-{frame.version.size}-{frame.version.mtime_ns}.jpg"


def _chunk(index: int) -> str:
    """The key of a frame's chunk below ``image``. Flat names: a day is one directory, not three per frame."""
    return f"c.{index}.0.0.0"


@dataclass
class _Generation:
    """A published version of a day's group, as far as the next version can use it."""

    root: Path
    data_version: str = ""
    index: dict[tuple[str, FileVersion], int] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "_Generation":
        if not (root / "zarr.json").is_file():
            return cls(root)
        group = zarr.open_group(root, mode="r")
        columns = [np.asarray(group[name]).tolist() for name in ("filename", "size_bytes", "mtime_ns")]
        rows = zip(*columns, strict=True)
        index = {(name, FileVersion(size, mtime_ns)): i for i, (name, size, mtime_ns) in enumerate(rows)}
        return cls(root, str(group.attrs.get(INPUTS_SHA256, "")), index, excluded_from(group))

    def chunk(self, frame: Media) -> Path | None:
        """The chunk of the same version of a file, if it is there."""
        index = self.index.get((frame.filename, frame.version))
        if index is None:
            return None
        chunk = self.root / "image" / _chunk(index)
        return chunk if chunk.is_file() and chunk.stat().st_size == frame.version.size else None


def excluded_from(group: zarr.Group) -> dict[str, str]:
    """What a day's group says it leaves out: relative path -> reason."""
    excluded = group.attrs.get("excluded", {})
    return {str(path): str(reason) for path, reason in excluded.items()} if isinstance(excluded, dict) else {}


def _write_group(staged: Path, report: PixelsReport, frames: Sequence[Media], new_version: str) -> None:
    """Write the metadata and coordinates of a day around the chunks that are there already."""
    assert report.shape is not None  # set by _choose
    camera = CAMERAS[report.camera]
    group = zarr.open_group(staged, mode="a", zarr_format=3)
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
        "time": (np.array([m.time_ns for m in frames], dtype="int64"), _TIME),
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
        # Zarr says that other readers may not know consolidated metadata of v3; such a reader reads the arrays' own.
        # Ours read one file instead of six, and so never a mixture of two versions of a day.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(staged)
    for path in staged.rglob("*"):
        if not path.name.startswith("c.") or path.parent.name != "image":  # the chunks were flushed one by one
            flush(path)


_TIME = {
    "standard_name": "time",
    "long_name": "time in the file's name, UTC",
    "units": "nanoseconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
}


def _publish_ancestors(workspace: CameraWorkspace, camera: str) -> None:
    """Make the root group and the camera's group, where they are missing or say something else."""
    described = {
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
    for place, attributes in described.items():
        metadata = place / "zarr.json"
        if metadata.is_file() and dict(zarr.open_group(place, mode="r").attrs) == attributes:
            continue
        with workspace.staging.claim(f"group.{camera}") as staged:
            zarr.create_group(staged, zarr_format=3, attributes=attributes)
            publish_file(staged / "zarr.json", metadata)


def _describe(report: PixelsReport, media: Sequence[Media], frames: Sequence[Media], new_version: str) -> None:
    report.frames = len(frames)
    report.bytes = sum(m.version.size for m in frames)
    report.data_version = new_version
    report.span = (from_epoch_ns(media[0].time_ns), from_epoch_ns(media[-1].time_ns))
