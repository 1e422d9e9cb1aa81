"""What goes wrong with camera files in the field, made on purpose: one function per fault.

Each fault adds its own files to the first hour of the FISH view and touches nothing else, so what a regular run writes
stays byte for byte the same. No two faults share an image time, and none has the time of a regular image. Faults of
hosts and networks are not made here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path

from aurora_simulator.media import clip, jpeg
from aurora_simulator.sky import Frame, sky
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
"""Name of each fault and what it adds, in one line."""

_MAKERS: dict[str, Callable[[Damage], None]] = {}


class Damage:
    """Where one fault writes, what it may use, and what it has written so far."""

    def __init__(self, spec: CameraSpec, name: str, now: datetime) -> None:
        self.spec = spec
        self.now = now
        self.size = FISH.size(spec.scale)
        self.paths: list[str] = []
        self._regular = set(spec.image_times(spec.start))
        self._base = spec.start + timedelta(minutes=1 + 3 * list(FAULTS).index(name))

    def time(self, item: int = 0) -> datetime:
        """This fault's own image time number `item` (0 to 4)."""
        wanted = self._base + timedelta(seconds=11 * (item + 1))
        return wanted if wanted not in self._regular else wanted + timedelta(seconds=1)

    def clip_path(self, minutes: int) -> str:
        """Path of an extra clip that begins `minutes` into the hour."""
        return clip_path(self.spec.start + timedelta(minutes=minutes), FISH)

    def frame(self, time: datetime, size: tuple[int, int] | None = None) -> Frame:
        """The sky at `time`, in the camera's size or another one."""
        return sky(FISH, *(size or self.size), self.spec.seed).render(time)

    def clip(self, codec: str, size: tuple[int, int] | None = None) -> bytes:
        """A short clip."""
        times = (self.spec.start + timedelta(minutes=index) for index in range(EXTRA_CLIP_FRAMES))
        return clip((self.frame(time, size) for time in times), codec)

    def write(self, path: str, content: bytes, written: datetime) -> None:
        """Write one file and set its modification time."""
        target = self._place(path)
        target.write_bytes(content)
        modified = mtime_ns(written, path)
        os.utime(target, ns=(modified, modified))

    def write_image(self, path: str, time: datetime, content: bytes | None = None) -> None:
        """Write an image, by default a good one, with the modification time that the camera would give."""
        self.write(path, jpeg(self.frame(time)) if content is None else content, time + IMAGE_DELAY)

    def write_clip(self, path: str, content: bytes) -> None:
        """Write a clip with the modification time of a regular one."""
        self.write(path, content, self.spec.start + timedelta(hours=1) + CLIP_DELAY)

    def link(self, path: str, target: Path) -> None:
        """Make a symbolic link."""
        link = self._place(path)
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def directory(self, path: str) -> None:
        """Make an empty directory."""
        self._place(path).mkdir(exist_ok=True)

    def _place(self, path: str) -> Path:
        target = self.spec.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self.paths.append(path)
        return target


def add_faults(spec: CameraSpec, names: Collection[str], now: datetime) -> dict[str, list[str]]:
    """Make faults; returns the relative paths that each made.

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
        As `check`.
    """
    check(spec, names)
    made = {}
    for name in expand(names):
        damage = Damage(spec, name, now)
        _MAKERS[name](damage)
        made[name] = damage.paths
    return made


def check(spec: CameraSpec, names: Collection[str]) -> None:
    """See that the faults can be made, before anything is written.

    Raises
    ------
    SpecError
        If a name is not known, or if images every second leave no time for the images of faults.
    """
    if expand(names) and spec.every < SHORTEST_INTERVAL:
        raise SpecError(f"faults need a second without an image: every must be 2 s or more, not {spec.every}")


def expand(names: Collection[str]) -> list[str]:
    """Fault names in the order of `FAULTS`, with `all` for every one.

    Raises
    ------
    SpecError
        If a name is not known.
    """
    unknown = sorted(set(names) - set(FAULTS) - {"all"})
    if unknown:
        raise SpecError(f"no such fault: {', '.join(unknown)}; known are all, {', '.join(FAULTS)}")
    return [name for name in FAULTS if name in names or "all" in names]


def without_moov(content: bytes) -> bytes:
    """An MP4 file without its index (`moov`), as a camera leaves it that lost power before it closed the file."""
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
    """Register a fault; its docstring is its description."""

    def register(make: Callable[[Damage], None]) -> Callable[[Damage], None]:
        FAULTS[name] = (make.__doc__ or "").strip()
        _MAKERS[name] = make
        return make

    return register


@_fault("truncated-jpeg")
def _truncated_jpeg(damage: Damage) -> None:
    """A settled JPEG that ends in the middle."""
    content = jpeg(damage.frame(damage.time()))
    damage.write_image(image_path(damage.time(), FISH), damage.time(), content[: len(content) // 2])


@_fault("empty-file")
def _empty_file(damage: Damage) -> None:
    """A settled JPEG of 0 bytes."""
    damage.write_image(image_path(damage.time(), FISH), damage.time(), b"")


@_fault("odd-size-jpeg")
def _odd_size_jpeg(damage: Damage) -> None:
    """A good JPEG of another width and height."""
    damage.write_image(
        image_path(damage.time(), FISH), damage.time(), jpeg(damage.frame(damage.time(), _odd(damage.size)))
    )


@_fault("no-moov")
def _no_moov(damage: Damage) -> None:
    """A clip without its moov atom, at minute 15."""
    damage.write_clip(damage.clip_path(15), without_moov(damage.clip(damage.spec.codec)))


@_fault("odd-codec-clip")
def _odd_codec_clip(damage: Damage) -> None:
    """A good clip in the other codec (MPEG-4 part 2 beside H.264, H.264 beside MPEG-4 part 2), at minute 30."""
    damage.write_clip(damage.clip_path(30), damage.clip("mpeg4" if damage.spec.codec == "h264" else "h264"))


@_fault("odd-size-clip")
def _odd_size_clip(damage: Damage) -> None:
    """A good H.264 clip of another width and height, at minute 45."""
    damage.write_clip(damage.clip_path(45), damage.clip("h264", _odd(damage.size)))


@_fault("in-flight")
def _in_flight(damage: Damage) -> None:
    """A JPEG that is still being written: its first third, modified just now."""
    content, path = jpeg(damage.frame(damage.time())), image_path(damage.time(), FISH)
    damage.write(path, content[: len(content) // 3], damage.now)
    modified = int(damage.now.timestamp()) * 1_000_000_000 + damage.now.microsecond * 1000
    os.utime(damage.spec.root / path, ns=(modified, modified))


@_fault("late")
def _late(damage: Damage) -> None:
    """A good JPEG that was recovered late: its modification time is 30 days before its time."""
    time = damage.time()
    damage.write(image_path(time, FISH), jpeg(damage.frame(time)), time - RECOVERED_BEFORE)


@_fault("odd-names")
def _odd_names(damage: Damage) -> None:
    """Good JPEGs with a blank, a newline, a non-ASCII letter or a leading dash in their names, or in a directory's."""
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
    """A symbolic link named like an image to a file outside of the tree, and one in the day to a directory outside."""
    damage.link(image_path(damage.time(), FISH), OUTSIDE_FILE)
    damage.link(f"FISH/{damage.spec.start:%Y%m%d}/elsewhere", OUTSIDE_DIRECTORY)


@_fault("upper-case")
def _upper_case(damage: Damage) -> None:
    """A good JPEG whose extension is .JPG."""
    damage.write_image(image_path(damage.time(), FISH).removesuffix(".jpg") + ".JPG", damage.time())


@_fault("future-date")
def _future_date(damage: Damage) -> None:
    """A good JPEG with a name of 2031 in this day's own directory, as after a wrong clock."""
    damage.write_image(f"{hour_directory(damage.spec.start, FISH)}/{FUTURE_NAME}", damage.time())


@_fault("directory-as-file")
def _directory_as_file(damage: Damage) -> None:
    """An empty directory with the proper name of an image."""
    damage.directory(image_path(damage.time(), FISH))


def _odd(size: tuple[int, int]) -> tuple[int, int]:
    """Half the size; a little more when that is already the smallest."""
    width, height = (even(side / 2) for side in size)
    return (width, height) if (width, height) != size else (width + 16, height + 16)
