"""Sample media, a raw tree to fill, and helpers that read files independently of the code under test."""

import hashlib
import io
import itertools
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.reports import CatalogReport, ThumbnailReport
from aurora_platform.cameras.thumbnails import build_thumbnails
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.layout import CameraLayout
from tests.patience import patient

DAY = date(2026, 8, 18)
NOON = datetime(2026, 8, 18, 12, tzinfo=UTC)
NOW = datetime(2026, 8, 20, 12, tzinfo=UTC)  # all that the camera wrote on DAY has settled
SETTLED = datetime(2026, 8, 19, 6, tzinfo=UTC)
TREES = {"fish_hdr": ("FISH", ""), "pano_hdr": ("PANO", "_PANO")}


def at(hour: int, minute: int = 0, second: int = 0, day: date = DAY) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)


def set_mtime(path: Path, moment: datetime = SETTLED, ns: int = 0) -> Path:
    stamp = int(moment.timestamp()) * 1_000_000_000 + ns
    os.utime(path, ns=(stamp, stamp))
    return path


def build_thumbnail(workspace: CameraWorkspace, camera: str, hour: datetime, now: datetime) -> ThumbnailReport:
    """Make the thumbnail of one hour."""
    (report,) = build_thumbnails(workspace, camera, [hour], now)
    return report


def texture(seed: int, size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """A smooth picture, different for every seed."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def jpeg(seed: int = 0, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    texture(seed, size, mode).save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


def undecodable_jpeg(seed: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    """A JPEG with a valid header, size and end that no decoder can read: its quantization table is a comment."""
    content = bytearray(jpeg(seed, size))
    content[content.index(b"\xff\xdb") + 1] = 0xFE
    return bytes(content)


@dataclass(frozen=True)
class Film:
    """The encoding parameters of a clip."""

    codec: str = "libx264"
    size: tuple[int, int] = (64, 48)
    pixels: str = "yuv420p"
    frames: int = 6
    rate: Fraction = Fraction(25)
    options: tuple[tuple[str, str], ...] = ()
    timescale: int | None = None
    """Ticks per second in the file; by default FFmpeg's choice."""
    audio: bool = False
    faststart: bool = False
    times: tuple[int, ...] | None = None
    """Presentation times in frames; by default 0, 1, 2, ..."""

    def encode(self, seed: int) -> bytes:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "clip.mp4")
            self._write(path, seed)
            return path.read_bytes()

    def _write(self, path: Path, seed: int) -> None:
        muxing = {"fflags": "+bitexact"}
        if self.timescale:
            muxing["video_track_timescale"] = str(self.timescale)
        if self.faststart:
            muxing["movflags"] = "+faststart"
        with av.open(str(path), "w", format="mp4", container_options=muxing) as container:
            # One thread, so that the same seed gives the same bytes.
            options = {"threads": "1", **dict(self.options)}
            if self.audio:
                sound = container.add_stream("aac", rate=8000, layout="mono")
            stream = container.add_stream(self.codec, rate=self.rate, options=options)
            stream.width, stream.height, stream.pix_fmt = *self.size, self.pixels
            for index in range(self.frames):
                picture = np.asarray(texture(1000 * seed + index, self.size))
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                    format=self.pixels, dst_color_range="JPEG" if self.pixels.startswith("yuvj") else "MPEG"
                )
                frame.pts = self.times[index] if self.times else index
                frame.time_base = 1 / self.rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if self.audio:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
                silence.sample_rate, silence.pts = 8000, 0
                container.mux(sound.encode(silence))
                container.mux(sound.encode(None))


def trimmed(content: bytes, frames: int) -> bytes:
    """A clip whose edit list hides its first frames, as after a cut without encoding (25 frames/s, 12,800 ticks)."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "clip.mp4")
        options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
        with av.open(io.BytesIO(content)) as source, av.open(str(path), "w", container_options=options) as sink:
            stream = sink.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.pts -= 512 * frames
                    packet.dts -= 512 * frames
                    packet.stream = stream
                    sink.mux(packet)
        return path.read_bytes()


WITH_B_FRAMES = (("bf", "2"), ("x264-params", "b-adapt=0:bframes=2:keyint=6"))
WITHOUT_B_FRAMES = (("x264-params", "bframes=0:keyint=6"),)


class Sky:
    """A raw tree that a test fills by hand, and the layout of its products."""

    def __init__(self, root: Path, settle: timedelta = timedelta(minutes=5)) -> None:
        layout = CameraLayout(root / "raw", root / "products" / "wxcam")
        self.workspace = CameraWorkspace(layout, root / "locks", settle, timedelta(seconds=patient(60)))

    @property
    def layout(self) -> CameraLayout:
        return self.workspace.layout

    def image_path(self, time: datetime, camera: str = "fish_hdr") -> Path:
        tree, suffix = TREES[camera]
        return self.layout.raw / f"{tree}/{time:%Y%m%d/%H/HDR_%Y%m%d_%H%M%S}{suffix}.jpg"

    def clip_path(self, time: datetime, camera: str = "fish_hdr") -> Path:
        tree, suffix = TREES[camera]
        return self.layout.raw / f"{tree}/{time:%Y%m%d/HDR_%Y%m%d_%H%M%S}{suffix}.mp4"

    def put(self, path: Path, content: bytes, written: datetime = SETTLED, ns: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return set_mtime(path, written, ns)

    def image(self, time: datetime, content: bytes | None = None, camera: str = "fish_hdr") -> Path:
        content = content if content is not None else jpeg(int(time.timestamp()) % 1_000_000)
        return self.put(self.image_path(time, camera), content)

    def clip(self, time: datetime, film: Film | bytes = Film(), camera: str = "fish_hdr") -> Path:
        content = film if isinstance(film, bytes) else film.encode(time.hour + 24 * time.day)
        return self.put(self.clip_path(time, camera), content)

    def refresh(self, day: date = DAY, now: datetime = NOW) -> CatalogReport:
        return refresh_day(self.workspace, day, now)


# -- reading files ----------------------------------------------------------------------------------------------------


def frame_hash(frame: av.VideoFrame) -> str:
    """A hash of a decoded frame's samples."""
    return hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()


def frame_hashes(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [frame_hash(frame) for frame in container.decode(video=0)]


def frame_hashes_of_all(paths: Sequence[Path]) -> list[str]:
    return [frame for path in paths for frame in frame_hashes(path)]


def presentation_times(path: Path) -> list[Fraction]:
    """Presentation times of a video's frames, in s, as they are decoded."""
    with av.open(str(path)) as container:
        return [frame.pts * Fraction(frame.time_base) for frame in container.decode(video=0)]


def sync_samples(path: Path) -> list[int] | None:
    """Numbers (from 0) of the frames at which decoding may begin, by the sync sample box; None: all frames."""
    content = path.read_bytes()
    table = box(content, "moov", "trak", "mdia", "minf", "stbl")
    for found in boxes(content, table.start, table.end):
        if found.kind == "stss":
            (count,) = struct.unpack_from(">I", content, found.start + 4)
            return [n - 1 for n in struct.unpack_from(f">{count}I", content, found.start + 8)]
    return None


def packet_times(path: Path) -> list[tuple[int, int]]:
    """Decoding and presentation times of a video's packets, in the order of the file."""
    with av.open(str(path)) as container:
        return [(packet.dts, packet.pts) for packet in container.demux(video=0) if packet.size]


def assert_times_in_order(path: Path) -> None:
    """Assert for a joined video: times start at 0 and increase strictly; no frame is shown before it is decoded."""
    times = presentation_times(path)
    assert times[0] == 0
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    packets = packet_times(path)
    assert all(earlier < later for (earlier, _), (later, _) in itertools.pairwise(packets))
    assert all(dts <= pts for dts, pts in packets)


@dataclass(frozen=True)
class Box:
    kind: str
    start: int
    end: int


def boxes(content: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes of an MP4 at one level (ISO/IEC 14496-12, 4.2)."""
    end = len(content) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", content, start)
        body = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, body)
            body += 8
        yield Box(kind.decode("latin-1"), body, start + (size or end - start))
        start += size or end - start


def box(content: bytes, *path: str) -> Box:
    """The first box at a path such as moov, trak, mdia, mdhd."""
    start, end = 0, len(content)
    for kind in path:
        found = next(b for b in boxes(content, start, end) if b.kind == kind)
        start, end = found.start, found.end
    return found


def media_duration(path: Path) -> Fraction:
    """The duration of the first track in s, by its media header (mdhd, version 0 or 1)."""
    content = path.read_bytes()
    header = box(content, "moov", "trak", "mdia", "mdhd")
    timescale, duration = (
        struct.unpack_from(">IQ", content, header.start + 20)
        if content[header.start]
        else struct.unpack_from(">II", content, header.start + 12)
    )
    return Fraction(duration, timescale)


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Inode, mtime and bytes of every product below ``root``, without SQLite's own files beside the catalogue."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in files}


def partly_broken(film: Film) -> bytes:
    """A clip whose last frame cannot be decoded, while other frames can."""
    content = bytearray(film.encode(1))
    with av.open(io.BytesIO(bytes(content))) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][-1]
        content[last.pos : last.pos + last.size] = bytes(last.size)
    return bytes(content)
