"""A small site with a camera, an instrument and an archive on this machine, and the steps that its days go through.

A test calls :func:`run` in a process below which a :class:`tests.faults.layer.Layer` lies.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from aurora_platform.archive.change_guard import guard_of
from aurora_platform.archive.locations import places_of
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.archive.verify_products import verify_products
from aurora_platform.cameras.pixels import build_pixels
from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.thumbnails import build_thumbnails
from aurora_platform.cameras.videos import build_daily_video, build_latest_video
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.hosts import LocalHost
from aurora_platform.config.site import Site, load_site
from aurora_platform.errors import AuroraError
from aurora_platform.fs.disk_errors import describe_os_error
from aurora_platform.layout import Layout
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.local_host import LocalAccess
from tests.archive.parts import LOG
from tests.cameras.sample_media import Film, jpeg, set_mtime
from tests.faults.layer import pass_to_programs
from tests.patience import patient
from tests.site_files import write_site

DAY = date(2026, 8, 18)
CAMERA = "fish_hdr"
REFUSED = "in the report: "
NOON = datetime(2026, 8, 18, 12, tzinfo=UTC)


def make_site(home: Path) -> None:
    """Write the site file and a day of both sources: three images, a clip, four files of the instrument."""

    def change(data: dict[str, Any]) -> None:
        data["hosts"] = {"here": {"kind": "local"}}
        data["streams"]["wxcam"] |= {"host": "here", "start": str(DAY), "revisable": "3650d"}
        data["streams"]["met"] = {
            "host": "here",
            "path": "instrument",
            "raw": "met",
            "include": ["**/met_*.csv"],
            "day": r"met_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
            "start": str(DAY),
            "revisable": "3650d",
        }
        roots = {"raw": str(home / "far/raw"), "products": str(home / "far/products")}
        data["archive"] = {"hosts": [{"kind": "local", "same_disk": True}], **roots}

    (home / "far/raw").mkdir(parents=True)
    (home / "far/products").mkdir()
    write_site(home, change)
    for minute in range(3):
        put(home / f"camera/FISH/20260818/12/HDR_20260818_12{minute}000.jpg", jpeg(minute), NOON, minute)
    put(home / "camera/FISH/20260818/HDR_20260818_120000.mp4", _clip(), NOON, 7)
    for number in range(4):
        put(home / f"instrument/{number % 2}/met_20260818_{number}.csv", f"{number}\n".encode() * 900, NOON, number)


@cache
def _clip() -> bytes:
    return Film().encode(1)


def put(path: Path, content: bytes, at: datetime, number: int) -> None:
    """Write a file whose mtime differs from others below a microsecond."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    set_mtime(path, at, 123_456_700 + number)


class Steps:
    """The steps of one site, each as its asset runs it."""

    def __init__(self, home: Path) -> None:
        self.site: Site = load_site(home / "site.yaml")
        self.records = Records(self.site)
        self.layout = Layout.of(self.site)
        self.workspace = CameraWorkspace.of(self.site)
        self.connections = Connections.of(self.site)

    def mirror(self) -> None:
        bounds = Bounds(self.layout.known_hosts, transfer_seconds=patient(60), stall_seconds=patient(20))
        access = LocalAccess(LocalHost(kind="local"), bounds)
        for name, stream in self.site.streams.items():
            report = mirror_days(
                name,
                stream,
                [DAY],
                source=access.source(),
                transfer=access.transfer(LOG),
                raw=self.site.paths.raw,
                locks=self.layout.locks,
                wait=timedelta(seconds=10),
                source_days=self.layout.days_at_source(name),
                guard=guard_of(self.site, name),
            )
            _require_nothing_refused(report.days[0].refused, report.days[0].unsettled.total)

    def catalogue(self) -> None:
        refresh_day(self.workspace, DAY, datetime.now(UTC))

    def video(self) -> None:
        build_daily_video(self.workspace, CAMERA, DAY, datetime.now(UTC))
        build_latest_video(self.workspace, CAMERA, datetime.now(UTC))

    def thumbnails(self) -> None:
        (report,) = build_thumbnails(self.workspace, CAMERA, [NOON], datetime.now(UTC))
        _require_nothing_refused({report.note: report.waiting} if report.path is None else {}, 0)

    def pixels(self) -> None:
        build_pixels(self.workspace, CAMERA, DAY, datetime.now(UTC))

    def push(self) -> None:
        assert self.site.archive is not None
        hosts = self.connections.archive_hosts(self.site.archive, LOG)
        with self.records.ledger() as ledger:
            pushing = Pushing(self.site, self.site.archive, hosts, ledger)
            reports = [pushing.raw(name, [DAY]) for name in self.site.streams]
            reports += [pushing.wxcam_products([DAY]), pushing.core_products()]
        for report in reports:
            _require_nothing_refused({"failed": report.failed} if report.failed.total else {}, 0)

    def verify(self) -> None:
        for name in self.site.streams:
            places = places_of(self.site, name, self.connections)
            done = verify_and_publish(self.records, name, [DAY], places, publish_now=True)
            if done.report.errors:
                raise AuroraError(REFUSED + "; ".join(done.report.errors.values()))

    def products(self) -> None:
        assert self.site.archive is not None
        verify_products(self.records, self.connections, self.connections.archive_hosts(self.site.archive, LOG))


STEPS: dict[str, Callable[[Steps], None]] = {
    step.__name__: step
    for step in (
        *(Steps.mirror, Steps.catalogue, Steps.video, Steps.thumbnails, Steps.pixels),
        *(Steps.push, Steps.verify, Steps.products),
    )
}


def _require_nothing_refused(refused: dict[str, Any], unsettled: int) -> None:
    """A report names what it refused; for the test of one fault this counts as its error."""
    if refused or unsettled:
        reasons = [f"{reason}: {', '.join(map(str, count.first))}" for reason, count in refused.items()]
        raise AuroraError(f"{REFUSED}{'; '.join(reasons) or f'{unsettled} unsettled'}")


def run(home: str, names: str, result: str) -> None:
    """Run some steps, and write the error of each (or an empty text) as JSON to the file ``result``."""
    pass_to_programs()
    errors = {}
    for name in names.split():
        try:
            STEPS[name](Steps(Path(home)))
        except OSError as error:
            traceback.print_exc(file=sys.stderr)
            errors[name] = f"{type(error).__name__}: {describe_os_error(error)}"
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            errors[name] = f"{type(error).__name__}: {error}"
        else:
            errors[name] = ""
    Path(result).write_text(json.dumps(errors))
