"""The platform as Dagster runs it: jobs, partitions, metadata, data versions and checks, on real files."""

import ast
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from dagster import (
    AssetCheckSeverity,
    AssetKey,
    AssetRecordsFilter,
    AssetsDefinition,
    AssetSelection,
    DagsterInstance,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    Definitions,
    ExecuteInProcessResult,
    MetadataValue,
    TableMetadataValue,
    define_asset_job,
    partition_loading_context,
)

from aurora_assets.aurora_asset import TRY_AGAIN
from aurora_assets.definitions import build
from aurora_platform.config.archive import Retention
from aurora_platform.config.health import Alerts
from aurora_platform.config.site import Site, load_site
from aurora_platform.layout import DAILY_PRODUCTS, WXCAM, Layout, camera_keys
from aurora_simulator import FAULTS, CameraSpec, simulate
from tests.mirror.parts import CHECKS
from tests.patience import patient

ROOT = Path(__file__).resolve().parents[3]
DAY = date(2026, 8, 18)
RAW, CATALOG = AssetKey(["raw", "wxcam"]), AssetKey(["wxcam", "catalog"])
OPS = (AssetKey(["ops", "health"]),)
PRODUCTS = (*DAILY_PRODUCTS, "latest_video", "hourly_thumbnails")
"""Of one camera."""
HOURS = {
    "dagster/asset_partition_range_start": f"{DAY}-00:00",
    "dagster/asset_partition_range_end": f"{DAY}-23:00",
}


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def camera(site: Site) -> Path:
    return Path(site.streams["wxcam"].path)


@pytest.fixture
def run(site: Site, instance: DagsterInstance) -> Callable[..., ExecuteInProcessResult]:
    definitions = build(site)

    def execute(job: str = "wxcam_day", **tags: str) -> ExecuteInProcessResult:
        wanted = tags or {"dagster/partition": DAY.isoformat()}
        done = definitions.resolve_job_def(job).execute_in_process(instance=instance, tags=wanted)
        assert done.success
        return done

    return execute


def write_day(camera: Path, day: date = DAY, hours: int = 2, faults: tuple[str, ...] = ()) -> dict[str, list[str]]:
    spec = CameraSpec(root=camera, day=day, hours=hours, every=timedelta(minutes=10), scale=0.08)
    return simulate(spec, faults).faults


def metadata(instance: DagsterInstance, key: AssetKey, partition: str | None = None) -> dict:
    wanted = AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    record = instance.fetch_materializations(wanted, limit=1).records[0]
    assert record.asset_materialization is not None
    return {name: plain(value) for name, value in record.asset_materialization.metadata.items()}


def plain(value: MetadataValue) -> object:
    """A metadata value as Python objects; a table as a list of rows."""
    return [dict(record.data) for record in value.records] if isinstance(value, TableMetadataValue) else value.value


def data_version(instance: DagsterInstance, key: AssetKey, partition: str) -> str:
    wanted = AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    record = instance.fetch_materializations(wanted, limit=1).records[0]
    assert record.asset_materialization is not None
    return (record.asset_materialization.tags or {})["dagster/data_version"]


def snapshot(root: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, mtime and size of every file, without SQLite's side files, which readers create."""
    found = {}
    for path in root.rglob("*"):
        if path.is_file() and not path.name.endswith(("-wal", "-shm")):
            status = path.stat()
            found[str(path)] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def test_a_day_goes_from_the_camera_host_to_every_product(site: Site, camera: Path, run: Callable) -> None:
    write_day(camera)
    run()
    run("wxcam_hours", **HOURS)
    products = Layout.of(site).camera.products
    names = [str(p.relative_to(products)) for p in snapshot(products) for p in [Path(p)]]
    assert "wxcam_catalog.sqlite" in names
    for kind in ("fish_hdr", "pano_hdr"):
        assert f"daily_videos/{kind}/20260818.mp4" in names
        assert f"daily_videos/{kind}/latest.mp4" in names
        assert f"wxcam.zarr/{kind}/20260818/zarr.json" in names
        suffix = "_PANO" if kind == "pano_hdr" else ""
        for hour in ("00", "01"):
            assert f"hourly_thumbnails/{kind}/20260818/HDR_20260818_{hour}3000{suffix}.jpg" in names
    with closing(sqlite3.connect(products / "wxcam_catalog.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM images").fetchone() == (2 * (12 + 2),)


def test_an_unchanged_day_is_neither_copied_nor_written_again(
    site: Site, camera: Path, run: Callable, instance: DagsterInstance
) -> None:
    write_day(camera, faults=("odd-size-clip", "odd-codec-clip", "truncated-jpeg"))
    run()
    run("wxcam_hours", **HOURS)
    before = snapshot(site.paths.raw) | snapshot(site.paths.products)
    first = {key: data_version(instance, key, DAY.isoformat()) for key in (RAW, CATALOG)}
    run()
    run("wxcam_hours", **HOURS)
    assert snapshot(site.paths.raw) | snapshot(site.paths.products) == before
    assert metadata(instance, RAW)["copied"] == 0
    assert metadata(instance, AssetKey(["wxcam", "fish_hdr", "pixels"]))["frames_decoded"] == 0
    assert {key: data_version(instance, key, DAY.isoformat()) for key in first} == first


def test_the_data_version_is_the_inputs_sha256_and_changes_with_the_inputs(
    camera: Path, run: Callable, instance: DagsterInstance
) -> None:
    keys = [RAW, CATALOG, *(AssetKey(["wxcam", "fish_hdr", product]) for product in ("daily_video", "pixels"))]
    write_day(camera, hours=1)
    run()
    before = [data_version(instance, key, DAY.isoformat()) for key in keys]
    assert before == [metadata(instance, key)["inputs_sha256"] for key in keys]
    write_day(camera, hours=2)
    run()
    after = [data_version(instance, key, DAY.isoformat()) for key in keys]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_a_range_of_days_is_one_run_with_metadata_for_each_day(
    camera: Path, run: Callable, instance: DagsterInstance
) -> None:
    days = [DAY + timedelta(days=n) for n in range(3)]
    for day, hours in zip(days, (1, 2, 3), strict=True):
        write_day(camera, day, hours)
    tags = {"start": days[0].isoformat(), "end": days[-1].isoformat()}
    done = run(**{f"dagster/asset_partition_range_{end}": day for end, day in tags.items()})
    observed = [e for e in done.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    assert observed == [], "old days do not show the current state of the source"
    for day, hours in zip(days, (1, 2, 3), strict=True):
        files = 2 * (6 * hours + hours)
        assert metadata(instance, RAW, day.isoformat())["copied"] == files
        assert metadata(instance, CATALOG, day.isoformat())["added"] == files
        assert metadata(instance, AssetKey(["wxcam", "pano_hdr", "pixels"]), day.isoformat())["frames"] == 6 * hours


def test_every_fault_of_the_camera_is_counted_and_named(
    site: Site, camera: Path, run: Callable, instance: DagsterInstance
) -> None:
    faults = write_day(camera, faults=("all",))
    assert faults.keys() == FAULTS.keys()
    run()
    run("wxcam_hours", **HOURS)
    raw, pixels = metadata(instance, RAW), metadata(instance, AssetKey(["wxcam", "fish_hdr", "pixels"]))
    assert raw["seen"] == raw["copied"] + raw["unchanged"] + raw["unsettled"] + raw["refused"]
    refused = {row["reason"]: row["first"] for row in raw["refused_files"]}
    with closing(sqlite3.connect(Layout.of(site).camera.products / "wxcam_catalog.sqlite")) as db:
        catalogued = {row[0] for row in db.execute("SELECT relative_path FROM images")}
        unreadable = {Path(row[0]).name: row[1] for row in db.execute("SELECT raw_path, error FROM unreadable_media")}

    def is_named(path: str) -> bool:
        printable = path.replace("\n", "\\n")
        return (
            any(printable in first for first in refused.values())
            or printable in raw["unsettled_first"]
            or Path(path).name in unreadable
            or path in catalogued
        )

    for fault, paths in faults.items():
        for path in paths:
            is_other = Path(path).name.startswith("-HDR")  # does not match the stream: counted with AUTO, LONG, SHORT
            assert is_named(path) or is_other, f"{fault}: {path!r} is not named"
    assert raw["unexpected"] == 3 * 2 * 12 + 1
    assert set(refused) == {
        "symlink",
        "control character in the name",
        "dated in the future",
        "directory named like a file",
    }
    assert raw["unsettled"] == 1
    assert "truncated" in unreadable[Path(faults["truncated-jpeg"][0]).name]
    assert unreadable[Path(faults["empty-file"][0]).name] == "the file is empty"
    assert unreadable[Path(faults["no-moov"][0]).name].startswith("cannot be read as MP4")
    assert [row["file"] for row in pixels["excluded_files"]] == faults["odd-size-jpeg"]
    # The rest of the day is complete: 12 regular images, and readable images with an odd name or age.
    good = {*faults["late"], *faults["upper-case"], *(p for p in faults["odd-names"] if "/-12/" in p)}
    assert good < catalogued
    assert pixels["frames"] == 12 + len(good)
    video = metadata(instance, AssetKey(["wxcam", "fish_hdr", "daily_video"]))
    assert (video["clips"], video["clips_converted"]) == (4, 2)


def test_checks_report_problems_but_write_nothing_and_block_nothing(
    site: Site, camera: Path, run: Callable, instance: DagsterInstance
) -> None:
    write_day(camera, faults=("truncated-jpeg", "odd-size-jpeg"))
    done = run()
    run("wxcam_hours", **HOURS)
    results = {("/".join(e.asset_key.path), e.check_name): e for e in done.get_asset_check_evaluations()}
    failed = {key for key, evaluation in results.items() if not evaluation.passed}
    assert failed == {("wxcam/catalog", "no_unreadable_media")}
    left_out = plain(results["wxcam/fish_hdr/pixels", "times_match_catalog"].metadata["excluded_files"])
    assert [row["reason"].endswith(" px, unlike most of the day") for row in left_out] == [True]
    assert {evaluation.severity for evaluation in results.values()} == {AssetCheckSeverity.WARN}
    offenders = plain(results["wxcam/catalog", "no_unreadable_media"].metadata["offenders"])
    assert "truncated" in offenders[0]["first"]

    before = snapshot(site.paths.raw) | snapshot(site.paths.products)
    # Without the checks of the health assets, which are made with their asset.
    all_checks = AssetSelection.all_asset_checks() - AssetSelection.checks_for_assets(*OPS)
    only_checks = define_asset_job("only_checks", all_checks)
    definitions = Definitions.merge(build(site), Definitions(jobs=[only_checks]))
    # Executed alone, as from the UI: they check the newest days.
    again = (
        definitions.resolve_job_def("only_checks").execute_in_process(instance=instance).get_asset_check_evaluations()
    )
    stale = [e for e in again if e.check_name == "is_fresh"]
    again = [e for e in again if e not in stale]
    assert {("/".join(e.asset_key.path), e.check_name) for e in again if not e.passed} == failed
    # Both cameras' thumbnails, which another job makes, and the checks of the mirror.
    assert len(again) == len(results) + 2 + len(CHECKS)
    # The day is long ago, so all data is stale; the job of a day does not evaluate freshness.
    assert len(stale) == 2 + 1 + 2 * len(PRODUCTS)
    assert not [e for e in stale if e.passed]
    assert snapshot(site.paths.raw) | snapshot(site.paths.products) == before


def test_a_damaged_video_fails_its_check_by_name_and_stops_no_run(site: Site, camera: Path, run: Callable) -> None:
    write_day(camera)
    run()
    video = Layout.of(site).camera.products / "daily_videos/fish_hdr/20260818.mp4"
    for size in (video.stat().st_size // 2, 1000):
        os.truncate(video, size)
        found = {
            (e.asset_key.path[1], e.check_name): e
            for e in run().get_asset_check_evaluations()
            if e.asset_key.path[2:] == ["daily_video"]
        }
        evaluation = found["fish_hdr", "plays"]
        assert not evaluation.passed
        assert "20260818.mp4" in str(evaluation.description)


def test_a_lost_frame_fails_its_check_by_name(site: Site, camera: Path, run: Callable) -> None:
    write_day(camera)
    run()
    (Layout.of(site).camera.products / "wxcam.zarr/fish_hdr/20260818/image/c.3.0.0.0").unlink()
    done = run()
    results = {(e.asset_key.path[1], e.check_name): e for e in done.get_asset_check_evaluations()}
    evaluation = results["fish_hdr", "times_match_catalog"]
    assert not evaluation.passed
    assert "c.3.0.0.0" in plain(evaluation.metadata["offenders"])[0]["first"]


def test_the_real_site_has_a_mirror_for_each_of_its_eight_streams() -> None:
    graph = build(load_site(ROOT / "sites" / "gamb2le.yaml")).resolve_asset_graph()
    streams = ["cl61", "radar", "hatpro", "vaisalamet", "asfs_logger", "asfs_fast_sonic", "power", "wxcam"]
    for stream in streams:
        assert graph.get(AssetKey(["raw", stream])).pools == {f"mirror_{stream}"}
        assert AssetKey(["source", stream]) in graph.get(AssetKey(["raw", stream])).parent_keys
        assert AssetKey(["raw", stream]) in graph.get(AssetKey(["gws", "raw", stream])).parent_keys
        assert AssetKey(["gws", "raw", stream]) in graph.get(AssetKey(["manifests", stream])).parent_keys
    made = graph.materializable_asset_keys
    of_archive = {"core_products", "wxcam_products", "products", "restore_drill"}
    assert len(made) == 3 * len(streams) + 1 + 2 * len(PRODUCTS) + len(of_archive) + len(OPS)
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        groups = ("source", "raw", "wxcam", "wxcam_fish_hdr", "wxcam_pano_hdr", "gws", "manifests", "ops")
        assert node.group_name in groups, key


def test_each_stream_of_the_real_site_has_a_job_and_a_running_sensor_and_schedule() -> None:
    site = load_site(ROOT / "sites" / "gamb2le.yaml")
    repository = build(site).get_repository_def()
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert sensors.keys() == {*(f"arrivals_{stream}" for stream in site.streams), "late_days", "freshness"}
    others = {"thumbnails", "retention", "mirror_checks", "push_core_products", "push_wxcam_products", "health"}
    others |= {"restore_drill", "verify_products"}
    kinds = ("reconcile", "push", "verify")
    assert schedules.keys() == {f"{kind}_{stream}" for kind in kinds for stream in site.streams} | others
    days = {f"{stream}_day" for stream in site.streams}
    jobs = {job.name: job for job in repository.get_all_jobs() if not job.name.startswith("__")}
    archive = {name for name in schedules if name.startswith(("push_", "verify_", "restore_"))}
    others = {"wxcam_hours", "check_mirrors", "prune_records", "look_at_this_machine", "health"}
    assert jobs.keys() == {*days, *archive, *others}
    for stream in site.streams:
        assert sensors[f"arrivals_{stream}"].job_name == schedules[f"reconcile_{stream}"].job_name == f"{stream}_day"
        assert sensors[f"arrivals_{stream}"].minimum_interval_seconds == 120
    assert {sensor.default_status for sensor in sensors.values()} == {DefaultSensorStatus.RUNNING}
    assert {schedule.default_status for schedule in schedules.values()} == {DefaultScheduleStatus.RUNNING}
    for definition in (*sensors.values(), *schedules.values(), *jobs.values()):
        assert definition.description, definition.name


def test_no_sensor_and_no_schedule_of_the_demo_runs_by_default(site: Site) -> None:
    repository = build(site).get_repository_def()
    assert {sensor.default_status for sensor in repository.sensor_defs} == {DefaultSensorStatus.STOPPED}
    assert {schedule.default_status for schedule in repository.schedule_defs} == {DefaultScheduleStatus.STOPPED}


def test_the_layout_lists_the_asset_keys_of_all_camera_products(site: Site) -> None:
    graph = build(site).resolve_asset_graph()
    made = {"/".join(key.path) for key in graph.materializable_asset_keys if key.path[0] == WXCAM}
    assert made == set(camera_keys())


def test_every_asset_has_a_description_and_a_condition_or_names_what_starts_it() -> None:
    graph = build(load_site(ROOT / "sites" / "gamb2le.yaml")).resolve_asset_graph()
    conditions = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.group_name, key
        assert node.kinds, key
        if key.path[0] == "wxcam":
            assert node.automation_condition, key
            conditions["/".join(key.path)] = node.automation_condition.get_label()
        elif key.path[0] in ("gws", "manifests"):
            condition = node.automation_condition
            assert (condition and condition.get_label()) in ("when an old day's input changes", None), key
            assert condition or "started_by" in node.metadata, key
        else:
            # Sensors, schedules and operators start the mirrors; the metadata names which.
            assert node.automation_condition is None, key
            assert key.path[0] == "source" or "started_by" in node.metadata, key
        if key.path[0] in ("raw", "wxcam") or key.path[:2] == ["gws", "raw"]:
            policy = graph.get(key).freshness_policy
            assert policy is not None, key
    hourly = {f"wxcam/{camera}/hourly_thumbnails" for camera in ("fish_hdr", "pano_hdr")}
    assert {name for name, label in conditions.items() if label == "when an old day's input changes"} == hourly
    assert {label for name, label in conditions.items() if name not in hourly} == {"when its input changes"}
    assert len(conditions) == 1 + 2 * len(PRODUCTS)


def test_history_and_backfills_always_leave_a_slot_for_a_live_run() -> None:
    concurrency = yaml.safe_load((ROOT / "dagster.yaml").read_text())["concurrency"]
    way, *limits = concurrency["runs"]["tag_concurrency_limits"]
    assert way == {"key": "aurora/way", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    lanes = {(limit["key"], limit.get("value")): limit["limit"] for limit in limits}
    history = {("aurora/lane", "history"): 1, ("dagster/backfill", None): 1}
    assert history.items() <= lanes.items()
    assert sum(history.values()) + 1 < concurrency["pools"]["default_limit"]
    assert sum(lanes.values()) + 8 <= concurrency["runs"]["max_concurrent_runs"], "a place for each of eight streams"
    assert concurrency["pools"]["granularity"] == "run"


def test_partitions_include_the_current_day_and_hour(site: Site) -> None:
    graph = build(site).resolve_asset_graph()
    now = datetime(2026, 9, 1, 13, 30, tzinfo=UTC)
    days = graph.get(CATALOG).partitions_def
    hours = graph.get(AssetKey(["wxcam", "fish_hdr", "hourly_thumbnails"])).partitions_def
    assert days is not None
    assert hours is not None
    with partition_loading_context(effective_dt=now):
        assert days.get_last_partition_key() == "2026-09-01"
        assert hours.get_last_partition_key() == "2026-09-01-13:00"
        assert days.get_first_partition_key() == "2026-01-12"


def test_a_missing_source_directory_fails_the_run_with_one_clear_line(site: Site, instance: DagsterInstance) -> None:
    done = (
        build(site)
        .resolve_job_def("wxcam_day")
        .execute_in_process(instance=instance, tags={"dagster/partition": DAY.isoformat()}, raise_on_error=False)
    )
    assert not done.success
    failure = next(e for e in done.all_events if e.is_step_failure and e.step_key == "raw__wxcam")
    cause = failure.step_failure_data.error
    while cause and cause.cause:
        cause = cause.cause
    assert cause is not None
    assert "no such directory. Is the path in the site file right? Is the disk mounted" in cause.message


def test_started_programs_do_not_inherit_the_environment(
    site: Site, camera: Path, run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    spy = tools / "rsync"
    spy.write_text(f'#!/bin/sh\nenv > {tmp_path}/environment\nPATH=${{PATH#*:}} exec rsync "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("AURORA_TEST_PASSWORD", "do-not-tell")
    write_day(camera, hours=1)
    run()
    environment = (tmp_path / "environment").read_text()
    assert "LC_ALL=C" in environment
    assert "do-not-tell" not in environment


@pytest.mark.parametrize("missing", [None, "rsync"])
def test_the_tools_job_shows_all_tools_and_fails_if_one_is_missing(
    site_file: Path, tmp_path: Path, missing: str | None
) -> None:
    site = load_site(site_file)
    for path in (site.paths.raw, site.paths.products, site.paths.state, tmp_path / "home", tmp_path / "bin"):
        path.mkdir()
    for tool in {"bash", "rsync", "ssh", "find", "df"} - {missing}:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    # In another process: dagster-shell forks and runs Python code in the child, which is not safe with threads.
    done = subprocess.run(
        [
            sys.executable,
            *["-m", "dagster", "job", "execute", "-m", "aurora_assets.definitions", "-j", "look_at_this_machine"],
        ],
        cwd=ROOT,
        env=os.environ
        | {"AURORA_SITE": str(site_file), "DAGSTER_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(200),
    )
    output = done.stderr + done.stdout
    assert (done.returncode != 0) == (missing is not None), output
    assert ("rsync  version" in output) == (missing is None)
    assert "Filesystem" in output, "the later commands run even if one fails"


def test_each_asset_links_to_its_own_function_in_the_source() -> None:
    alerts = Alerts(to=("observer@example.org",), sender="aurora@example.org")
    retention = Retention(raw={WXCAM: timedelta(days=30)})
    site = load_site(ROOT / "sites" / "gamb2le.yaml").model_copy(update={"alerts": alerts, "retention": retention})
    specs = build(site).resolve_all_asset_specs()
    defined = {}
    for file in (ROOT / "aurora_assets").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                ast.unparse(one).startswith(("aurora_asset(", "_camera_asset(")) for one in node.decorator_list
            ):
                defined[node.name] = (str(file), node.lineno)
    leads = {
        spec.key.to_user_string(): [(link.file_path, link.line_number) for link in links.code_references]
        for spec in specs
        if (links := spec.metadata.get("dagster/code_references"))
    }
    wanted = {
        spec.key.to_user_string(): [defined[function_of(spec.key.path)]]
        for spec in specs
        if spec.key.path[0] != "source"
    }
    assert leads == wanted
    assert {file.rpartition("/")[2] for file, _ in defined.values()} == {"assets.py"}
    assert {place for (place,) in leads.values()} == set(defined.values()), "no function is left out"


def test_every_asset_has_the_retry_policy_except_those_that_their_next_run_makes_up_for() -> None:
    alerts = Alerts(to=("observer@example.org",), sender="aurora@example.org")
    site = load_site(ROOT / "sites" / "gamb2le.yaml").model_copy(update={"alerts": alerts})
    policies = {
        one.key.to_user_string(): one.op.retry_policy
        for one in build(site).assets or ()
        if isinstance(one, AssetsDefinition)
    }
    assert len(policies) > 3 * len(site.streams)
    assert policies.pop("ops/alerts") is None
    assert policies.pop("gws/restore_drill") is None
    assert set(policies.values()) == {TRY_AGAIN}


def function_of(key: Sequence[str]) -> str:
    """The name of an asset's function."""
    match key:
        case ["manifests", "products"]:
            return "manifests_products"
        case ["raw" | "manifests" as kind, _]:
            return kind
        case ["gws", "raw", _]:
            return "gws_raw"
        case ["wxcam", _, "pixels"]:
            return "pixel_store"
        case ["wxcam", _, product]:
            return product
        case _:
            return "_".join(key)
