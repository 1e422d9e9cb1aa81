"""A day of the camera in ten minutes, with outages and kills; then ten minutes in which nothing arrives.

``make soak``; ``make soak-short`` has some hours and days in place of a day and a month, with the same faults. At the
end everything must be as if one quiet run had made it from the same camera. What it prints: the latencies from "settled
on the host" to "row in the catalogue", and how many runs that took.
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
from tests.soak.yardstick import QUIET, Yardstick

DAY = datetime.now(UTC).date() - timedelta(days=1)
HOURS = int(os.environ.get("SOAK_HOURS", "24"))
SECONDS_PER_HOUR = 25.0
SILENCE = float(os.environ.get("SOAK_SILENCE", "600"))  # s
HISTORY_DAYS = int(os.environ.get("SOAK_HISTORY", "30"))
HISTORY = [DAY - timedelta(days=n) for n in range(12 + HISTORY_DAYS, 12, -1)]  # older than the late file
IS_WHOLE_DAY = HOURS == 24
RECONCILE = "*/5 * * * *" if IS_WHOLE_DAY else "* * * * *"  # which brings the late file
LATENCY_BOUND = 30.0  # s on a quiet machine, beside one sensor interval
STUCK = patient(300)  # s in which runs are unfinished and none begins or ends
CALM = patient(75.0)  # s without any run: what there was to do is done
AFTERMATH = patient(60.0)  # s: retries with their pauses after a fault


@dataclass
class Story:
    """What was done to the observatory, and when: begin and end of each disturbance."""

    faults: list[tuple[str, float, float]] = field(default_factory=list)
    backfill: str = ""
    backfilling: list[tuple[float, float]] = field(default_factory=list)
    """When runs of the backfill were at work."""
    killed: str = ""

    def disturbed(self, begin: float, end: float) -> bool:
        return any(begin < to + AFTERMATH and end > since for _, since, to in self.faults)

    def beside_a_backfill(self, moment: float) -> bool:
        return any(since <= moment <= to for since, to in self.backfilling)


def test_a_day_with_outages_and_kills_ends_as_one_quiet_run_would(capsys: pytest.CaptureFixture) -> None:
    with readable_directory() as directory, SshServer(directory / "sshd") as host, capsys.disabled():
        observatory = Observatory(directory / "site", host, RECONCILE)
        watch = RowWatch(Layout.of(observatory.site).camera.products / "wxcam_catalog.sqlite")
        yardstick = Yardstick()
        put_history(observatory.directory / "history")
        watch.start()
        yardstick.start()
        observatory.start_daemon()
        camera = observatory.start_camera(DAY, HOURS, 3600 / SECONDS_PER_HOUR)
        try:
            story = live_through(observatory, camera)
            drain(observatory)
            note_the_backfill(observatory, story)
            before = len(observatory.runs())
            report(observatory, story, watch, yardstick)
            time.sleep(SILENCE)
            after = len(observatory.runs())
        finally:
            camera.kill()
            watch.stop()
            yardstick.stop()
            observatory.stop_daemon()
        assert after == before, f"{after - before} runs although nothing arrived for {SILENCE:.0f} s"
        check_latencies(observatory, story, watch, yardstick)
        check_runs(observatory, story)
        check_every_file_is_in_one_state(observatory.site)
        check_against_a_quiet_run(observatory)


def put_history(directory: Path) -> None:
    """A month, or some days, that lie on the host already, for the backfill; out of sight until then."""
    for day in HISTORY:
        simulate(CameraSpec(directory, day, hours=24, every=timedelta(minutes=60), scale=0.1, other=False))


def live_through(observatory: Observatory, camera: subprocess.Popen[bytes]) -> Story:
    """Two outages, two kills, the history's backfill, and two files that are not as they should be."""
    story, began = Story(), time.time()
    length = HOURS * SECONDS_PER_HOUR

    def at(share: float) -> None:
        time.sleep(max(0.0, began + share * length - time.time()))

    at(0.10)
    cut_off(observatory, story, 20)
    at(0.25)
    odd_files(observatory.camera)
    at(0.30)
    since = time.time()
    observatory.kill_daemon()
    time.sleep(5)
    observatory.start_daemon()
    story.faults.append(("daemon killed", since, time.time()))
    at(0.50)
    for tree_name in ("FISH", "PANO"):
        for day in (observatory.directory / "history" / tree_name).iterdir():
            day.rename(observatory.camera / tree_name / day.name)
    story.backfill = observatory.backfill(HISTORY)
    at(0.75)
    since = time.time()
    story.killed = observatory.kill_a_live_run()
    story.faults.append(("run killed", since, time.time()))
    at(0.88)
    cut_off(observatory, story, 30)
    assert camera.wait(STUCK) == 0, (observatory.directory / "camera.log").read_text()
    return story


def cut_off(observatory: Observatory, story: Story, seconds: float) -> None:
    since = time.time()
    observatory.host.stop()
    time.sleep(seconds)
    observatory.host.start()
    story.faults.append(("host cut off", since, time.time()))


def odd_files(camera: Path) -> None:
    """A link that must be refused, and an image that was cut in the camera."""
    directory = camera / "FISH" / f"{DAY:%Y%m%d}" / "01"
    late = time.monotonic() + STUCK
    while not list(directory.glob("HDR_*.jpg")):  # a camera on a busy machine is late
        assert time.monotonic() < late, f"the camera has written no image of 01 h for {STUCK:.0f} s"
        time.sleep(0.5)
    (directory / f"HDR_{DAY:%Y%m%d}_010101.jpg").symlink_to("/etc/hostname")
    whole = next(path for path in sorted(directory.glob("HDR_*.jpg")) if path.is_file() and not path.is_symlink())
    (directory / f"HDR_{DAY:%Y%m%d}_010202.jpg").write_bytes(whole.read_bytes()[:-3000])


def drain(observatory: Observatory) -> None:
    """Wait until nothing is under way, and nothing new was begun for a while."""
    before, since = (-1, -1), time.monotonic()
    while True:
        now = len(observatory.runs()), observatory.unfinished()
        if now != before:
            before, since = now, time.monotonic()
        unmoved, unfinished = time.monotonic() - since, now[1]
        if unmoved > CALM and not unfinished:
            return
        assert unmoved < STUCK, f"{unfinished} unfinished runs, of which none has ended for {STUCK:.0f} s"
        time.sleep(3)


def note_the_backfill(observatory: Observatory, story: Story) -> None:
    """When the backfill was at work, from Dagster's own records."""
    runs = [r for r in observatory.runs() if r.dagster_run.tags.get("dagster/backfill") == story.backfill]
    assert runs, observatory.about_backfill(story.backfill)
    assert {r.dagster_run.status.value for r in runs} <= {"SUCCESS"}
    story.backfilling = [(r.start_time or 0.0, r.end_time or 0.0) for r in runs]


@dataclass(frozen=True)
class Latency:
    """From settled on the host to the row in the catalogue."""

    seconds: float
    bound: float
    """s, on this machine as it was meanwhile."""


def latencies(
    observatory: Observatory, story: Story, watch: RowWatch, yardstick: Yardstick
) -> dict[str, list[Latency]]:
    """Each file's latency, by what went on meanwhile."""
    found: dict[str, list[Latency]] = {"undisturbed": [], "beside the backfill": [], "after a fault": []}
    for entry in observatory.journal_entries():
        source = observatory.camera / entry["path"]
        if f"{DAY:%Y%m%d}" not in entry["path"]:
            continue  # the late file: its mtime is days ago
        settled = source.stat().st_mtime + SETTLE.total_seconds()
        seen = watch.first_seen.get(entry["path"])
        assert seen is not None, f"{entry['path']} never reached the catalogue"
        kind = "undisturbed"
        if story.disturbed(settled, seen):
            kind = "after a fault"
        elif story.beside_a_backfill(settled):
            kind = "beside the backfill"
        bound = EVERY.total_seconds() + LATENCY_BOUND * yardstick.slowness(settled, seen)
        found[kind].append(Latency(seen - settled, bound))
    return found


def report(observatory: Observatory, story: Story, watch: RowWatch, yardstick: Yardstick) -> None:
    console = Console(width=110, highlight=False)
    table = Table("settled on the host -> row in the catalogue", "files", "median s", "worst s", title="Soak")
    for kind, found in latencies(observatory, story, watch, yardstick).items():
        if values := [one.seconds for one in found]:
            table.add_row(kind, str(len(values)), f"{statistics.median(values):.1f}", f"{max(values):.1f}")
    console.print(table)
    console.print(
        f"bound where nothing was broken: one sensor interval of {EVERY.seconds} s, and {LATENCY_BOUND:.0f} s times "
        "how slow this machine was meanwhile"
    )
    took = [seconds for _, seconds in yardstick.measured]
    console.print(
        f"a fresh process has loaded Dagster in {statistics.median(took):.1f} s, at worst in {max(took):.1f} s: slow "
        f"is more than {QUIET} s"
    )
    needed, all_runs = useful_runs(observatory)
    by_kind: dict[str, int] = {}
    for record in observatory.runs():
        run = record.dagster_run
        kind = f"{run.job_name} {run.status.value.lower()}" + (" (backfill)" if "dagster/backfill" in run.tags else "")
        by_kind[kind] = by_kind.get(kind, 0) + 1
    console.print(f"{all_runs} runs, {needed} of which found something to do; " + str(by_kind))
    console.print(f"{arrivals(observatory)} sensor intervals in which something settled")
    for name, since, to in story.faults + [("backfill at work", *span) for span in story.backfilling]:
        console.print(f"{datetime.fromtimestamp(since, UTC):%H:%M:%S} {name} for {to - since:.0f} s")


def useful_runs(observatory: Observatory) -> tuple[int, int]:
    """How many runs brought or made something, and how many there were."""
    useful = 0
    with observatory.instance() as instance:
        records = observatory.runs()
        for record in records:
            events = instance.get_records_for_run(
                record.dagster_run.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION
            ).records
            made = [event.event_log_entry.asset_materialization for event in events]
            useful += any(
                item.metadata[name].value
                for item in made
                if item is not None
                for name in ("copied", "added", "changed", "rebuilt", "made")
                if name in item.metadata
            )
    return useful, len(records)


def check_latencies(observatory: Observatory, story: Story, watch: RowWatch, yardstick: Yardstick) -> None:
    found = latencies(observatory, story, watch, yardstick)
    for kind in ("undisturbed", "beside the backfill"):
        # In some hours there is hardly a moment that is not soon after a fault.
        assert found[kind] or not IS_WHOLE_DAY, f"no file arrived {kind}"
        late = [one for one in found[kind] if one.seconds > one.bound]
        assert late == [], kind


def arrivals(observatory: Observatory) -> int:
    """How many looks had something new to find, by the camera's own journal: intervals in which a file settled."""
    settled = [entry["complete_at"] + SETTLE.total_seconds() for entry in observatory.journal_entries()]
    return len({int(moment // EVERY.total_seconds()) for moment in settled})


def check_runs(observatory: Observatory, story: Story) -> None:
    needed, count = useful_runs(observatory)
    # Each fault may cost a run that brings nothing; of a whole day's runs that is no fifth.
    spare = 0 if IS_WHOLE_DAY else len(story.faults)
    assert count <= 1.2 * needed + spare, f"{count} runs, {needed} were needed"
    live = [r for r in observatory.runs() if r.dagster_run.job_name == "wxcam_day"]
    assert len(live) <= 1.2 * arrivals(observatory), f"{len(live)} runs for {arrivals(observatory)} arrivals"
    killed = next(r.dagster_run for r in observatory.runs() if r.dagster_run.run_id == story.killed)
    assert killed.status.value == "FAILURE"
    assert WORKER in killed.tags


def check_every_file_is_in_one_state(site: Site) -> None:
    """Each file of the host is mirrored, unsettled or refused: counted by Aurora, and told apart by hand."""
    stream = site.streams["wxcam"]
    camera, here = Path(stream.path), Layout.of(site).raw_root("wxcam")
    survey = scan(stream, LocalSource(), here, None)
    assert (survey.unsettled, len(survey.behind), survey.refusals) == (0, 0, 1)
    found = [path for path in camera.rglob("*") if path.is_symlink() or path.is_file()]
    mirrored = set()
    for path in found:
        if path.is_symlink():
            continue
        copy = here / path.relative_to(camera)
        assert copy.read_bytes() == path.read_bytes(), path
        assert copy.stat().st_mtime_ns == path.stat().st_mtime_ns, path
        mirrored.add(copy)
    assert {path for path in here.rglob("*") if path.is_file()} == mirrored
    assert sum(day.seen for day in survey.days.values()) == len(found) == len(mirrored) + 1


def check_against_a_quiet_run(observatory: Observatory) -> None:
    """The same products, byte for byte, from one undisturbed pass over the same camera."""
    batch = observatory.batch()
    late = DAY - timedelta(days=10)
    for first, last in ((HISTORY[0], HISTORY[-1]), (late, late), (DAY, DAY)):
        run_quietly(batch, first, last)
    ours, theirs = observatory.site, batch
    for one, other in ((ours.paths.raw, theirs.paths.raw), (ours.paths.products, theirs.paths.products)):
        left, right = tree(one), tree(other)
        assert left.keys() == right.keys(), sorted(left.keys() ^ right.keys())[:10]
        assert [name for name in left if left[name] != right[name]] == []
    assert rows(ours.paths.products, ours.paths.raw) == rows(theirs.paths.products, theirs.paths.raw)


def run_quietly(site: Site, first: date, last: date) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.platform_run", str(first), str(last)],
        cwd=ROOT,
        env=os.environ | {"AURORA_SITE": str(site.paths.raw.parent / "site.yaml")},
        capture_output=True,
        text=True,
        timeout=patient(600),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
