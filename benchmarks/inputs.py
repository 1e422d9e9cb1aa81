"""Makes the input files of the benchmarks: a day of the simulated camera at its real image size."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import ExifTags, Image

from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.layout import CameraLayout, compact
from aurora_simulator import CameraSpec, simulate

DAY = date(2026, 8, 18)
NOW = datetime(2026, 8, 20, tzinfo=UTC)
"""Time at which all files of that day have settled."""

_MANY_EVERY = timedelta(minutes=5)
_WRITTEN_NS = 1_786_000_000_000_000_000  # ns since epoch, UTC: in August 2026


def workspace_in(directory: Path, products: str = "products") -> CameraWorkspace:
    """Return the workspace of the camera below ``directory``."""
    return CameraWorkspace(CameraLayout(directory / "raw", directory / products), directory / "locks")


def camera_day(
    directory: Path, every: timedelta, codec: str = "h264", scale: float = 1.0, day: date = DAY
) -> CameraWorkspace:
    """Write 24 hours of both cameras below ``directory``."""
    workspace = workspace_in(directory)
    spec = CameraSpec(root=workspace.layout.raw, day=day, hours=24, every=every, codec=codec, scale=scale, other=False)
    simulate(spec, workers=os.cpu_count() or 1)
    return workspace


def many_images(directory: Path, count: int) -> CameraWorkspace:
    """Write ``count`` small images of both cameras: those of one simulated day, under the names of many days.

    Each has its own time in its Exif block, as with most cameras: no two headers are the same.
    """
    workspace = workspace_in(directory)
    with TemporaryDirectory(dir=directory) as model:
        spec = CameraSpec(root=Path(model), day=DAY, hours=24, every=_MANY_EVERY, scale=0.05, other=False)
        simulate(spec, workers=1)
        images = [path.relative_to(model) for path in sorted(Path(model).rglob("*.jpg"))]
        contents = [(Path(model) / path).read_bytes() for path in images]
    for number in range(count):
        days_back, index = divmod(number, len(images))
        day = compact(DAY - timedelta(days=days_back))
        path = workspace.layout.raw / str(images[index]).replace(compact(DAY), day)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_with_exif(contents[index], number))
        os.utime(path, ns=(_WRITTEN_NS + number, _WRITTEN_NS + number))
    return workspace


def _with_exif(jpeg: bytes, number: int) -> bytes:
    """Return the JPEG with an Exif block that is unique to ``number``."""
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = f"{datetime.fromtimestamp(_WRITTEN_NS // 10**9 + number, UTC):%Y:%m:%d %H:%M:%S}"
    block = exif.tobytes()
    return b"".join((jpeg[:2], b"\xff\xe1", (len(block) + 2).to_bytes(2), block, jpeg[2:]))


def read_all_files(directory: Path) -> None:
    """Read every file below a directory, to bring it into the page cache."""
    for parent, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(parent, name), "rb", buffering=0) as file:
                file.read()


def days_of(count: int) -> list[date]:
    """Return the days of the images of :func:`many_images`, oldest first."""
    per_day = 2 * timedelta(days=1) // _MANY_EVERY
    return [DAY - timedelta(days=back) for back in reversed(range(-(-count // per_day)))]
