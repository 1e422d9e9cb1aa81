"""The files that subjects are measured on: a day of the simulated camera at its real geometry."""

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
"""When everything of that day has settled."""

_MANY_EVERY = timedelta(minutes=5)
_WRITTEN_NS = 1_786_000_000_000_000_000  # ns since epoch, UTC: in August 2026


def workspace_in(directory: Path, products: str = "products") -> CameraWorkspace:
    """The camera's directories below ``directory``."""
    return CameraWorkspace(CameraLayout(directory / "raw", directory / products), directory / "locks")


def camera_day(
    directory: Path, every: timedelta, codec: str = "h264", scale: float = 1.0, day: date = DAY
) -> CameraWorkspace:
    """24 hours of both cameras below ``directory``."""
    workspace = workspace_in(directory)
    spec = CameraSpec(root=workspace.layout.raw, day=day, hours=24, every=every, codec=codec, scale=scale, other=False)
    simulate(spec, workers=os.cpu_count() or 1)
    return workspace


def many_images(directory: Path, count: int) -> CameraWorkspace:
    """``count`` small images of both cameras, those of one simulated day under the names of many.

    Each says in its Exif block when it was taken, as most cameras' do: no header is like the one before.
    """
    workspace = workspace_in(directory)
    with TemporaryDirectory(dir=directory) as model:
        spec = CameraSpec(root=Path(model), day=DAY, hours=24, every=_MANY_EVERY, scale=0.05, other=False)
        simulate(spec, workers=1)
        images = [path.relative_to(model) for path in sorted(Path(model).rglob("*.jpg"))]
        contents = [(Path(model) / path).read_bytes() for path in images]
    for number in range(count):
        past, which = divmod(number, len(images))
        day = compact(DAY - timedelta(days=past))
        path = workspace.layout.raw / str(images[which]).replace(compact(DAY), day)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_dated(contents[which], number))
        os.utime(path, ns=(_WRITTEN_NS + number, _WRITTEN_NS + number))
    return workspace


def _dated(jpeg: bytes, number: int) -> bytes:
    """A JPEG with an Exif block that no other number's has."""
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = f"{datetime.fromtimestamp(_WRITTEN_NS // 10**9 + number, UTC):%Y:%m:%d %H:%M:%S}"
    block = exif.tobytes()
    return b"".join((jpeg[:2], b"\xff\xe1", (len(block) + 2).to_bytes(2), block, jpeg[2:]))


def into_page_cache(directory: Path) -> None:
    """Read every file below a directory."""
    for place, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(place, name), "rb", buffering=0) as file:
                file.read()


def days_of(count: int) -> list[date]:
    """The days that :func:`many_images` has images of, oldest first."""
    a_day = 2 * timedelta(days=1) // _MANY_EVERY
    return [DAY - timedelta(days=past) for past in reversed(range(-(-count // a_day)))]
