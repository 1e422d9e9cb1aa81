"""A day of the camera in ten minutes, with outages and kills; then ten minutes without new files.

``make soak`` runs it; ``make soak-short`` uses some hours and days instead of a day and a month, with the same faults.
At the end all products must equal those of one undisturbed run on the same camera. It prints the latencies from
"settled on the host" to "row in the catalogue", and the number of runs.
"""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterEventType
from rich.console import Console
from rich.table import Table

from aurora_assets.instance.launcher import WORKER
from aurora_platform.config.site import Site
from aurora_platform.layout import Layout
from aurora_platform.mirror.scan import scan
from aurora_platform.transport.listing import LocalSource
from aurora_simulator import CameraSpec, simulate
from aurora_simulator.ssh_server import SshServer, readable_directory
from tests.comparing import rows, tree
from tests.patience import patient
from tests.soak.observatory import EVERY, ROOT, SETTLE, Observatory, RowWatch
from tests.soak.slowness import QUIET, SlownessMeter

DAY = datetime.now(UTC).date() - timedelta(days=1)
HOURS = int(os.environ.get("SOAK_HOURS", "24"))
SECONDS_PER_HOUR = 25.0
SILENCE = float(os.environ.get("SOAK_SILENCE", "600"))  # s
HISTORY_DAYS = int(os.environ.get("SOAK_HISTORY", "30"))
HISTORY = [DAY - timedelta(days=n) for n in range(12 + HISTORY_DAYS, 12, -1)]  # older than the late file
IS_WHOLE_DAY = HOURS == 24
RECONCILE = "*/5 * * * *" if IS_WHOLE_DAY else "* * * * *"  # the schedule that copies the late file
LATENCY_BOUND = 30.0  # s on a quiet machine, in addition to one sensor interval
STUCK = patient(300)  # s with unfinished runs of which none begins or ends
IDLE = patient(75.0)  # s without any run: all work is done
RECOVERY = patient(60.0)  # s for retries with their pauses after a fault


@dataclass
class Story:
    """The disturbances of the observatory, with begin and end."""

    faults: list[tuple[str, float, float]] = field(default_factory=list)
    backfill: str = ""
    backfilling: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of each run of the backfill."""
    killed: str = ""

    def is_disturbed(self, begin: float, end: float) -> bool:
        return any(begin < to + RECOVERY and end > since for _, since, to in self.faults)

    def is_during_backfill(self, moment: float) -> bool:
        return any(since <= moment <= to for since, to in self.backfilling)


def test_a_day_with_outages_and_kills_ends_like_one_undisturbed_run(capsys: pytest.CaptureFixture) -> None:
    with readable_directory() as directory, SshServer(directory / "sshd") as host, capsys.disabled():
        observatory = Observatory(directory / "site", host, RECONCILE)
        watch = RowWatch(Layout.of(observatory.site).camera.products / "wxcam_catalog.sqlite")
        meter = SlownessMeter()
        put_history(observatory.directory / "history")
        watch.start()
        meter.start()
        observatory.start_daemon()
        camera = observatory.start_camera(DAY, HOURS, 3600 / SECONDS_PER_HOUR)
        try:
            story = disturb(observatory, camera)
            drain(observatory)
            record_backfill(observatory, story)
            before = len(observatory.runs())
            report(observatory, story, watch, meter)
            time.sleep(SILENCE)
            after = len(observatory.runs())
        finally:
            camera.kill()
            watch.stop()
            meter.stop()
            observatory.stop_daemon()
        assert after == before, f"{after - before} runs although nothing arrived for {SILENCE:.0f} s"
        check_latencies(observatory, story, watch, meter)
        check_runs(observatory, story)
        check_every_file_is_in_one_state(observatory.site)
        check_against_a_quiet_run(observatory)


def put_history(directory: Path) -> None:
    """Write the older days for the backfill; they stay outside of the camera's tree until then."""
    for day in HISTORY:
        simulate(CameraSpec(directory, day, hours=24, every=timedelta(minutes=60), scale=0.1, other=False))


def disturb(observatory: Observatory, camera: subprocess.Popen[bytes]) -> Story:
    """Cause two outages, two kills, a backfill of the older days, and two bad files."""
    story, began = Story(), time.time()
    length = HOURS * SECONDS_PER_HOUR

    def wait_until(share: float) -> None:
        time.sleep(max(0.0, began + share * length - time.time()))

    wait_until(0.10)
    cut_off(observatory, story, 20)
    wait_until(0.25)
    add_bad_files(observatory.camera)
    wait_until(0.30)
    since = time.time()
    observatory.kill_daemon()
    time.sleep(5)
    observatory.start_daemon()
    story.faults.append(("daemon killed", since, time.time()))
    wait_until(0.50)
    for tree_name in ("FISH", "PANO"):
        for day in (observatory.directory / "history" / tree_name).iterdir():
            day.rename(observatory.camera / tree_name / day.name)
    story.backfill = observatory.backfill(HISTORY)
    wait_until(0.75)
    since = time.time()
    story.killed = observatory.kill_a_live_run()
    story.faults.append(("run killed", since, time.time()))
    wait_until(0.88)
    cut_off(observatory, story, 30)
    assert camera.wait(STUCK) == 0, (observatory.directory / "camera.log").read_text()
    return story


def cut_off(observatory: Observatory, story: Story, seconds: float) -> None:
    since = time.time()
    observatory.host.stop()
    time.sleep(seconds)
    observatory.host.start()
    story.faults.append(("host cut off", since, time.time()))


def add_bad_files(camera: Path) -> None:
    """Add a link, which must be refused, and a truncated image."""
    directory = camera / "FISH" / f"{DAY:%Y%m%d}" / "01"
    deadline = time.monotonic() + STUCK
    while not list(directory.glob("HDR_*.jpg")):  # on a busy machine the camera is late
        assert time.monotonic() < deadline, f"the camera has written no image of 01 h for {STUCK:.0f} s"
        time.sleep(0.5)
    (directory / f"HDR_{DAY:%Y%m%d}_010101.jpg").symlink_to("/etc/hostname")
    image = next(path for path in sorted(directory.glob("HDR_*.jpg")) if path.is_file() and not path.is_symlink())
    (directory / f"HDR_{DAY:%Y%m%d}_010202.jpg").write_bytes(image.read_bytes()[:-3000])


def drain(observatory: Observatory) -> None:
    """Wait until no run is active and no run has begun for ``IDLE``."""
    before, since = (-1, -1), time.monotonic()
    while True:
        now = len(observatory.runs()), observatory.unfinished()
        if now != before:
            before, since = now, time.monotonic()
        unchanged, unfinished = time.monotonic() - since, now[1]
        if unchanged > IDLE and not unfinished:
            return
        assert unchanged < STUCK, f"{unfinished} unfinished runs, none has ended for {STUCK:.0f} s"
        time.sleep(3)


def record_backfill(observatory: Observatory, story: Story) -> None:
    """Record when the runs of the backfill were active, from the records of Dagster."""
    runs = [r for r in observatory.runs() if r.dagster_run.tags.get("dagster/backfill") == story.backfill]
    assert runs, observatory.describe_backfill(story.backfill)
    assert {r.dagster_run.status.value for r in runs} <= {"SUCCESS"}
    story.backfilling = [(r.start_time or 0.0, r.end_time or 0.0) for r in runs]


@dataclass(frozen=True)
class Latency:
    """The time from "settled on the host" to "row in the catalogue"."""

    seconds: float
    bound: float
    """s, scaled by the slowness of this machine at that time."""


def latencies(
    observatory: Observatory, story: Story, watch: RowWatch, meter: SlownessMeter
) -> dict[str, list[Latency]]:
    """Return the latency of each file, grouped by the disturbances at that time."""
    groups: dict[str, list[Latency]] = {"undisturbed": [], "during the backfill": [], "after a fault": []}
    for entry in observatory.journal_entries():
        source = observatory.camera / entry["path"]
        if f"{DAY:%Y%m%d}" not in entry["path"]:
            continue  # the late file: its mtime is days ago
        settled = source.stat().st_mtime + SETTLE.total_seconds()
        listed = watch.first_listed.get(entry["path"])
        assert listed is not None, f"{entry['path']} is not in the catalogue"
        kind = "undisturbed"
        if story.is_disturbed(settled, listed):
            kind = "after a fault"
        elif story.is_during_backfill(settled):
            kind = "during the backfill"
        bound = EVERY.total_seconds() + LATENCY_BOUND * meter.slowness(settled, listed)
        groups[kind].append(Latency(listed - settled, bound))
    return groups


def report(observatory: Observatory, story: Story, watch: RowWatch, meter: SlownessMeter) -> None:
    console = Console(width=110, highlight=False)
    table = Table("settled on the host -> row in the catalogue", "files", "median s", "worst s", title="Soak")
    for kind, group in latencies(observatory, story, watch, meter).items():
        if values := [latency.seconds for latency in group]:
            table.add_row(kind, str(len(values)), f"{statistics.median(values):.1f}", f"{max(values):.1f}")
    console.print(table)
    console.print(
        f"bound without a fault: one sensor interval of {EVERY.seconds} s, plus {LATENCY_BOUND:.0f} s times the "
        "slowness of this machine at that time"
    )
    durations = [seconds for _, seconds in meter.measured]
    console.print(
        f"a new process loads Dagster in {statistics.median(durations):.1f} s (median), {max(durations):.1f} s (worst);"
        f" more than {QUIET} s is slow"
    )
    needed, all_runs = useful_runs(observatory)
    by_kind: dict[str, int] = {}
    for record in observatory.runs():
        run = record.dagster_run
        kind = f"{run.job_name} {run.status.value.lower()}" + (" (backfill)" if "dagster/backfill" in run.tags else "")
        by_kind[kind] = by_kind.get(kind, 0) + 1
    console.print(f"{all_runs} runs, {needed} of them had work; " + str(by_kind))
    console.print(f"{arrivals(observatory)} sensor intervals in which something settled")
    for name, since, to in story.faults + [("backfill run", *span) for span in story.backfilling]:
        console.print(f"{datetime.fromtimestamp(since, UTC):%H:%M:%S} {name} for {to - since:.0f} s")


def useful_runs(observatory: Observatory) -> tuple[int, int]:
    """Return the number of runs that copied or made something, and of all runs."""
    useful = 0
    with observatory.instance() as instance:
        records = observatory.runs()
        for record in records:
            events = instance.get_records_for_run(
                record.dagster_run.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION
            ).records
            materializations = [event.event_log_entry.asset_materialization for event in events]
            useful += any(
                item.metadata[name].value
                for item in materializations
                if item is not None
                for name in ("copied", "added", "changed", "rebuilt", "made")
                if name in item.metadata
            )
    return useful, len(records)


def check_latencies(observatory: Observatory, story: Story, watch: RowWatch, meter: SlownessMeter) -> None:
    groups = latencies(observatory, story, watch, meter)
    for kind in ("undisturbed", "during the backfill"):
        # In the short soak almost every file comes soon after a fault.
        assert groups[kind] or not IS_WHOLE_DAY, f"no file arrived {kind}"
        late = [latency for latency in groups[kind] if latency.seconds > latency.bound]
        assert late == [], kind


def arrivals(observatory: Observatory) -> int:
    """Return the number of sensor intervals in which a file settled, from the journal of the camera."""
    settled = [entry["complete_at"] + SETTLE.total_seconds() for entry in observatory.journal_entries()]
    return len({int(moment // EVERY.total_seconds()) for moment in settled})


def check_runs(observatory: Observatory, story: Story) -> None:
    needed, count = useful_runs(observatory)
    # Each fault may cost a run without work; in a whole day these are less than a fifth of all runs.
    spare = 0 if IS_WHOLE_DAY else len(story.faults)
    assert count <= 1.2 * needed + spare, f"{count} runs, {needed} were needed"
    live = [r for r in observatory.runs() if r.dagster_run.job_name == "wxcam_day"]
    assert len(live) <= 1.2 * arrivals(observatory), f"{len(live)} runs for {arrivals(observatory)} arrivals"
    killed = next(r.dagster_run for r in observatory.runs() if r.dagster_run.run_id == story.killed)
    assert killed.status.value == "FAILURE"
    assert WORKER in killed.tags


def check_every_file_is_in_one_state(site: Site) -> None:
    """Check that each file of the host is mirrored, unsettled or refused: by the scan, and independently."""
    stream = site.streams["wxcam"]
    camera, local = Path(stream.path), Layout.of(site).raw_root("wxcam")
    survey = scan(stream, LocalSource(), local, None)
    assert (survey.unsettled, len(survey.behind), survey.refusals) == (0, 0, 1)
    files = [path for path in camera.rglob("*") if path.is_symlink() or path.is_file()]
    mirrored = set()
    for path in files:
        if path.is_symlink():
            continue
        copy = local / path.relative_to(camera)
        assert copy.read_bytes() == path.read_bytes(), path
        assert copy.stat().st_mtime_ns == path.stat().st_mtime_ns, path
        mirrored.add(copy)
    assert {path for path in local.rglob("*") if path.is_file()} == mirrored
    assert sum(day.seen for day in survey.days.values()) == len(files) == len(mirrored) + 1


def check_against_a_quiet_run(observatory: Observatory) -> None:
    """Check that one undisturbed run on the same camera gives the same products, byte for byte."""
    batch = observatory.batch()
    late = DAY - timedelta(days=10)
    for first, last in ((HISTORY[0], HISTORY[-1]), (late, late), (DAY, DAY)):
        run_quietly(batch, first, last)
    ours, theirs = observatory.site, batch
    pairs = ((ours.paths.raw, theirs.paths.raw), (ours.paths.products, theirs.paths.products))
    for our_root, their_root in pairs:
        left, right = tree(our_root), tree(their_root)
        assert left.keys() == right.keys(), sorted(left.keys() ^ right.keys())[:10]
        assert [name for name in left if left[name] != right[name]] == []
    assert rows(ours.paths.products, ours.paths.raw) == rows(theirs.paths.products, theirs.paths.raw)


def run_quietly(site: Site, first: date, last: date) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tests.platform_run", str(first), str(last)],
        cwd=ROOT,
        env=os.environ | {"AURORA_SITE": str(site.paths.raw.parent / "site.yaml")},
        capture_output=True,
        text=True,
        timeout=patient(600),
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
