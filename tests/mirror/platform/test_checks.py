"""Checks of a mirror, run by Dagster: each passes on clean data, names the offending files, and writes nothing."""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetSelection,
    DagsterInstance,
    Definitions,
    TableMetadataValue,
    define_asset_job,
)

from aurora_assets.definitions import build
from aurora_assets.mirror import checks
from aurora_assets.mirror.assets import raw_key
from aurora_assets.partitions import daily
from aurora_platform.config.site import load_site
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.mirror import checks as plain_checks
from tests.mirror.parts import CHECKS
from tests.patience import in_site_file, patient
from tests.site_files import write_yaml

GAMB2LE = Path(__file__).parents[3] / "sites" / "gamb2le.yaml"
DAY = date(2026, 3, 5)
SECOND = 10**9
OFFLINE = "old"
# Two streams in one directory, one with a cadence; a stream with a directory per day; a disabled stream.
STREAMS: dict[str, dict[str, Any]] = {
    "sci": {"path": "crd", "raw": "asfs/crd", "include": ["sci_*.dat"], "every": "1h"},
    "fast": {"path": "crd", "raw": "asfs/crd", "include": ["fast_*.dat"]},
    "tree": {"path": "tree", "raw": "tree", "include": ["**/*"], "day_dirs": ["Y%Y/M%m/D%d"]},
    OFFLINE: {"path": "old", "raw": "old", "include": ["*"], "enabled": False},
}
FLAT_DAY = r"_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})_"
TREE_DAY = r"(^|/)Y(?P<Y>\d{4})/M(?P<m>\d{2})/D(?P<d>\d{2})/"


class Observatory:
    """A site with hosts on this machine, and a Dagster instance."""

    def __init__(self, home: Path, instance: DagsterInstance, hosts: dict[str, Any]) -> None:
        self.home, self.instance = home, instance
        self.source_root, self.crd = home / "source", home / "raw/asfs/crd"
        streams = {
            name: {
                **settings,
                "host": "instrument",
                "start": "2026-01-12",
                "day": TREE_DAY if name == "tree" else FLAT_DAY,
                "path": str(self.source_root / settings["path"]),
            }
            for name, settings in STREAMS.items()
        }
        paths = {name: name for name in ("raw", "products", "state", "manifests")}
        limits = {"connect": in_site_file(2)}
        data = {"name": "checks", "paths": paths, "hosts": hosts, "streams": streams, "limits": limits}
        write_yaml(home / "site.yaml", data)
        site = load_site(home / "site.yaml")
        self.definitions = build(site)
        alone = [
            define_asset_job(
                f"checks_{name}",
                selection=AssetSelection.checks_for_assets(raw_key(name)),
                partitions_def=daily(stream.start),
            )
            for name, stream in site.streams.items()
            if stream.enabled
        ]
        with_assets = [
            define_asset_job(f"{name}_and_checks", selection=AssetSelection.assets(raw_key(name)))
            for name in site.streams
        ]
        self.definitions = Definitions.merge(self.definitions, Definitions(jobs=[*alone, *with_assets]))

    def mirror(self, stream: str, day: date = DAY) -> dict[str, AssetCheckEvaluation]:
        """Mirror a day and run its checks, as a materialization in the UI does."""
        return self.run(f"{stream}_and_checks", day)

    def check(self, stream: str, day: date = DAY) -> dict[str, AssetCheckEvaluation]:
        """Run only the checks of a day; they write nothing."""
        before = everything(self.home)
        found = self.run(f"checks_{stream}", day)
        assert everything(self.home) == before
        return found

    def run(self, job: str, day: date) -> dict[str, AssetCheckEvaluation]:
        done = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags={"dagster/partition": day.isoformat()}
        )
        assert done.success
        found = {check.check_name: check for check in done.get_asset_check_evaluations()}
        found.pop("is_fresh", None)  # it is about the current time, and belongs to health
        return found


def everything(root: Path) -> dict[str, tuple[int, ...]]:
    """Inode, kind, size, mtime and ctime of all files but known_hosts, to which any scan may add."""
    found = {}
    for path in root.rglob("*"):
        if path == root / "state" or path.name == "known_hosts":
            continue
        status = path.lstat()
        stamps = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        found[str(path.relative_to(root))] = stamps
    return found


@pytest.fixture(scope="module")
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def observatory(tmp_path: Path, instance: DagsterInstance) -> Observatory:
    """A clean day of every stream, on the host and in the local copy."""
    put_day(tmp_path / "source/crd", tmp_path / "source/tree")
    put_day(tmp_path / "raw/asfs/crd", tmp_path / "raw/tree")
    put(tmp_path / "source/crd/notes.txt")
    (tmp_path / "source/old").mkdir()
    return Observatory(tmp_path, instance, {"instrument": {"kind": "local"}})


def put(path: Path, content: bytes = b"data", at: datetime | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    mtime = int((at or datetime(2026, 3, 5, 12, tzinfo=UTC)).timestamp()) * SECOND + 5
    os.utime(path, ns=(mtime, mtime))
    return path


def put_day(crd: Path, tree: Path) -> None:
    begin = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    for hour in range(24):
        at = begin + timedelta(hours=hour + 1)  # an hour's file is written until the end of the hour
        put(crd / f"sci_{DAY:%Y%m%d}_{hour:02}.dat", at=at)
        put(crd / f"fast_{DAY:%Y%m%d}_{hour:02}.dat", at=at)
    put(tree / "Y2026/M03/D05/one.LV0")


def expected(stream: str) -> set[str]:
    return CHECKS | ({"no_gap"} if stream == "sci" else set())


def assert_passed(checks: dict[str, AssetCheckEvaluation], stream: str, but: str = "") -> None:
    """Assert that all checks of a stream ran, and that all but one passed."""
    assert checks.keys() == expected(stream)
    assert {name for name, check in checks.items() if not check.passed} == ({but} if but else set()), {
        name: check.description for name, check in checks.items()
    }


def offenders(check: AssetCheckEvaluation) -> dict[str, tuple[int, str]]:
    """The offending files by kind: count and first names."""
    table = check.metadata["offenders"]
    assert isinstance(table, TableMetadataValue)
    return {str(r.data["wrong"]): (int(r.data["count"]), str(r.data["first"])) for r in table.records}


def test_a_clean_day_passes_every_check_with_its_mirror_and_in_a_separate_run(observatory: Observatory) -> None:
    shutil.rmtree(observatory.home / "raw")
    for run in (observatory.mirror, observatory.check):
        for stream in ("sci", "fast", "tree"):
            check_clean(run(stream), stream)


def check_clean(found: dict[str, AssetCheckEvaluation], stream: str) -> None:
    assert_passed(found, stream)
    assert found["matches_source"].metadata["present"].value == (1 if stream == "tree" else 24)
    assert found["nothing_refused"].metadata["seen"].value == (1 if stream == "tree" else 24)


def test_a_stream_without_a_cadence_has_no_gap_check_and_an_offline_stream_has_none(
    observatory: Observatory,
) -> None:
    keys = {key.to_user_string() for key in observatory.definitions.resolve_asset_graph().asset_check_keys}
    # Only this check exists: it reports that the stream is planned offline.
    assert [key for key in keys if f"raw/{OFFLINE}" in key] == [f"raw/{OFFLINE}:is_fresh"]
    assert len([key for key in keys if "no_gap" in key]) == 1, "only one stream has a cadence"


def test_a_refused_entry_of_the_host_is_named_with_its_reason(observatory: Observatory) -> None:
    (observatory.source_root / "crd/sci_20260305_link.dat").symlink_to("/etc/passwd")
    put(observatory.source_root / "crd/sci_20260305_\n.dat")
    for found in (observatory.mirror("sci"), observatory.check("sci")):
        assert_passed(found, "sci", but="nothing_refused")
        wrong = offenders(found["nothing_refused"])
        assert wrong == {
            "refused: symlink": (1, "2026-03-05: sci_20260305_link.dat"),
            "refused: control character in the name": (1, "2026-03-05: sci_20260305_\\n.dat"),
        }
        assert found["nothing_refused"].metadata["refused"].value == 2
    assert not [path for path in observatory.crd.iterdir() if path.is_symlink() or "\n" in path.name]


def test_a_file_of_the_host_whose_day_is_unknown_is_counted_and_named(observatory: Observatory) -> None:
    put(observatory.source_root / "crd/sci_without_a_day.dat")
    found = observatory.mirror("sci")
    assert_passed(found, "sci", but="nothing_refused")
    ((count, first),) = offenders(found["nothing_refused"]).values()
    assert (count, "sci_without_a_day.dat" in first) == (1, True)


def test_an_entry_without_a_valid_day_is_named(observatory: Observatory) -> None:
    put(observatory.source_root / "crd/sci_20991231_00.dat")
    found = observatory.check("sci")
    assert_passed(found, "sci", but="nothing_refused")
    ((count, first),) = offenders(found["nothing_refused"]).values()
    assert (count, "sci_20991231_00.dat" in first) == (1, True)


def test_a_file_outside_of_all_days_directories_is_named(observatory: Observatory) -> None:
    put(observatory.source_root / "tree/lost.LV0")
    put(observatory.source_root / "tree/Y2026/M03/also lost.LV0")
    put(observatory.source_root / "tree/Y2026/M03/D09/of another day.LV0")
    for found in (observatory.mirror("tree"), observatory.check("tree")):
        assert_passed(found, "tree", but="nothing_refused")
        ((kind, (count, first)),) = offenders(found["nothing_refused"]).items()
        assert (kind, count) == ("refused, outside the directories and names of these days", 2)
        assert set(first.split("; ")) == {"lost.LV0", "Y2026/M03/also lost.LV0"}
        assert found["nothing_refused"].metadata["refused"].value == 2


def test_an_incomplete_listing_passes_no_check_of_the_host(
    observatory: Observatory, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checks.scan
    monkeypatch.setattr(checks, "scan", lambda *given, **named: real(*given[:-1], timedelta(0), **named))
    found = observatory.check("sci")
    assert {name for name, check in found.items() if not check.passed} == {"nothing_refused", "matches_source"}
    for name in ("nothing_refused", "matches_source"):
        ((kind, (count, why)),) = offenders(found[name]).items()
        assert (kind, count) == ("listing incomplete", 1)
        assert why.startswith("stopped at the time limit (limits.look): ")


def test_the_checks_report_an_unreadable_local_directory(
    observatory: Observatory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the kernel's error is simulated."""
    real = os.scandir

    def scandir(path: Any) -> Any:
        if os.fsdecode(path) == str(observatory.crd):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    done = observatory.run("checks_sci", DAY)
    assert {name for name, check in done.items() if check.passed} == {"nothing_refused", "matches_source"}
    for name in ("no_file_in_the_future", "nothing_foreign", "no_gap"):
        assert offenders(done[name]) == {"listing failed": (1, f"{observatory.crd}: Permission denied")}


def test_a_month_is_checked_for_gaps_in_seconds() -> None:
    stream = load_site(GAMB2LE).streams["cl61"]
    begin = datetime(2026, 1, 12, tzinfo=UTC)
    times = [begin + timedelta(minutes=5 * number) for number in range(288 * 365)]
    lost = begin + timedelta(days=20, hours=6)
    name = "gamb2le_depolarisation_lidar_ceilometer_aurora_{:%Y%m%d_%H%M%S}.nc"
    files = [
        ScannedEntry(name.format(at), FileVersion(1, int(at.timestamp()) * SECOND))
        for at in times
        if not lost < at < lost + timedelta(minutes=30)
    ]
    days = [begin.date() + timedelta(days=number) for number in range(30)]
    began = time.process_time()
    written = plain_checks.mtimes_by_day(stream, files)
    found = [plain_checks.no_gap(stream, written[day], day, times[-1]) for day in days]
    assert time.process_time() - began < patient(10), "in s of CPU time"
    assert [number for number, report in enumerate(found) if not report.passed] == [20]
    assert found[20].wrong["gaps of more than 10m"].first == ["06:00:00 to 06:30:00"]


def grow(path: Path) -> None:
    mtime = path.stat().st_mtime_ns
    path.write_bytes(b"longer than before")
    os.utime(path, ns=(mtime, mtime))


def touch_by_a_nanosecond(path: Path) -> None:
    mtime = path.stat().st_mtime_ns + 1
    os.utime(path, ns=(mtime, mtime))


@pytest.mark.parametrize("change", [Path.unlink, grow, touch_by_a_nanosecond], ids=["missing", "size", "mtime"])
def test_a_settled_file_that_is_missing_or_different_locally_is_named(
    observatory: Observatory, change: Callable[[Path], None]
) -> None:
    change(observatory.crd / "sci_20260305_12.dat")
    found = observatory.check("sci")
    check_name = "matches_source"
    assert_passed(found, "sci", but=check_name)
    assert offenders(found[check_name]) == {
        "settled on the host, missing or different locally": (1, "2026-03-05: sci_20260305_12.dat")
    }
    assert_passed(observatory.check("fast"), "fast")


def test_a_file_that_is_still_being_written_is_no_offender(observatory: Observatory) -> None:
    today = datetime.now(UTC)
    put(observatory.source_root / f"crd/fast_{today:%Y%m%d}_00.dat", at=today)
    found = observatory.check("fast", today.date())
    assert_passed(found, "fast")
    assert found["nothing_refused"].metadata["seen"].value == 1


def test_a_local_file_dated_or_written_in_the_future_is_named(observatory: Observatory) -> None:
    now = datetime.now(UTC)
    put(observatory.crd / "sci_20991231_00.dat")
    put(observatory.crd / "sci_20260304_99.dat", at=now + timedelta(days=2))
    put(observatory.crd / "sci_20260304_98.dat", at=now + timedelta(hours=23))  # a clock may be slightly wrong
    found = observatory.check("sci")
    assert_passed(found, "sci", but="no_file_in_the_future")
    ((kind, (count, first)),) = offenders(found["no_file_in_the_future"]).items()
    assert (kind, count) == ("in the future", 2)
    assert set(first.split("; ")) == {"sci_20991231_00.dat", "sci_20260304_99.dat"}


def test_unexpected_files_in_the_raw_directory_are_named_and_another_streams_are_not(
    observatory: Observatory,
) -> None:
    put(observatory.crd / "notes.txt")
    put(observatory.crd / "deeper/sci_20260305_00.dat")
    (observatory.crd / "sci_20260305_link.dat").symlink_to("/etc/passwd")
    (observatory.crd / "etc").symlink_to("/etc")
    for stream in ("sci", "fast"):
        found = observatory.check(stream)
        assert_passed(found, stream, but="nothing_foreign")
        wrong = offenders(found["nothing_foreign"])
        assert {kind: (count, set(first.split("; "))) for kind, (count, first) in wrong.items()} == {
            "belongs to no stream": (2, {"notes.txt", "deeper/sci_20260305_00.dat"}),
            "not a regular file": (2, {"sci_20260305_link.dat", "etc"}),
        }
        assert found["nothing_foreign"].metadata["files"].value == 52


def test_in_a_tree_by_day_only_the_day_is_checked(observatory: Observatory) -> None:
    for day in ("D05", "D06"):
        (observatory.home / "raw/tree/Y2026/M03" / day).mkdir(exist_ok=True)
        (observatory.home / "raw/tree/Y2026/M03" / day / "link").symlink_to("/etc/passwd")
    found = observatory.check("tree")
    assert_passed(found, "tree", but="nothing_foreign")
    assert offenders(found["nothing_foreign"]) == {"not a regular file": (1, "Y2026/M03/D05/link")}


def lose(observatory: Observatory, hours: range) -> None:
    for root in (observatory.source_root / "crd", observatory.crd):
        for hour in hours:
            (root / f"sci_20260305_{hour:02}.dat").unlink()
            (root / f"fast_20260305_{hour:02}.dat").unlink()


@pytest.mark.parametrize(
    ("hours", "gap"),
    [
        (range(10, 12), "10:00:00 to 13:00:00"),
        (range(3), "00:00:00 to 04:00:00"),
        (range(20, 24), "20:00:00 to 00:00:00"),
        (range(24), "00:00:00 to 00:00:00"),
    ],
)
def test_a_gap_in_the_cadence_of_the_site_file_is_named(observatory: Observatory, hours: range, gap: str) -> None:
    lose(observatory, hours)
    found = observatory.check("sci")
    assert_passed(found, "sci", but="no_gap")
    assert offenders(found["no_gap"]) == {"gaps of more than 2h": (1, gap)}
    assert_passed(observatory.check("fast"), "fast")


def test_one_lost_file_is_no_gap(observatory: Observatory) -> None:
    lose(observatory, range(10, 11))
    assert_passed(observatory.check("sci"), "sci")


@pytest.mark.parametrize("hour", [0, 23])
@pytest.mark.parametrize("days", [-30, 30])
def test_a_file_that_was_written_long_before_or_after_its_day_makes_no_gap(
    observatory: Observatory, hour: int, days: int
) -> None:
    at = datetime(2026, 3, 5, tzinfo=UTC) + timedelta(days=days)
    for root in (observatory.source_root / "crd", observatory.crd):
        put(root / f"sci_20260305_{hour:02}.dat", at=at)
    assert_passed(observatory.check("sci"), "sci")


def test_the_current_day_has_no_gap_until_its_end(observatory: Observatory) -> None:
    now = datetime.now(UTC)
    begin = datetime(now.year, now.month, now.day, tzinfo=UTC)
    hours = int((now - begin) / timedelta(hours=1))
    for hour in range(hours):
        at = begin + timedelta(hours=hour + 1)
        for root in (observatory.source_root / "crd", observatory.crd):
            put(root / f"sci_{begin:%Y%m%d}_{hour:02}.dat", at=at)
    assert observatory.check("sci", begin.date())["no_gap"].passed


@contextmanager
def nothing_listens() -> Iterator[int]:
    """Yield a port that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.9", 0))
        yield taken.getsockname()[1]


def test_the_check_reports_a_host_that_is_down_and_the_run_succeeds(observatory: Observatory, tmp_path: Path) -> None:
    put(observatory.crd / "notes.txt")
    with nothing_listens() as port:
        down = {"kind": "ssh", "address": "127.0.0.9", "port": port, "user": "aurora", "auth": "none"}
        found = Observatory(tmp_path, observatory.instance, {"instrument": down}).check("sci")
    assert found.keys() == expected("sci")
    passed = {name for name, check in found.items() if check.passed}
    assert passed == expected("sci") - {"nothing_refused", "matches_source", "nothing_foreign"}
    assert offenders(found["nothing_foreign"]) == {"belongs to no stream": (1, "notes.txt")}
    for name in ("nothing_refused", "matches_source"):
        ((kind, (count, why)),) = offenders(found[name]).items()
        assert (kind, count) == ("listing failed", 1)
        assert why.startswith(f"127.0.0.9:{port}: ")
        assert "Unable to connect" in why
