"""Writes the file tree of a sky camera: images, hourly clips, other exposures, and faults on request.

One hour of one view is one task. Tasks are independent, so any number of processes gives the same bytes.
The camera runs as fast as it can and does not use the clock: it writes the whole requested period, even if part of it
lies in the future.
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

from aurora_simulator.faults import add_faults, check_faults
from aurora_simulator.media import ClipWriter, encode_jpeg, encode_small_jpeg
from aurora_simulator.sky import sky_renderer
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
POOL_MIN_PIXELS = 200e6  # px in total; below this, starting processes takes longer than the work


@dataclass(frozen=True)
class Report:
    """Counts of the files that a simulation wrote.

    `bytes` is the size of all files, including those of faults. `faults` lists the paths that each fault made, relative
    to the root; a path may also be a directory or a symbolic link.
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

    Existing files with the same name are replaced; other files are left alone.

    Parameters
    ----------
    spec : CameraSpec
        What to write, and where.
    faults : collection of str
        Keys of `FAULTS` to add in the first hour, or `all`.
    now : datetime, optional
        Modification time of the file in flight (fault `in-flight`), aware; default: the current time.
    workers : int
        Number of processes. With 1, this process does the work. More are spawned, so a script that calls this needs the
        usual `if __name__ == "__main__":`.
    progress : callable, optional
        Called in this process as `progress(done, total)` after each hour of each view.

    Returns
    -------
    Report

    Raises
    ------
    SpecError
        If a fault cannot be made; then nothing is written.
    """
    check_faults(spec, faults)
    tasks = [(spec, view, hour) for hour in spec.hour_starts() for view in VIEWS]
    report = Report()
    for done, part in enumerate(_run_tasks(tasks, workers), start=1):
        report += part
        if progress is not None:
            progress(done, len(tasks))
    fault_paths = add_faults(spec, faults, now or datetime.now(UTC))
    paths = [spec.root / path for paths in fault_paths.values() for path in paths]
    size = sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())
    return report + Report(bytes=size, faults=fault_paths)


def suggested_workers(spec: CameraSpec) -> int:
    """Return the number of processes: 1 for a small job, one per processor for a large one."""
    pixels = sum(width * height for width, height in (view.size(spec.scale) for view in VIEWS))
    images = spec.hours * HOUR / spec.every
    return 1 if pixels * images < POOL_MIN_PIXELS else os.cpu_count() or 1


def write_hour(spec: CameraSpec, view: View, hour: datetime) -> Report:
    """Write one hour of one view: its images, its other exposures and its clip."""
    times = spec.image_times(hour)
    if not times:
        return Report()
    renderer = sky_renderer(view, *view.size(spec.scale), spec.seed)
    clip = clip_path(hour, view)
    size = others = 0
    (spec.root / clip).parent.mkdir(parents=True, exist_ok=True)
    with ClipWriter(spec.root / clip, spec.codec) as writer:
        for time in times:
            frame = renderer.render(time)
            size += _write(spec, image_path(time, view), encode_jpeg(frame), time)
            writer.add(frame)
            for exposure in OTHER_EXPOSURES if spec.other else ():
                size += _write(spec, image_path(time, view, exposure), encode_small_jpeg(frame, exposure), time)
                others += 1
    _set_mtime(spec, clip, hour + HOUR + CLIP_DELAY)
    return Report(len(times), 1, others, size + (spec.root / clip).stat().st_size)


def _run_tasks(tasks: Iterable[tuple[CameraSpec, View, datetime]], workers: int) -> Iterator[Report]:
    """Run the tasks; yield their reports in the order in which they end."""
    if workers <= 1:
        yield from (write_hour(*task) for task in tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent, initargs=(os.getpid(),)) as pool:
        for future in as_completed([pool.submit(write_hour, *task) for task in tasks]):
            yield future.result()


def _end_with_parent(parent: int) -> None:
    """Make this worker end when its parent process ends in any way; otherwise it would wait for work for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _write(spec: CameraSpec, path: str, content: bytes, time: datetime) -> int:
    """Write an image; return its size in bytes."""
    target = spec.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    _set_mtime(spec, path, time + IMAGE_DELAY)
    return len(content)


def _set_mtime(spec: CameraSpec, path: str, written: datetime) -> None:
    """Set the modification time of a file."""
    modified = mtime_ns(written, path)
    os.utime(spec.root / path, ns=(modified, modified))
