"""Simulates a sky camera in real time: sky time runs faster than the clock until it catches up with the clock.

For soak tests and demonstrations of programs that read the tree. Names and bytes are those of `simulate`. It writes
like a real camera: a file has its final name from its first byte, is half written for `flight`, and has the
modification time of its last write. One process with one loop does all of it and never skips a file: a camera that is
too slow logs this and writes as fast as it can.

A stopped camera leaves the files in flight half written, as after a power loss. Started again with the same `begin` (a
clock set back) it writes the same names again, each in place and from its first byte. It never appends to existing
files: half files become whole, whole files become half for `flight`, and all end with the same bytes and a new
modification time. Started with a later `begin` it does not return to the half files; they stay, as in the field. Files
with other names are left alone.

It does not lock the tree: run one camera per root.
"""

from __future__ import annotations

import heapq
import io
import json
import os
import time as wall_clock
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import BinaryIO, TextIO

from aurora_simulator.live_spec import LiveSpec, SkyClock, absolute_path
from aurora_simulator.media import ClipWriter, encode_jpeg, encode_small_jpeg
from aurora_simulator.sky import sky_renderer
from aurora_simulator.spec import (
    FISH,
    HOUR,
    IMAGE_DELAY,
    OTHER_EXPOSURES,
    VIEWS,
    SpecError,
    View,
    clip_path,
    image_path,
    mtime_ns,
)

LAG_LIMIT = 2.0  # s; a larger lag of a file is logged
ON_TIME = 0.5  # s; after a larger lag, a lag below this is logged as on time again
MOST_IN_FLIGHT = 200  # files are open and in memory; with more of them the camera falls behind

type Log = Callable[[str], object]
type Action = Callable[[], None]


@dataclass(frozen=True)
class LiveReport:
    """Counts of the files that a live camera wrote. Begun files = `files` + `unfinished`.

    `images`, `clips`, `others` and `late` count whole files and `bytes` is their size; `unfinished` lists the paths of
    half-written files; `lag` is the largest lag of the camera, in s.
    """

    images: int
    clips: int
    others: int
    late: int
    bytes: int
    unfinished: tuple[str, ...]
    lag: float

    @property
    def files(self) -> int:
        """Number of whole files written; the journal has as many new lines."""
        return self.images + self.clips + self.others + self.late


def print_line(line: str) -> None:
    """Print a line without buffering."""
    print(line, flush=True)


def run_live(
    spec: LiveSpec,
    *,
    log: Log = print_line,
    clock: Callable[[], float] = wall_clock.time,
    sleep: Callable[[float], None] = wall_clock.sleep,
) -> LiveReport:
    """Write a camera's tree in real time, until its hours are over or `KeyboardInterrupt` is raised.

    Parameters
    ----------
    spec : LiveSpec
        Describes the files, their root and the speed.
    log : callable
        Gets one line per hour of sky time and per special event.
    clock : callable
        Returns the time, s since epoch.
    sleep : callable
        Waits for this many seconds; called before every action, with 0 when there is nothing to wait for. A
        `KeyboardInterrupt` that it raises ends the run between two actions, so that the journal has every whole file.

    Returns
    -------
    LiveReport

    Raises
    ------
    SpecError
        If `begin` is in the future, or if the root cannot be renamed for an outage or back.
    """
    started = clock()
    if spec.begin.timestamp() > started:
        raise SpecError(f"begin must not be in the future: it is {datetime.fromtimestamp(started, UTC)} now")
    if spec.journal is not None:
        spec.journal.parent.mkdir(parents=True, exist_ok=True)
    with open(spec.journal, "a", encoding="utf-8") if spec.journal is not None else nullcontext() as journal:
        camera = _Camera(spec, SkyClock(spec.begin, spec.speed, started), log, clock, sleep, journal)
        camera.start()
        try:
            camera.run()
        except KeyboardInterrupt:
            camera.log("stopped")
        finally:
            camera.end()
        return camera.report()


@dataclass(frozen=True)
class _Flight:
    """A file whose first half is written; the second half is written `at` this time, s since epoch."""

    at: float
    kind: str
    path: str
    file: BinaryIO
    rest: bytes
    size: int  # bytes of the whole file


class _Camera:
    """The loop: a heap of actions, each with its clock time; the next image or clip is always one of them."""

    def __init__(
        self,
        spec: LiveSpec,
        sky_clock: SkyClock,
        log: Log,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        journal: TextIO | None,
    ) -> None:
        self._spec, self._sky_clock, self._journal = spec, sky_clock, journal
        self._log, self._clock, self._sleep = log, clock, sleep
        self._root = self._online_root = absolute_path(spec.root)
        self._heap: list[tuple[float, int, Action]] = []
        self._order = count()
        self._schedule = self._planned_actions()
        self._is_schedule_over = False
        self._flights: dict[int, _Flight] = {}
        self._clips: dict[View, tuple[io.BytesIO, ClipWriter]] = {}
        self._written: Counter[str] = Counter()
        self._lag = 0.0
        self._is_behind = self._has_caught_up = False

    def start(self) -> None:
        """Make the root, or give it its name back, and plan the first actions."""
        if self._restore_root():
            self.log(
                f"{self._spec.offline} of a camera that was killed in an outage is renamed back to {self._online_root}"
            )
        self._online_root.mkdir(parents=True, exist_ok=True)
        if self._spec.late_by:
            self._plan(self._sky_clock.wall(self._spec.begin + self._spec.late_after), self._recover_late)
        if self._spec.outage:
            self._plan(self._sky_clock.started + self._spec.outage_after.total_seconds(), self._go_offline)
        self._plan_next()

    def run(self) -> None:
        """Write until the schedule ends and no file is in flight."""
        while self._flights or not self._is_schedule_over:
            at, _, action = heapq.heappop(self._heap)
            self._wait(at)
            action()

    def end(self) -> None:
        """Leave the tree as after a power loss, and give the root its name back."""
        for flight in self._flights.values():
            flight.file.close()
        if self._restore_root():
            self.log("outage ends with the camera")

    def report(self) -> LiveReport:
        """Return the counts so far."""
        images, clips, others, late, size = (
            self._written[kind] for kind in ("images", "clips", "others", "late", "bytes")
        )
        unfinished = tuple(flight.path for flight in self._flights.values())
        return LiveReport(images, clips, others, late, size, unfinished, self._lag)

    def log(self, text: str, sky_time: datetime | None = None) -> None:
        """Log one line with clock time and sky time, both UTC."""
        now = self._clock()
        times = (datetime.fromtimestamp(now, UTC), sky_time or self._sky_clock.sky(now))
        self._log("{:%Y-%m-%d %H:%M:%S}  sky {:%Y-%m-%d %H:%M:%S}  ".format(*times) + text)

    def _planned_actions(self) -> Iterator[tuple[datetime, Action]]:
        """Yield the actions of the camera with their sky times, in order."""
        camera = self._spec.camera
        for index in count() if self._spec.hours is None else range(self._spec.hours):
            hour = camera.start + index * HOUR
            for time in camera.image_times(hour):
                if time >= self._spec.begin:
                    yield from ((time, partial(self._take_image, view, time)) for view in VIEWS)
            yield hour + HOUR, partial(self._end_hour, hour)

    def _plan_next(self) -> None:
        """Plan the next action of the schedule; an overdue action comes after the overdue second halves of files."""
        item = next(self._schedule, None)
        if item is None:
            self._is_schedule_over = True
            return
        time, action = item
        at = max(self._sky_clock.wall(time), self._clock())
        if len(self._flights) >= MOST_IN_FLIGHT:
            at = max(at, next(iter(self._flights.values())).at)
        self._plan(at, partial(self._step, time, action))

    def _step(self, time: datetime, action: Action) -> None:
        self._watch_pace(time)
        action()
        self._plan_next()

    def _watch_pace(self, time: datetime) -> None:
        """Log when the camera falls behind or is on time again, and when sky time has caught up with the clock."""
        at = self._sky_clock.wall(time)
        lag = self._clock() - at
        self._lag = max(self._lag, lag)
        if not self._is_behind and lag > LAG_LIMIT:
            self._is_behind = True
            self.log(f"falls behind: {lag:.1f} s late; continues as fast as it can, skips nothing", time)
        elif self._is_behind and lag < ON_TIME:
            self._is_behind = False
            self.log("is on time again", time)
        if not self._has_caught_up and at <= time.timestamp():
            self._has_caught_up = True
            self.log("sky time has caught up with the clock; speed is 1 from now on", time)

    def _take_image(self, view: View, time: datetime) -> None:
        frame = sky_renderer(view, *view.size(self._spec.scale), self._spec.seed).render(time)
        self._begin_file("images", image_path(time, view), encode_jpeg(frame))
        if view not in self._clips:
            buffer = io.BytesIO()
            self._clips[view] = buffer, ClipWriter(buffer, self._spec.codec)
        self._clips[view][1].add(frame)
        for exposure in OTHER_EXPOSURES if self._spec.other else ():
            self._begin_file("others", image_path(time, view, exposure), encode_small_jpeg(frame, exposure))

    def _end_hour(self, hour: datetime) -> None:
        for view, (buffer, writer) in self._clips.items():
            writer.close()
            self._begin_file("clips", clip_path(hour, view), buffer.getvalue())
        self._clips.clear()
        total = self.report()
        text = f"hour {hour:%H} done: {total.images} images, {total.clips} clips, {total.others} other so far"
        text += f" ({total.bytes / 1e6:.1f} MB), {len(total.unfinished)} in flight"
        self.log(
            text + f"; {self._clock() - self._sky_clock.wall(hour + HOUR):.1f} s late" * self._is_behind, hour + HOUR
        )

    def _begin_file(self, kind: str, path: str, content: bytes) -> None:
        """Write the first half of a file; the second half follows after `flight`."""
        half = len(content) // 2
        file = open(self._prepare(path), "wb")  # noqa: SIM115  (open for as long as the file is in flight)
        file.write(content[:half])
        file.flush()
        number, at = next(self._order), self._clock() + self._spec.flight.total_seconds()
        self._flights[number] = _Flight(at, kind, path, file, content[half:], len(content))
        self._plan(at, partial(self._end_file, number))

    def _end_file(self, number: int) -> None:
        flight = self._flights[number]
        flight.file.write(flight.rest)
        flight.file.close()
        del self._flights[number]
        self._record(flight.kind, flight.path, flight.size)

    def _record(self, kind: str, path: str, size: int) -> None:
        """Count a whole file, and add it to the journal."""
        self._written[kind] += 1
        self._written["bytes"] += size
        if self._journal is not None:
            line = json.dumps({"path": path, "bytes": size, "complete_at": self._clock()})
            self._journal.write(line + "\n")
            self._journal.flush()

    def _recover_late(self) -> None:
        """Write the late image, whole and with the modification time that matches its image time."""
        time = (self._spec.begin + self._spec.late_after - self._spec.late_by).replace(microsecond=0)
        content = encode_jpeg(sky_renderer(FISH, *FISH.size(self._spec.scale), self._spec.seed).render(time))
        path = image_path(time, FISH)
        target = self._prepare(path)
        target.write_bytes(content)
        modified = mtime_ns(time + IMAGE_DELAY, path)
        os.utime(target, ns=(modified, modified))
        self._record("late", path, len(content))
        self.log(f"late file: {path}")

    def _go_offline(self) -> None:
        _rename(self._online_root, self._spec.offline)
        self._root = self._spec.offline
        self._plan(self._clock() + self._spec.outage.total_seconds(), self._come_back)
        self.log(f"outage begins: {self._online_root} is renamed to {self._root}")

    def _come_back(self) -> None:
        self._restore_root()
        self.log(f"outage ends: {self._online_root} has its name back")

    def _restore_root(self) -> bool:
        """Give the root its name back; return whether it was renamed. It reads the disk: the loop may be killed."""
        offline = self._spec.offline
        if not os.path.lexists(offline):
            return False
        if os.path.lexists(self._online_root):
            raise SpecError(
                f"{offline} is the root in an outage, but {self._online_root} exists too; move one of them away"
            )
        _rename(offline, self._online_root)
        self._root = self._online_root
        return True

    def _prepare(self, path: str) -> Path:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _plan(self, at: float, action: Action) -> None:
        heapq.heappush(self._heap, (at, next(self._order), action))

    def _wait(self, until: float) -> None:
        """Wait for this clock time, also if the clock was set back; call `sleep` at least once."""
        left = 1.0
        while left > 0:
            left = until - self._clock()
            self._sleep(max(0.0, left))


def _rename(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise SpecError(
            f"cannot rename {source} to {target} for an outage: {error}; set outage to 0 to run without one"
        ) from error
