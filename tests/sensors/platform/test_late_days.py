"""The automation conditions of the real assets, evaluated by Dagster on real materializations."""

import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, BetaWarning, DagsterInstance, JobDefinition, evaluate_automation_conditions
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.scheduler.instigation import TickStatus

from aurora_assets.definitions import build
from aurora_platform.cameras import refresh
from aurora_platform.cameras.raw_tree import RawFile
from aurora_platform.config.site import Site, load_site
from aurora_platform.layout import DAILY_PRODUCTS, Layout
from tests.daemon import BEGIN, MINUTE, SUCCESS, TODAY, YESTERDAY, Daemon
from tests.patience import patient
from tests.site_files import write_site

OLD = TODAY - timedelta(days=40)
BESIDE = OLD + timedelta(days=1)
RAW, CATALOG = AssetKey(["raw", "wxcam"]), AssetKey(["wxcam", "catalog"])
CAMERAS = ("fish_hdr", "pano_hdr")
OF_A_DAY = [f"wxcam/{camera}/{product}" for camera in CAMERAS for product in DAILY_PRODUCTS]
HOURLY = [f"wxcam/{camera}/hourly_thumbnails" for camera in CAMERAS]

type Requested = dict[str, set[str]]


def days(names: list[str], day: date) -> Requested:
    return {name: {day.isoformat()} for name in names}


def hours(day: date) -> Requested:
    return {name: {f"{day}-{hour:02}:00" for hour in range(24)} for name in HOURLY}


class Conditions:
    """Evaluates the conditions of all assets repeatedly; every evaluation gets the cursor of the previous one."""

    def __init__(self, site: Site, instance: DagsterInstance) -> None:
        self.site = site
        self.instance = instance
        self.definitions = build(site)
        self.cursor: AssetDaemonCursor | None = None

    def ask(self, at: datetime | None = None) -> Requested:
        """The requested partitions, by asset; ``at`` is a time in the future."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BetaWarning)  # Dagster's function warns about its own calls
            answer = evaluate_automation_conditions(
                self.definitions, self.instance, cursor=self.cursor, evaluation_time=at
            )
        self.cursor = answer.cursor
        found = {
            key.to_user_string(): {str(partition) for partition in answer.get_requested_partitions(key)}
            for key in self.definitions.resolve_asset_graph().materializable_asset_keys
        }
        return {name: partitions for name, partitions in found.items() if partitions}

    def make(self, day: date, *assets: AssetKey, is_well: bool = True) -> None:
        """Materialize only these assets of a day."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        self._execute(job, day, is_well, asset_selection=[*assets])

    def whole_day(self, day: date, is_well: bool = True) -> None:
        """A run for a whole day, as the arrival sensor and the reconcile schedule start it."""
        self._execute(self.definitions.resolve_job_def("wxcam_day"), day, is_well)

    def _execute(self, job: JobDefinition, day: date, is_well: bool, **selection: Any) -> None:
        done = job.execute_in_process(instance=self.instance, partition_key=str(day), raise_on_error=False, **selection)
        assert done.success == is_well


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The site of the demo with two months of partitions."""
    return load_site(write_site(tmp_path, lambda data: data["streams"]["wxcam"].update(start=BEGIN.isoformat())))


@pytest.fixture
def conditions(site: Site) -> Iterator[Conditions]:
    with DagsterInstance.ephemeral() as instance:
        conditions = Conditions(site, instance)
        assert conditions.ask() == {}
        yield conditions


def test_a_mirror_alone_requests_only_the_products_of_its_day(conditions: Conditions, film: Callable) -> None:
    for day in (OLD, BESIDE):
        film(day, 1)
        conditions.whole_day(day)
    conditions.ask()
    film(OLD, 2)
    conditions.make(OLD, RAW)
    assert conditions.ask() == days(["wxcam/catalog", *OF_A_DAY], OLD)
    assert conditions.ask() == {}


def test_a_mirror_without_new_files_requests_nothing(conditions: Conditions, film: Callable) -> None:
    film(OLD, 1)
    conditions.whole_day(OLD)
    conditions.ask()
    for _ in range(2):
        conditions.make(OLD, RAW)
        assert conditions.ask() == {}


def test_a_run_of_a_whole_old_day_requests_only_its_hours(conditions: Conditions, film: Callable) -> None:
    film(OLD, 1)
    conditions.whole_day(OLD)
    assert conditions.ask() == hours(OLD)
    conditions.whole_day(OLD)
    assert conditions.ask() == {}


def test_an_old_days_catalogue_alone_requests_its_products_and_its_hours(
    conditions: Conditions, film: Callable
) -> None:
    film(OLD, 1)
    conditions.whole_day(OLD)
    assert conditions.ask() == hours(OLD)
    assert conditions.ask() == {}
    film(OLD, 2, root=Layout.of(conditions.site).raw_root("wxcam"))
    conditions.make(OLD, CATALOG)
    assert conditions.ask() == days(OF_A_DAY, OLD) | hours(OLD)


def test_hours_of_the_live_window_are_left_to_the_schedule_even_when_their_day_is_old(
    conditions: Conditions, film: Callable
) -> None:
    for until in (1, 2):
        film(YESTERDAY, until)
        conditions.whole_day(YESTERDAY)
        assert conditions.ask() == {}
    film(YESTERDAY, 3, root=Layout.of(conditions.site).raw_root("wxcam"))
    conditions.make(YESTERDAY, CATALOG)
    assert conditions.ask() == days(OF_A_DAY, YESTERDAY)
    for later in (54, 66, 96):
        assert conditions.ask(at=datetime.now(UTC) + timedelta(hours=later)) == {}


def test_a_mirror_of_today_alone_leads_to_the_latest_video_too(conditions: Conditions, film: Callable) -> None:
    film(YESTERDAY, 1)
    conditions.make(TODAY, RAW)
    assert conditions.ask() == days(["wxcam/catalog", *OF_A_DAY], TODAY)
    conditions.make(TODAY, CATALOG, *(AssetKey(name.split("/")) for name in OF_A_DAY))
    assert conditions.ask() == {f"wxcam/{camera}/latest_video": {"None"} for camera in CAMERAS}


@pytest.mark.parametrize("dies", [False, True])
def test_nothing_is_requested_during_a_run_and_the_products_of_a_dead_run_are_requested(
    conditions: Conditions, film: Callable, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    film(OLD, 1)
    meanwhile: list[Requested] = []
    scan_day = refresh.scan_day

    def slowly(raw: Path, day: date) -> Iterator[RawFile]:
        asking = threading.Thread(target=lambda: meanwhile.append(conditions.ask()))
        asking.start()
        asking.join()
        if dies:
            raise RuntimeError("killed")
        return scan_day(raw, day)

    monkeypatch.setattr(refresh, "scan_day", slowly)
    conditions.whole_day(OLD, is_well=not dies)
    assert meanwhile == [{}]
    assert conditions.ask() == (days(["wxcam/catalog", *OF_A_DAY], OLD) if dies else hours(OLD))


def next_five_past(now: datetime) -> datetime:
    """The next time that it is five minutes past an hour."""
    return (now - 5 * MINUTE).replace(minute=5, second=0, microsecond=0) + timedelta(hours=1)


def test_a_failed_request_is_requested_again_once_per_hour(
    conditions: Conditions, film: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise RuntimeError("killed")

    while (five_past := next_five_past(now := datetime.now(UTC))) - now < timedelta(seconds=patient(30)):
        time.sleep(1)  # too near: it would pass during the test
    film(OLD, 1)
    conditions.make(OLD, RAW)
    wanted = days(["wxcam/catalog", *OF_A_DAY], OLD)
    assert conditions.ask() == wanted
    monkeypatch.setattr(refresh, "scan_day", dies)
    conditions.make(OLD, *(AssetKey(name.split("/")) for name in wanted), is_well=False)
    assert conditions.ask() == {}
    assert conditions.ask(at=five_past - MINUTE / 30) == {}
    assert conditions.ask(at=five_past + MINUTE) == wanted
    assert conditions.ask(at=five_past + 45 * MINUTE) == {}


def test_a_daemon_without_its_cursor_does_not_make_the_archive_again(conditions: Conditions, film: Callable) -> None:
    film(OLD, 1)
    conditions.whole_day(OLD)
    conditions.cursor = None
    assert conditions.ask() == {}


def test_a_late_file_reaches_every_product_of_its_day_automatically(daemon: Daemon, film: Callable) -> None:
    history = {"aurora/lane": "history", "aurora/stream": "wxcam", "dagster/priority": "-10"}
    assert daemon.follow().status == TickStatus.SKIPPED
    film(OLD, 2)
    daemon.make(str(OLD), RAW)
    for _ in ("the day", "its hours"):
        assert daemon.follow().status == TickStatus.SUCCESS
        (run,) = daemon.work()
        assert run.status == SUCCESS
        assert run.tags.items() >= history.items()
    assert daemon.follow().status == TickStatus.SKIPPED
    products = Layout.of(daemon.site).camera.products
    with closing(sqlite3.connect(products / "wxcam_catalog.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM images").fetchone() == (2 * 2 * (3 + 1),)
    for camera in CAMERAS:
        assert len([*products.glob(f"hourly_thumbnails/{camera}/{OLD:%Y%m%d}/*.jpg")]) == 2
        assert len([*products.glob(f"wxcam.zarr/{camera}/{OLD:%Y%m%d}/image/c.*.0.0.0")]) == 2 * 3
