"""Makes the faults that camera files have in the field: one function per fault.

Each fault adds its own files to the first hour of the FISH view and changes nothing else, so the regular files stay
byte for byte the same. No two faults share an image time, and no fault has the time of a regular image. It does not
make faults of hosts and networks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path

from aurora_simulator.media import encode_clip, encode_jpeg
from aurora_simulator.sky import Frame, sky_renderer
from aurora_simulator.spec import (
    CLIP_DELAY,
    FISH,
    IMAGE_DELAY,
    CameraSpec,
    SpecError,
    clip_path,
    even,
    hour_directory,
    image_path,
    mtime_ns,
)

OUTSIDE_FILE = Path("/etc/hostname")
OUTSIDE_DIRECTORY = Path("/etc")
FUTURE_NAME = "HDR_20310101_000000.jpg"
RECOVERED_BEFORE = timedelta(days=30)
EXTRA_CLIP_FRAMES = 3
SHORTEST_INTERVAL = timedelta(seconds=2)

FAULTS: dict[str, str] = {}
"""Name of each fault, and one line that describes the files that it adds."""

_MAKERS: dict[str, Callable[[Damage], None]] = {}


class Damage:
    """Writes the files of one fault and records their paths."""

    def __init__(self, spec: CameraSpec, name: str, now: datetime) -> None:
        self.spec = spec
        self.now = now
        self.size = FISH.size(spec.scale)
        self.paths: list[str] = []
        self._regular = set(spec.image_times(spec.start))
        self._base = spec.start + timedelta(minutes=1 + 3 * list(FAULTS).index(name))

    def time(self, item: int = 0) -> datetime:
        """Return image time number `item` (0 to 4) of this fault; no other fault and no regular image has it."""
        time = self._base + timedelta(seconds=11 * (item + 1))
        return time if time not in self._regular else time + timedelta(seconds=1)

    def clip_path(self, minutes: int) -> str:
        """Return the path of an extra clip that begins `minutes` after the full hour."""
        return clip_path(self.spec.start + timedelta(minutes=minutes), FISH)

    def frame(self, time: datetime, size: tuple[int, int] | None = None) -> Frame:
        """Render the sky at `time`, in the size of the camera or in `size`."""
        return sky_renderer(FISH, *(size or self.size), self.spec.seed).render(time)

    def clip(self, codec: str, size: tuple[int, int] | None = None) -> bytes:
        """Return the bytes of a short clip."""
        times = (self.spec.start + timedelta(minutes=index) for index in range(EXTRA_CLIP_FRAMES))
        return encode_clip((self.frame(time, size) for time in times), codec)

    def write(self, path: str, content: bytes, written: datetime) -> None:
        """Write one file and set its modification time."""
        target = self._prepare(path)
        target.write_bytes(content)
        modified = mtime_ns(written, path)
        os.utime(target, ns=(modified, modified))

    def write_image(self, path: str, time: datetime, content: bytes | None = None) -> None:
        """Write an image, by default a valid one, with the modification time that the camera would set."""
        self.write(path, encode_jpeg(self.frame(time)) if content is None else content, time + IMAGE_DELAY)

    def write_clip(self, path: str, content: bytes) -> None:
        """Write a clip with the modification time of a regular clip."""
        self.write(path, content, self.spec.start + timedelta(hours=1) + CLIP_DELAY)

    def link(self, path: str, target: Path) -> None:
        """Make a symbolic link."""
        link = self._prepare(path)
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def directory(self, path: str) -> None:
        """Make an empty directory."""
        self._prepare(path).mkdir(exist_ok=True)

    def _prepare(self, path: str) -> Path:
        target = self.spec.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self.paths.append(path)
        return target


def add_faults(spec: CameraSpec, names: Collection[str], now: datetime) -> dict[str, list[str]]:
    """Make faults; return the relative paths that each fault made.

    Parameters
    ----------
    spec : CameraSpec
        The camera; its `start_hour` gets the faults.
    names : collection of str
        Keys of `FAULTS`, or `all`.
    now : datetime
        Modification time of a file in flight, UTC.

    Raises
    ------
    SpecError
        As `check_faults`.
    """
    check_faults(spec, names)
    paths = {}
    for name in expand(names):
        damage = Damage(spec, name, now)
        _MAKERS[name](damage)
        paths[name] = damage.paths
    return paths


def check_faults(spec: CameraSpec, names: Collection[str]) -> None:
    """Check that the faults can be made, before anything is written.

    Raises
    ------
    SpecError
        If a name is unknown, or if images come every second and leave no time for the images of faults.
    """
    if expand(names) and spec.every < SHORTEST_INTERVAL:
        raise SpecError(f"faults need a second without an image: every must be 2 s or more, not {spec.every}")


def expand(names: Collection[str]) -> list[str]:
    """Return the fault names in the order of `FAULTS`; `all` stands for every fault.

    Raises
    ------
    SpecError
        If a name is unknown.
    """
    unknown = sorted(set(names) - set(FAULTS) - {"all"})
    if unknown:
        raise SpecError(f"no such fault: {', '.join(unknown)}; choose from all, {', '.join(FAULTS)}")
    return [name for name in FAULTS if name in names or "all" in names]


def without_moov(content: bytes) -> bytes:
    """Return an MP4 file without its index (`moov`), as after a power loss before the camera closed the file."""
    kept, offset = b"", 0
    while offset < len(content):
        length = int.from_bytes(content[offset : offset + 4])
        if length == 1:  # a 64-bit length follows the type
            length = int.from_bytes(content[offset + 8 : offset + 16])
        if content[offset + 4 : offset + 8] != b"moov":
            kept += content[offset : offset + length]
        offset += length
    return kept


def _fault(name: str) -> Callable[[Callable[[Damage], None]], Callable[[Damage], None]]:
    """Register a fault; the docstring of the function describes it."""

    def register(make: Callable[[Damage], None]) -> Callable[[Damage], None]:
        FAULTS[name] = (make.__doc__ or "").strip()
        _MAKERS[name] = make
        return make

    return register


@_fault("truncated-jpeg")
def _truncated_jpeg(damage: Damage) -> None:
    """A settled JPEG that ends in the middle."""
    content = encode_jpeg(damage.frame(damage.time()))
    damage.write_image(image_path(damage.time(), FISH), damage.time(), content[: len(content) // 2])


@_fault("empty-file")
def _empty_file(damage: Damage) -> None:
    """A settled JPEG of 0 bytes."""
    damage.write_image(image_path(damage.time(), FISH), damage.time(), b"")


@_fault("odd-size-jpeg")
def _odd_size_jpeg(damage: Damage) -> None:
    """A valid JPEG of another width and height."""
    damage.write_image(
        image_path(damage.time(), FISH),
        damage.time(),
        encode_jpeg(damage.frame(damage.time(), _other_size(damage.size))),
    )


@_fault("no-moov")
def _no_moov(damage: Damage) -> None:
    """A clip without its moov atom, at minute 15."""
    damage.write_clip(damage.clip_path(15), without_moov(damage.clip(damage.spec.codec)))


@_fault("odd-codec-clip")
def _odd_codec_clip(damage: Damage) -> None:
    """A valid clip in the other codec (MPEG-4 part 2 beside H.264, H.264 beside MPEG-4 part 2), at minute 30."""
    damage.write_clip(damage.clip_path(30), damage.clip("mpeg4" if damage.spec.codec == "h264" else "h264"))


@_fault("odd-size-clip")
def _odd_size_clip(damage: Damage) -> None:
    """A valid H.264 clip of another width and height, at minute 45."""
    damage.write_clip(damage.clip_path(45), damage.clip("h264", _other_size(damage.size)))


@_fault("in-flight")
def _in_flight(damage: Damage) -> None:
    """A JPEG that is still being written: its first third, modified now."""
    content, path = encode_jpeg(damage.frame(damage.time())), image_path(damage.time(), FISH)
    damage.write(path, content[: len(content) // 3], damage.now)
    modified = int(damage.now.timestamp()) * 1_000_000_000 + damage.now.microsecond * 1000
    os.utime(damage.spec.root / path, ns=(modified, modified))


@_fault("late")
def _late(damage: Damage) -> None:
    """A valid JPEG that was recovered late: its modification time is 30 days before its image time."""
    time = damage.time()
    damage.write(image_path(time, FISH), encode_jpeg(damage.frame(time)), time - RECOVERED_BEFORE)


@_fault("odd-names")
def _odd_names(damage: Damage) -> None:
    """Valid JPEGs with a blank, a newline, a non-ASCII letter or a leading dash in the name of file or directory."""
    hour, day = hour_directory(damage.spec.start, FISH), f"FISH/{damage.spec.start:%Y%m%d}"
    for item, pattern in enumerate(
        (
            f"{hour}/HDR_%Y%m%d_%H%M%S copy 1.jpg",
            f"{hour}/HDR_%Y%m%d_%H%M%S\nsecond line.jpg",
            f"{hour}/HDR_%Y%m%d_%H%M%S þoka.jpg",
            f"{hour}/-HDR_%Y%m%d_%H%M%S.jpg",
            f"{day}/-12/HDR_%Y%m%d_%H%M%S.jpg",
        )
    ):
        damage.write_image(damage.time(item).strftime(pattern), damage.time(item))


@_fault("symlink-out")
def _symlink_out(damage: Damage) -> None:
    """A symbolic link, named like an image, to a file outside the tree, and one in the day to a directory outside."""
    damage.link(image_path(damage.time(), FISH), OUTSIDE_FILE)
    damage.link(f"FISH/{damage.spec.start:%Y%m%d}/elsewhere", OUTSIDE_DIRECTORY)


@_fault("upper-case")
def _upper_case(damage: Damage) -> None:
    """A valid JPEG with the extension .JPG."""
    damage.write_image(image_path(damage.time(), FISH).removesuffix(".jpg") + ".JPG", damage.time())


@_fault("future-date")
def _future_date(damage: Damage) -> None:
    """A valid JPEG with a name of 2031 in the directory of this day, as a wrong clock causes it."""
    damage.write_image(f"{hour_directory(damage.spec.start, FISH)}/{FUTURE_NAME}", damage.time())


@_fault("directory-as-file")
def _directory_as_file(damage: Damage) -> None:
    """An empty directory with the name of an image."""
    damage.directory(image_path(damage.time(), FISH))


def _other_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return half the size, or a slightly larger size when it is the smallest already."""
    width, height = (even(side / 2) for side in size)
    return (width, height) if (width, height) != size else (width + 16, height + 16)
