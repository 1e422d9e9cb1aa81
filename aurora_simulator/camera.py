"""Writes the tree of a sky camera: images, hourly clips, the exposures beside them, and faults on request.

One hour of one view is one task; tasks know nothing of each other, so any number of processes gives the same bytes.
The camera runs as fast as it can and knows no clock: it writes the whole period that it is asked for, also when part
of it lies in the future.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aurora_simulator.faults import add_faults, check
from aurora_simulator.media import ClipWriter, jpeg, small_jpeg
from aurora_simulator.sky import sky
from aurora_simulator.spec import (
    CLIP_DELAY,
    HOUR,
    IMAGE_DELAY,
    OTHER_EXPOSURES,
    VIEWS,
    CameraSpec,
    View,
    clip_path,
    image_path,
    mtime_ns,
)

_PR_SET_PDEATHSIG = 1  # prctl(2)
POOL_PAYS_FROM = 200e6  # px in all; below that, starting processes takes longer than the work


@dataclass(frozen=True)
class Report:
    """What a run wrote.

    `bytes` is the size of all files, those of faults included. `faults` has, for each fault, the paths that it made,
    relative to the root; a path may also be a directory or a symbolic link.
    """

    images: int = 0
    clips: int = 0
    others: int = 0
    bytes: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """Number of paths written: images + clips + others + paths of faults."""
        return self.images + self.clips + self.others + sum(len(paths) for paths in self.faults.values())

    def __add__(self, other: Report) -> Report:
        return Report(
            self.images + other.images,
            self.clips + other.clips,
            self.others + other.others,
            self.bytes + other.bytes,
            self.faults | other.faults,
        )


def simulate(
    spec: CameraSpec,
    faults: Collection[str] = (),
    *,
    now: datetime | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write a camera's tree.

    Files that are already there are replaced when they have the same name, and left alone otherwise.

    Parameters
    ----------
    spec : CameraSpec
        What to write, and where.
    faults : collection of str
        Keys of `FAULTS` to add in the first hour, or `all`.
    now : datetime, optional
        Modification time of the file in flight (fault `in-flight`), aware; by default the clock's.
    workers : int
        Processes. With 1 the work is done in this one. More are spawned, so a script that calls this needs the usual
        `if __name__ == "__main__":`.
    progress : callable, optional
        Called as `progress(done, total)` after each hour of a view, in this process.

    Returns
    -------
    Report

    Raises
    ------
    SpecError
        If a fault cannot be made; nothing is written then.
    """
    check(spec, faults)
    tasks = [(spec, view, hour) for hour in spec.hour_starts() for view in VIEWS]
    report = Report()
    for done, part in enumerate(_run(tasks, workers), start=1):
        report += part
        if progress is not None:
            progress(done, len(tasks))
    made = add_faults(spec, faults, now or datetime.now(UTC))
    paths = [spec.root / path for paths in made.values() for path in paths]
    size = sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())
    return report + Report(bytes=size, faults=made)


def suggested_workers(spec: CameraSpec) -> int:
    """One process for a small job, one per processor for a large one."""
    pixels = sum(width * height for width, height in (view.size(spec.scale) for view in VIEWS))
    images = spec.hours * HOUR / spec.every
    return 1 if pixels * images < POOL_PAYS_FROM else os.cpu_count() or 1


def write_hour(spec: CameraSpec, view: View, hour: datetime) -> Report:
    """Write one hour of one view: its images, what stands beside them, and its clip."""
    times = spec.image_times(hour)
    if not times:
        return Report()
    renderer = sky(view, *view.size(spec.scale), spec.seed)
    clip = clip_path(hour, view)
    size = others = 0
    (spec.root / clip).parent.mkdir(parents=True, exist_ok=True)
    with ClipWriter(spec.root / clip, spec.codec) as writer:
        for time in times:
            frame = renderer.render(time)
            size += _write(spec, image_path(time, view), jpeg(frame), time)
            writer.add(frame)
            for exposure in OTHER_EXPOSURES if spec.other else ():
                size += _write(spec, image_path(time, view, exposure), small_jpeg(frame, exposure), time)
                others += 1
    _date(spec, clip, hour + HOUR + CLIP_DELAY)
    return Report(len(times), 1, others, size + (spec.root / clip).stat().st_size)


def _run(tasks: Iterable[tuple[CameraSpec, View, datetime]], workers: int) -> Iterator[Report]:
    """Reports of the tasks, in the order in which they end."""
    if workers <= 1:
        yield from (write_hour(*task) for task in tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        for future in as_completed([pool.submit(write_hour, *task) for task in tasks]):
            yield future.result()


def _end_with(parent: int) -> None:
    """Make this worker end when the process that started it ends, however; else it would wait for work for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _write(spec: CameraSpec, path: str, content: bytes, time: datetime) -> int:
    """Write an image; returns its bytes."""
    target = spec.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    _date(spec, path, time + IMAGE_DELAY)
    return len(content)


def _date(spec: CameraSpec, path: str, written: datetime) -> None:
    modified = mtime_ns(written, path)
    os.utime(spec.root / path, ns=(modified, modified))
