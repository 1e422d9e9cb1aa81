"""Snapshots: they change nothing, end in time whatever is down, and their files keep their format."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from dagster import AssetKey, DagsterInstance

from aurora_assets.definitions import build
from aurora_cli.main import main
from aurora_platform.config.health import Health
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.site import Site, load_site
from aurora_platform.health.assessment import assess
from aurora_platform.health.models import Assessment, Level, Snapshot
from aurora_platform.health.page_probe import PageProbe
from aurora_platform.health.report import ages_of_a_day, as_markdown, publish_health
from aurora_platform.health.snapshot import take_snapshot
from aurora_platform.layout import Layout
from aurora_platform.operations.observe import NoRecords
from aurora_simulator.ssh_server import SshServer
from scripts.schemas import DIRECTORY, FILES, schema_of
from tests.archive.places import Observatory
from tests.health.site_observation import observe_site
from tests.mirror.parts import host_of
from tests.patience import in_site_file, patient
from tests.site_files import write_site
from tests.troubled_hosts import accepts_and_never_answers

OLD = Path(__file__).parents[1] / "old"
HANGS = patient(120)  # s; nothing waits that long


@pytest.fixture
def web() -> Iterator[str]:
    """A web server with a page of the site."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html><title>Aurora\n sky</title>")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    return Observatory(tmp_path)


def site_with(home: Path, host: SshHost, url: str = "", within: int = 6) -> Site:
    def change(data: dict) -> None:
        data["hosts"] = {"camera": host.model_dump(mode="json", exclude_none=True)}
        data["streams"]["wxcam"] |= {"host": "camera", "path": str(home)}
        data["health"] = {"within": in_site_file(within)}
        data["endpoints"] = {"dashboard": {"url": url, "title": "sky"}} if url else {}

    return load_site(write_site(home, change))


def test_a_snapshot_has_local_and_remote_disks_the_clock_of_the_host_and_the_page(
    tmp_path: Path, server: SshServer, web: str
) -> None:
    site = site_with(tmp_path, host_of(server), web)
    with DagsterInstance.ephemeral() as instance:
        snapshot, assessment = observe_site(site, instance)
    disks = {disk.name: disk for disk in snapshot.filesystems}
    remote = disks[f"host camera {tmp_path}"]
    assert remote.used_percent is not None
    assert disks["raw"].used_percent is not None
    assert abs(remote.used_percent - disks["raw"].used_percent) <= 2, "it is the same file system"
    [host] = snapshot.hosts
    assert host.reachable
    assert host.clock_skew_s is not None
    assert abs(host.clock_skew_s) < patient(5), "they have the same clock"
    [page] = snapshot.pages
    assert (page.status, page.title) == (200, "Aurora sky")
    levels = {check.component: check.level for check in assessment.checks}
    assert levels["page dashboard"] is Level.GREEN
    assert levels["host camera"] is Level.GREEN
    assert snapshot.software.commit


def test_if_no_host_key_can_be_stored_each_host_has_the_reason_and_the_rest_is_observed(
    tmp_path: Path, server: SshServer, web: str
) -> None:
    site = site_with(tmp_path, host_of(server), web)
    Layout.of(site).known_hosts.mkdir(parents=True)
    snapshot, _ = observe_site(site, "no DAGSTER_HOME")
    [host] = snapshot.hosts
    assert not host.reachable
    assert f"{Layout.of(site).known_hosts} is not a regular file. Move it away" in str(host.error)
    assert [page.status for page in snapshot.pages] == [200]
    assert list(Layout.of(site).known_hosts.iterdir()) == []


def test_whatever_is_down_a_snapshot_ends_in_time_and_lists_what_is_unknown(tmp_path: Path) -> None:
    with accepts_and_never_answers("127.0.0.1") as port:
        silent = SshHost(address="127.0.0.1", port=port, user="root", auth="none")
        site = site_with(tmp_path, silent, f"http://127.0.0.1:{port}/")
        began = time.monotonic()
        snapshot, assessment = observe_site(site, "no DAGSTER_HOME")
        assert time.monotonic() - began < patient(6 + 20)
    assert not snapshot.hosts[0].reachable
    assert snapshot.pages[0].error
    assert snapshot.platform.error == "no DAGSTER_HOME"
    levels = {check.component: check.level for check in assessment.checks}
    assert levels["dagster"] is Level.GRAY
    assert levels[f"disk host camera {tmp_path}"] is Level.GRAY


def test_records_that_hang_are_unknown_and_delay_nothing_else(tmp_path: Path) -> None:
    is_over = threading.Event()
    site = load_site(write_site(tmp_path, lambda data: data.update(health={"within": in_site_file(5)})))

    class Hanging(NoRecords):
        def newest_of_products(self) -> dict:
            is_over.wait(HANGS)
            return {}

    def no_host(host: SshHost, argv: Sequence[str]) -> str:
        raise AssertionError

    began, pages = time.monotonic(), PageProbe(patient(1))
    try:
        snapshot = take_snapshot(
            site, run_on_host=no_host, orchestrator=Hanging("none"), fetch=pages, dagster_version="1"
        )
        assert time.monotonic() - began < HANGS / 2
    finally:
        is_over.set()
    assert [disk.name for disk in snapshot.filesystems] == ["raw", "products", "state", "manifests"]
    [products] = [entry for entry in snapshot.freshness if entry.component == "product"]
    assert (products.level, products.sentence) == (
        Level.GRAY,
        f"unknown: no answer within {patient(5) - 3:.1f} s",
    )


def test_a_stream_whose_files_hang_is_gray(observatory: Observatory, monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def hang(*_: object) -> None:
        is_over.wait(HANGS)

    monkeypatch.setattr("aurora_platform.health.freshness.find_newest_local", hang)
    site = observatory.site.model_copy(update={"health": Health(within=timedelta(seconds=patient(4)))})
    began = time.monotonic()
    try:
        snapshot, assessment = observe_site(site, "none")
        assert time.monotonic() - began < HANGS / 2
    finally:
        is_over.set()
    levels = {check.component: check.level for check in assessment.checks}
    for part in ("freshness met source", "freshness met here", "freshness met archive", "manifests met"):
        assert levels[part] is Level.GRAY, part
    assert "no answer within" in snapshot.freshness[1].sentence


def everything(root: Path, excluded: tuple[str, ...] = ()) -> dict[str, tuple[int, int, bytes]]:
    """Names, inodes, mtimes and bytes of a tree."""
    return {
        name: (path.lstat().st_ino, path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(root.rglob("*"))
        if not (name := str(path.relative_to(root))).startswith(excluded)
    }


def test_the_health_asset_writes_its_own_files_and_changes_nothing_else(tmp_path: Path, server: SshServer) -> None:
    site = site_with(tmp_path, host_of(server))
    for directory in ("raw/wxcam/FISH/20260818", "products/wxcam", "state/locks", "manifests/latest"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "file").write_text("as it was")
    definitions = build(site)
    own = ("raw/ops_monitor", "products/ops_monitor", "state/locks", "sshd", "state/ledger")
    with DagsterInstance.ephemeral() as instance:
        run = definitions.resolve_job_def("health")
        assert run.execute_in_process(instance=instance).success
        before = everything(tmp_path, own)
        done = run.execute_in_process(instance=instance)
        assert done.success
    after = everything(tmp_path, own)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == set()
    assert not (tmp_path / "state/known_hosts").exists(), "a snapshot adds no host key"
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("ops_monitor/**/*") if path.is_file()}
    latest = Snapshot.model_validate_json((tmp_path / "raw/ops_monitor/latest.json").read_bytes())
    day = f"{latest.generated_at_utc:%Y%m%d}"
    assert written >= {
        "raw/ops_monitor/latest.json",
        f"raw/ops_monitor/ops_monitor_{day}.jsonl",
        "products/ops_monitor/health/latest_health.json",
        "products/ops_monitor/health/latest_report.md",
        f"products/ops_monitor/health/health_report_{day}.md",
    }
    [event] = [e for e in done.get_asset_materialization_events() if e.asset_key == AssetKey(["ops", "health"])]
    assert event.materialization.metadata["overall_level"].value in set(Level)


def test_each_snapshot_adds_one_line_to_the_day_s_file_also_after_a_cut_line(tmp_path: Path) -> None:
    site = load_site(write_site(tmp_path))
    snapshot, assessment = observe_site(site, "none")
    *_, lines = publish_health(site, snapshot, assessment)
    with lines.open("ab") as file:
        file.write(b'{"cut')
    publish_health(site, snapshot, assessment)
    first, cut, last = lines.read_text().splitlines()
    assert cut == '{"cut'
    assert [Snapshot.model_validate_json(line) for line in (first, last)] == [snapshot, snapshot]


def test_the_health_file_has_the_keys_that_others_read(tmp_path: Path) -> None:
    site = load_site(write_site(tmp_path))
    publish_health(site, *observe_site(site, "none"))
    data = json.loads((tmp_path / "products/ops_monitor/health/latest_health.json").read_text())
    assert data.keys() == {
        *("generated_at_utc", "phase", "automated_repairs_enabled", "overall_level", "summary"),
        *("observations", "checks"),
    }
    assert (data["phase"], data["automated_repairs_enabled"]) == ("observe-only", False)
    assert data["summary"].keys() == {"checks", "red", "amber", "gray", "green"}
    assert data["summary"]["checks"] == len(data["checks"])
    for check in data["checks"]:
        assert check.keys() == {"level", "component", "message", "details", "metrics", "affects_overall"}


def test_hostile_text_in_a_report_adds_no_markup(tmp_path: Path) -> None:
    site = load_site(write_site(tmp_path))
    snapshot, _ = observe_site(site, "none")
    evil = "x\n# RED\n<script>|`$(id)`"
    snapshot = snapshot.model_copy(
        update={
            "filesystems": [
                disk.model_copy(update={"error": evil, "used_percent": None}) for disk in snapshot.filesystems
            ]
        }
    )
    text = as_markdown(snapshot, assess(snapshot, site.health, {}))
    assert "\n# RED" not in text
    assert "<script>" not in text


@pytest.mark.parametrize(("name", "model"), [("latest_v1.json", Snapshot), ("latest_health_v1.json", Assessment)])
def test_files_of_earlier_versions_are_still_read(name: str, model: type) -> None:
    assert model.model_validate_json((OLD / name).read_bytes()).generated_at_utc


@pytest.mark.parametrize("name", FILES)
def test_the_schemas_in_the_documents_are_those_of_the_models(name: str) -> None:
    assert (DIRECTORY / name).read_text() == schema_of(name), "run: make schemas"


def test_the_command_shows_the_assessment_and_its_exit_code_is_the_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    site = write_site(tmp_path)
    done = CliRunner().invoke(main, ["--site", str(site), "health", "--json"])
    assert Assessment.model_validate_json(done.output).overall_level is Level.RED
    assert done.exit_code == 2
    shown = CliRunner().invoke(main, ["--site", str(site), "health"])
    assert "demo: RED" in shown.output
    assert "STALE" in shown.output
    assert not (tmp_path / "raw").exists(), "it writes nothing"


def test_a_home_without_records_is_gray_and_none_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    done = CliRunner().invoke(main, ["--site", str(write_site(tmp_path)), "health", "--json"])
    levels = {check.component: check.level for check in Assessment.model_validate_json(done.output).checks}
    assert levels["dagster"] is Level.GRAY
    assert list(home.iterdir()) == []


def test_watch_uses_one_copy_of_the_host_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[Path] = []

    def observe(site: Site, _: object, copy: Path, extra_checks: object) -> tuple[Snapshot, Assessment]:
        copies.append(copy)
        if len(copies) == 3:
            raise KeyboardInterrupt
        return observe_site(site, "none", copy)

    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr("aurora_cli.health.observe", observe)
    monkeypatch.setattr("aurora_cli.health.time.sleep", lambda _: None)
    CliRunner().invoke(main, ["--site", str(write_site(tmp_path)), "health", "--watch"])
    assert len(copies) == 3
    assert len(set(copies)) == 1


def test_the_ages_of_a_day_skip_invalid_lines(tmp_path: Path) -> None:
    site = load_site(write_site(tmp_path))
    (tmp_path / "raw/wxcam").mkdir(parents=True)
    snapshot, assessment = observe_site(site, "none")
    fresh = [entry.model_copy(update={"age_s": 60.0}) for entry in snapshot.freshness]
    *_, lines = publish_health(site, snapshot.model_copy(update={"freshness": fresh}), assessment)
    good = lines.read_text()
    no_zone = good.replace("Z", "").replace("+00:00", "")
    lines.write_text(good + no_zone + '{"cut\n' + "[]\n" + good)
    now = snapshot.generated_at_utc
    assert ages_of_a_day(site, now) == {"wxcam": [(now, 60.0), (now, 60.0)]}
