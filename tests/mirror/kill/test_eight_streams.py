"""The whole observatory: eight streams of two hosts with real sshds, by the site file of the real observatory."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from dagster import AssetSelection, DagsterInstance, Definitions, define_asset_job

from aurora_assets.definitions import build
from aurora_assets.mirror.assets import raw_key
from aurora_platform.config.site import Site, load_site
from aurora_platform.layout import Layout
from aurora_platform.mirror.reports import MirrorReport
from aurora_platform.mirror.scan import scan
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.transport.connections import Connections
from aurora_simulator import INSTRUMENTS, CameraSpec, InstrumentSpec, simulate, simulate_instruments
from aurora_simulator.ssh_server import SshServer
from tests.aurora_simulator.host.test_instruments import PER_DAY
from tests.mirror.parts import CHECKS, LOG, adds_up, left_over, not_in, stamps_by_path
from tests.patience import patient
from tests.site_files import read_yaml, write_yaml

GAMB2LE = Path(__file__).parents[3] / "sites" / "gamb2le.yaml"
HOSTS = {"ass": "127.0.0.2", "aps": "127.0.0.3"}
# The hosts have one more day at both ends than is requested. The ASFS streams begin in the middle.
DAYS = [date(2026, 4, 20) + timedelta(days=n) for n in range(30)]
DAYS_ON_HOST = [DAYS[0] - timedelta(days=1), *DAYS, DAYS[-1] + timedelta(days=1)]
ASFS_START = date(2026, 5, 2)
ASFS_DAYS = [day for day in DAYS if day >= ASFS_START]

# rsync filters, written by hand: the files of each raw directory's streams in the 30 days.
WANTED = {
    "cl61": [f"/gamb2le_depolarisation_lidar_ceilometer_aurora_{d:%Y%m%d}_??????.nc" for d in DAYS],
    "rpgfmcw94": ["/Y2026/", "/Y2026/M04/", "/Y2026/M05/", *(f"/Y2026/M{d:%m}/D{d:%d}/***" for d in DAYS)],
    "hatprog5": [
        *("/Y2026/", "/Y2026/M04/", "/Y2026/M05/", *(f"/Y2026/M{d:%m}/D{d:%d}/" for d in DAYS)),
        *(f"/Y2026/M{d:%m}/D{d:%d}/HATPROG5-AURORA-ICELAND_*" for d in DAYS),
    ],
    "vaisalamet": [f"/vaisala_met_level0_{d:%d-%m-%Y}.dat" for d in DAYS],
    "asfs/crd": [f"/aurora_asfs_data_{kind}_{d:%Y%m%d}????.dat" for d in ASFS_DAYS for kind in ("sci", "fast_sonic")],
    "power/level1": [f"/power_data_{d:%Y%m%d}.csv" for d in DAYS],
    "wxcam": [
        *("/FISH/", *(f"/FISH/{d:%Y%m%d}/" for d in DAYS), *(f"/FISH/{d:%Y%m%d}/**" for d in DAYS)),
        *("/PANO/", *(f"/PANO/{d:%Y%m%d}/" for d in DAYS), *(f"/PANO/{d:%Y%m%d}/**" for d in DAYS)),
    ],
}
FILES_A_DAY = PER_DAY | {"wxcam": 2 * (2 + 1)}  # two views, two images of one hour and its clip
DIRECTORIES = {name: instrument.directory for name, instrument in INSTRUMENTS.items()} | {"wxcam": "wxcam"}


@dataclass(frozen=True)
class Observatory:
    """The hosts, and the directory of their data."""

    root: Path
    servers: dict[str, SshServer]

    def site(self, home: Path) -> Site:
        """The site file of the real observatory with these hosts; all local files are below ``home``."""
        data = read_yaml(GAMB2LE)
        data["paths"] = {name: name for name in data["paths"]}
        for name, server in self.servers.items():
            reached = {"address": server.address, "port": server.port, "user": server.user}
            data["hosts"][name] = {"kind": "ssh", **reached, "auth": "key", "identity": str(server.identity)}
        for name, stream in data["streams"].items():
            stream["path"] = str(self.root / DIRECTORIES[name])
        home.mkdir(exist_ok=True)
        write_yaml(home / "site.yaml", data)
        return load_site(home / "site.yaml")

    def logins(self) -> dict[str, int]:
        return {name: server.log().count("Accepted publickey for ") for name, server in self.servers.items()}


@contextmanager
def roomy_directory() -> Iterator[Path]:
    """A directory in memory if there is room: the test flushes thirty thousand small copies."""
    shared = Path("/dev/shm")
    is_fit = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 1 << 30
    with tempfile.TemporaryDirectory(prefix="aurora-test-", dir=shared if is_fit else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observatory]:
    servers = {name: SshServer(tmp_path_factory.mktemp(name), address=address) for name, address in HOSTS.items()}
    with roomy_directory() as root, servers["ass"], servers["aps"]:
        simulate_instruments(
            InstrumentSpec(root, DAYS_ON_HOST[0], days=len(DAYS_ON_HOST), scale=0.0001, unexpected=True)
        )
        for number, day in enumerate(DAYS_ON_HOST):
            every = timedelta(minutes=30)
            hour = CameraSpec(
                root / "wxcam", day, hours=1, every=every, start_hour=number % 24, scale=0.01, other=False
            )
            simulate(hour, [])
        yield Observatory(root, servers)


def sync(site: Site, connections: Connections, name: str, days: list[date], live_from: date = date.max) -> MirrorReport:
    """Mirror some days of a stream as the asset does."""
    stream = site.streams[name]
    host = site.hosts[stream.host]
    return mirror_days(
        name,
        stream,
        [day for day in days if day >= stream.start],
        source=connections.source(host),
        transfer=connections.transfer(host, LOG, basis=Layout.of(site).raw_root(name)),
        raw=site.paths.raw,
        locks=Layout.of(site).locks,
        wait=site.limits.lock,
        live_from=live_from,
    )


def sync_all(site: Site, days_of: Callable[[str], list[date]]) -> dict[str, MirrorReport]:
    """Mirror all streams concurrently."""
    connections = Connections.of(site)
    with ThreadPoolExecutor(len(site.streams)) as pool:
        done = pool.map(lambda name: sync(site, connections, name, days_of(name)), site.streams)
        return dict(zip(site.streams, done, strict=True))


@dataclass(frozen=True)
class Copied:
    """The site after a backfill of 30 days of all streams, the report of each stream, and the number of logins."""

    site: Site
    reports: dict[str, MirrorReport]
    logins: dict[str, int]


@pytest.fixture(scope="module")
def copied(observatory: Observatory) -> Iterator[Copied]:
    with roomy_directory() as home:
        site, before = observatory.site(home), observatory.logins()
        reports = sync_all(site, lambda name: DAYS)
        yield Copied(site, reports, {name: n - before[name] for name, n in observatory.logins().items()})


def test_thirty_days_of_all_streams_are_what_rsync_would_have_copied(copied: Copied, tmp_path: Path) -> None:
    site = copied.site
    assert {stream.raw for stream in site.streams.values()} == set(WANTED)
    for name, report in copied.reports.items():
        stream = site.streams[name]
        remote, local, wanted = Path(stream.path), Layout.of(site).raw_root(name), WANTED[stream.raw]
        assert not_in(local, remote, wanted) == [], name
        assert not_in(remote, local) == [], f"{name}: no local file is missing on the host"
        taken = not_in(tmp_path, local)
        assert taken == not_in(tmp_path, local, wanted), f"{name}: no other file was copied"
        days = ASFS_DAYS if name.startswith("asfs") else DAYS
        assert [day.day for day in report.days] == days
        assert {day.copied for day in report.days} == {FILES_A_DAY[name]}
        assert (report.unsettled, report.total("refused_count"), report.unreadable.total) == (0, 0, 0)
        assert adds_up(report)
        files = sum(line.startswith(">f") for line in taken)
        shared = 2 if name.startswith("asfs") else 1
        assert files == shared * FILES_A_DAY[name] * len(days)
    assert left_over(site.paths.raw) == []


def test_files_before_a_streams_start_are_neither_copied_nor_missing(copied: Copied) -> None:
    site = copied.site
    for name in ("asfs_logger", "asfs_fast_sonic"):
        stream = site.streams[name]
        assert stream.start == ASFS_START
        older = [p.name for p in Path(stream.path).iterdir() if stream.includes(p.name) and "_202604" in p.name]
        assert len(older) == 24 * 12, "the host has them"
        assert [path for path in older if (Layout.of(site).raw_root(name) / path).exists()] == []
        survey = scan(stream, Connections.of(site).source(site.hosts["ass"]), Layout.of(site).raw_root(name), None)
        # In the whole source from the start on, only the day that was not requested above is missing.
        assert [(day.day, day.missing) for day in survey.behind] == [(DAYS_ON_HOST[-1], 24)]
        assert min(survey.days) == ASFS_START
        assert survey.refusals == 0


def test_two_streams_that_share_a_directory_neither_take_nor_verify_each_others_files(
    observatory: Observatory, tmp_path: Path
) -> None:
    site = observatory.site(tmp_path / "home")
    connections, days = Connections.of(site), ASFS_DAYS[:3]
    logger = sync(site, connections, "asfs_logger", days)
    local = Layout.of(site).raw_root("asfs_logger")
    assert local == Layout.of(site).raw_root("asfs_fast_sonic")
    assert {path.name[: len("aurora_asfs_data_sci")] for path in local.iterdir()} == {"aurora_asfs_data_sci"}
    before = stamps_by_path(local)
    sonic = sync(site, connections, "asfs_fast_sonic", days)
    assert logger.total("copied") == sonic.total("copied") == 72
    assert {name: stamps for name, stamps in stamps_by_path(local).items() if name in before} == before
    for path in local.glob("*fast_sonic*"):
        path.write_bytes(b"damaged")
    again = sync(site, connections, "asfs_logger", days)
    assert (again.total("seen"), again.total("unchanged")) == (72, 72)
    assert [day.data_version for day in again.days] == [day.data_version for day in logger.days]
    source = connections.source(site.hosts["ass"])
    assert scan(site.streams["asfs_logger"], source, local, days).behind == []
    assert sum(day.missing for day in scan(site.streams["asfs_fast_sonic"], source, local, days).behind) == 72


def test_one_sync_of_all_with_nothing_new_is_one_login_per_host_and_little_work(
    observatory: Observatory, copied: Copied, tmp_path: Path
) -> None:
    """With a new session: a separate state directory stands for another process."""
    site = copied.site
    fresh = site.model_copy(update={"paths": site.paths.model_copy(update={"state": tmp_path})})
    at = datetime(DAYS[-1].year, DAYS[-1].month, DAYS[-1].day, 12, tzinfo=UTC)

    def live_window(name: str) -> list[date]:
        return [day for day in DAYS if day >= site.streams[name].live_from(at)]

    kept, before = stamps_by_path(site.paths.raw), observatory.logins()
    worked = time.process_time()
    reports = sync_all(fresh, live_window)
    work = time.process_time() - worked
    assert {name: n - before[name] for name, n in observatory.logins().items()} == {"ass": 1, "aps": 1}
    for name, report in reports.items():
        assert len(report.days) == (11 if name.startswith("asfs") or name == "power" else 3)
        assert report.total("unchanged") == report.total("seen") == FILES_A_DAY[name] * len(report.days)
    assert stamps_by_path(site.paths.raw) == kept
    assert work < patient(10), "in s of CPU time; it needs half a second"


def test_a_backfill_logs_in_once_per_host_and_once_per_transfer(copied: Copied) -> None:
    # rsync has its own connection, one per 2000 files.
    parts = {name: -(-n * (18 if name.startswith("asfs") else 30) // 2000) for name, n in FILES_A_DAY.items()}
    assert copied.logins == {"ass": 1 + sum(parts.values()) - parts["power"], "aps": 1 + parts["power"]}


def test_a_day_of_every_stream_passes_its_checks_and_files_without_a_day_are_reported(
    observatory: Observatory, tmp_path: Path
) -> None:
    site = observatory.site(tmp_path / "home")
    mirrors = [define_asset_job(f"mirror_{name}", AssetSelection.assets(raw_key(name))) for name in site.streams]
    definitions = Definitions.merge(build(site), Definitions(jobs=mirrors))
    passed: dict[str, set[str]] = {}
    with DagsterInstance.ephemeral() as instance:
        for name in site.streams:
            job = definitions.resolve_job_def(f"mirror_{name}")
            done = job.execute_in_process(instance=instance, tags={"dagster/partition": "2026-05-10"})
            assert done.success
            for check in done.get_asset_check_evaluations():
                if check.check_name == "is_fresh":  # it is about the current time, and belongs to health
                    continue
                if (name, check.check_name) == ("radar", "nothing_refused"):
                    # The radar stream includes its whole tree, so files without a day are reported.
                    assert "3 refused, outside the directories and names of these days" in str(check.description)
                else:
                    assert check.passed, f"{name}: {check.check_name}: {check.metadata}"
                passed.setdefault(name, set()).add(check.check_name)
    assert passed == {name: CHECKS | ({"no_gap"} if stream.every else set()) for name, stream in site.streams.items()}
    assert "no_gap" in passed["cl61"]
