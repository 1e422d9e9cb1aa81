"""The file names of the sky camera: camera, kind of media and time (UTC, to the second)."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, NamedTuple

from aurora_platform.layout import FISH, PANO

Kind = Literal["image", "video"]
MIME_TYPES: dict[Kind, str] = {"image": "image/jpeg", "video": "video/mp4"}

_KINDS: dict[str, Kind] = {"jpg": "image", "mp4": "video"}
# Cameras write extensions in either case; the rest of the name is exact.
_NAME = re.compile(r"HDR_(?P<time>[0-9]{8}_[0-9]{6})(?P<suffix>_PANO)?\.(?P<extension>(?i:jpg|mp4))")


@dataclass(frozen=True, slots=True)
class Camera:
    """One of the camera's two pictures of the sky."""

    key: str
    """Name in asset keys and product paths."""
    tree: str
    """Its directory below the raw root; also the catalogue's ``stream``."""
    label: str
    suffix: str
    """The part of its file names after the time."""


CAMERAS: dict[str, Camera] = {
    FISH: Camera(FISH, "FISH", "FISH HDR", ""),
    PANO: Camera(PANO, "PANO", "PANO HDR", "_PANO"),
}


class MediaName(NamedTuple):
    """A parsed file name."""

    kind: Kind
    time: datetime

    @property
    def day(self) -> date:
        return self.time.date()


def parse_name(filename: str, camera: Camera) -> MediaName:
    """Parse a file name such as ``HDR_20260818_120000_PANO.jpg``; raise ``ValueError`` with the reason if invalid."""
    match = _NAME.fullmatch(filename)
    text, suffix, extension = match.groups("") if match else ("", None, "")
    if suffix != camera.suffix:
        raise ValueError(f"the name is not HDR_YYYYMMDD_HHMMSS{camera.suffix}.jpg or .mp4")
    try:
        # Eight digits and six digits are a time in ISO 8601's basic format, with any separator between them.
        time = datetime.fromisoformat(f"{text}Z")
    except ValueError:
        raise ValueError("the name's date or time does not exist") from None
    return MediaName(_KINDS[extension.lower()], time)


def epoch_ns(time: datetime) -> int:
    """Convert a time to ns since epoch, UTC; exact for whole seconds."""
    return int(time.timestamp()) * 1_000_000_000


def from_epoch_ns(time_ns: int) -> datetime:
    """Convert ns since epoch to a time, UTC, without the fraction of a second."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
