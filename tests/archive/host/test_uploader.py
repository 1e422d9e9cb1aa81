"""What a push copies, and what it never does: with real rsync, real sshds, and trees that change during the push."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from aurora_platform.archive.ledger import REGISTERED
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.errors import BusyError, TransferError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.sqlite_aside import moved_aside
from aurora_platform.fs.versions import same_mtime
from aurora_platform.layout import ArchiveLayout, Layout
from aurora_platform.transport.protocols import ArchiveHost, Transfer, TransferResult
from aurora_platform.transport.ssh_host import SshAccess
from aurora_simulator.ssh_server import SshServer
from tests.archive.parts import (
    Observatory,
    adds_up,
    files_below,
    write_raw,
)
from tests.mirror.parts import DAY, differences, left_over, write

BIG = random.Random(7).randbytes(3_000_000)
fork = get_context("fork")


def logins(servers: Sequence[SshServer]) -> int:
    return sum(server.log().count("Accepted publickey") for server in servers)


def test_the_files_of_a_day_arrive_with_their_mtimes_and_are_copied_in_the_ledger(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305.csv": b"one", "a/b/20260305_x.csv": b"two", "20260306.csv": b"another day"})
    report = observatory.push_raw()
    archived = observatory.gws / "raw" / "met"
    assert files_below(archived) == {"20260305.csv": b"one", "a/b/20260305_x.csv": b"two"}
    assert (report.files, report.bytes, report.seen, report.host) == (2, 6, 2, observatory.archive_hosts[0].name)
    assert adds_up(report)
    assert report.rate > 0
    for name in ("20260305.csv", "a/b/20260305_x.csv"):
        row, status = observatory.row(archived / name), (archived / name).stat()
        assert row is not None
        assert row.copied_at
        assert row.version == (status.st_size, status.st_mtime_ns)
        assert row.version.mtime_ns == (observatory.raw / name).stat().st_mtime_ns
        assert (row.file_group, row.day) == ("raw/met", "2026-03-05")
    assert observatory.push_raw(DAY, date(2026, 3, 6)).files == 1
    assert differences(observatory.raw, archived) == []
    assert left_over(observatory.home / "raw") == []
    assert left_over(observatory.gws) == []


def test_without_changes_no_file_is_sent_and_no_host_is_contacted(
    observatory: Observatory, servers: list[SshServer]
) -> None:
    write_raw(observatory, {"20260305.csv": b"one"})
    observatory.push_raw()
    before = logins(servers)
    report = observatory.push_raw()
    assert (report.host, report.files, report.unchanged, report.seen) == (None, 0, 1, 1)
    assert logins(servers) == before


def test_a_push_of_any_number_of_files_needs_one_login_to_send_them_and_one_to_read_some_back(
    observatory: Observatory, servers: list[SshServer]
) -> None:
    observatory.push_raw()
    write_raw(observatory, {"20260305_warm.csv": b""})
    observatory.push_raw()  # the pooled session is open from now on
    before = logins(servers)
    write_raw(observatory, {f"{n % 7}/20260305_{n:0100}.csv": b"x" for n in range(700)})
    assert observatory.push_raw().files == 700
    assert logins(servers) == before + 2


def test_a_file_that_is_deleted_locally_stays_in_the_archive(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305_a.csv": b"a", "20260305_b.csv": b"b"})
    observatory.push_raw()
    archived = observatory.gws / "raw" / "met"
    (archived / "unexpected").write_bytes(b"of another program")
    (observatory.raw / "20260305_a.csv").unlink()
    write_raw(observatory, {"20260305_c.csv": b"c"})
    assert observatory.push_raw().files == 1
    assert set(files_below(archived)) == {"20260305_a.csv", "20260305_b.csv", "20260305_c.csv", "unexpected"}


def test_no_option_that_deletes_is_ever_built(observatory: Observatory) -> None:
    rsync = SshAccess(observatory.hosts[0], observatory.connections.bounds).rsync()
    options = rsync.push_arguments(Path("/upload_tree"), Path("/wanted"), "/gws", "/gws/.incoming/raw")
    options_given = [option for option in options if option.startswith("-")]
    assert "--files-from" in options_given
    assert not [option for option in options_given if "delete" in option or "remove" in option or "force" in option]


def test_an_archive_directory_that_is_a_symlink_to_another_disk_is_kept(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305.csv": b"one"})
    (observatory.gws / "raw").mkdir(parents=True)
    (observatory.gws / "other").mkdir()
    (observatory.gws / "raw" / "met").symlink_to("../other")
    report = observatory.push_raw()
    assert (observatory.gws / "raw" / "met").is_symlink()
    # A recent rsync does not write through a symlink; an older one does. The report is correct in both cases.
    assert (report.files, report.failed.total) == (len(files_below(observatory.gws / "other")), 1 - report.files)


@pytest.mark.parametrize("name", ["gws", 'g w\'s "$(id)" [a]*?;&|`x`~!'])
def test_names_with_shell_and_pattern_characters_arrive(observatory: Observatory, name: str) -> None:
    observatory = observatory.but(gws_name=name)
    names = ["-rf 20260305.csv", "#20260305.csv", "20260305 $(touch pwned) `id` ;&|<>.csv", "20260305'\".csv"]
    names += [
        "20260305[a]*?.csv",
        "~20260305.csv",
        "20260305\\.csv",
        "d [x]$/20260305.csv",
        "ü/20260305 ö.csv",
        "%20260305.csv",
    ]
    write_raw(observatory, {name: name.encode() for name in names})
    if name != "gws":
        (observatory.home / "g wXs").mkdir()  # a pattern would match this
    report = observatory.push_raw()
    assert (report.files, report.failed.first) == (len(names), [])
    assert files_below(observatory.gws / "raw" / "met") == {name: name.encode() for name in names}
    assert not list(observatory.home.rglob("pwned"))


def test_entries_that_are_not_regular_files_or_have_invalid_names_are_refused_by_name(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305.csv": b"one"})
    (observatory.raw / "20260305_link.csv").symlink_to("/etc/passwd")
    os.mkfifo(observatory.raw / "20260305_pipe.csv")
    (observatory.raw / "20260305\n.csv").write_bytes(b"")
    report = observatory.push_raw()
    assert (report.files, report.refused.total) == (1, 3)
    assert adds_up(report)
    assert "20260305_link.csv" in report.refused.first
    assert set(files_below(observatory.gws / "raw" / "met")) == {"20260305.csv"}


def test_only_the_directories_of_the_days_are_read(observatory: Observatory) -> None:
    met = observatory.streams["met"] | {"day_dirs": ["%Y/%m/%d"]}
    observatory = observatory.but(streams={"met": met})
    write_raw(observatory, {"2026/03/05/20260305.csv": b"one", "2026/01/20/20260305.csv": b"misplaced"})
    report = observatory.push_raw()
    assert (report.files, report.refused.total) == (1, 0)


def test_an_upload_tree_copies_where_hard_links_are_refused(
    observatory: Observatory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    write_raw(observatory, {"20260305.csv": BIG})
    assert observatory.push_raw().files == 1
    assert differences(observatory.raw, observatory.gws / "raw" / "met") == []


def test_core_products_are_all_except_the_cameras_and_staged_files_at_the_root(observatory: Observatory) -> None:
    files = {
        "a.nc": b"a",
        "ops/health/latest.json": b"{}",
        "ops/.hidden": b"h",
        ".htaccess": b"x",
        "a/.staging/y": b"y",
    }
    own_files = {".staging/x": b"", ".outgoing/core/z": b"", ".incoming/w": b"", "wxcam/v.mp4": b""}
    own_files |= {"ops_monitor/health/.staging/latest": b""}
    write(observatory.products, files | own_files)
    (observatory.products / "link").symlink_to("a.nc")
    report = observatory.push_core()
    assert every_file(observatory.gws / "products") == files
    assert (report.files, report.refused.first) == (len(files), ["link"])
    assert adds_up(report)
    # This site has no camera stream, so no other push copies its directory.
    assert sorted(report.left_out.first) == [
        *(".incoming", ".outgoing", ".staging", "ops_monitor/health/.staging/latest", "wxcam")
    ]
    assert observatory.push_core().unchanged == len(files)


def test_a_zarr_v2_store_among_the_core_products_can_be_opened_in_the_archive(observatory: Observatory) -> None:
    values = np.arange(12, dtype="int16").reshape(3, 4)
    group = zarr.open_group(observatory.products / "radar" / "radar.zarr", mode="w", zarr_format=2)
    group.create_array("reflectivity", data=values, chunks=(2, 2))
    group.attrs["units"] = "dBZ"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(group.store)
    observatory.push_core()
    archived = observatory.gws / "products" / "radar" / "radar.zarr"
    names = {path.relative_to(archived).as_posix() for path in archived.rglob(".z*")}
    assert names == {".zgroup", ".zattrs", ".zmetadata", "reflectivity/.zarray", "reflectivity/.zattrs"}
    copied = zarr.open_consolidated(archived)
    assert copied.attrs["units"] == "dBZ"
    assert np.array_equal(copied["reflectivity"][:], values)


def every_file(root: Path) -> dict[str, bytes]:
    """Every file in the archive, including names with a dot, except the files in transfer at its root."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(".incoming/")}


def test_the_camera_push_has_the_products_of_a_day_and_those_without_a_day_but_no_pixels(
    observatory: Observatory,
) -> None:
    wanted = {f"daily_videos/{c}/{n}.mp4": b"v" for c in ("fish_hdr", "pano_hdr") for n in ("20260305", "latest")}
    wanted |= {f"hourly_thumbnails/fish_hdr/20260305/HDR_20260305_{h:02}3000.jpg": b"t" for h in range(3)}
    others = {"daily_videos/fish_hdr/20260304.mp4": b"", "hourly_thumbnails/fish_hdr/20260304/x.jpg": b""}
    others |= {"wxcam.zarr/zarr.json": b"", ".clips/fish_hdr/x.mp4": b"", ".staging/y": b""}
    wanted |= {
        "notes.txt": b"n",
        "daily_videos/fish_hdr/20260305.mp4.inputs": b"i",
        "hourly_thumbnails/stray.jpg": b"s",
    }
    wanted |= {"hourly_thumbnails/fish_hdr/20260305/.note": b"a dot name"}
    write(observatory.products / "wxcam", wanted | others)
    report = observatory.push_wxcam()
    assert every_file(observatory.gws / "products" / "wxcam") == wanted
    assert report.left_out.first == [".clips", ".staging", "wxcam.zarr"]
    assert report.files == len(wanted)
    assert adds_up(report)
    day_before = date(2026, 3, 4)
    assert observatory.push_wxcam(day_before).files == 2
    assert "wxcam" not in {path.name for path in (observatory.gws / "products").iterdir() if path.is_file()}


READ = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], uri=True) as database:
    print(database.execute("SELECT count(*) FROM images").fetchone()[0])
"""


def test_the_catalogue_is_sent_as_a_backup_that_can_be_read_without_write_permission(observatory: Observatory) -> None:
    catalog = observatory.products / "wxcam" / "wxcam_catalog.sqlite"
    catalog.parent.mkdir(parents=True)
    archived = observatory.gws / "products" / "wxcam" / catalog.name
    with closing(sqlite3.connect(catalog, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        database.execute("CREATE TABLE images (raw_path TEXT)")
        database.executemany("INSERT INTO images VALUES (?)", [("x" * 100,)] * 1000)
        database.execute("BEGIN")
        database.execute("INSERT INTO images VALUES ('not committed')")
        report = observatory.push_wxcam()
        assert (report.files, report.failed.first) == (1, [])
        assert rows_read_without_write_permission(archived, "mode=ro&immutable=1") == 1000
        assert rows_read_without_write_permission(archived, "mode=ro") == 1000
        assert same_mtime(archived.stat().st_mtime_ns, catalog.with_name(catalog.name + "-wal").stat().st_mtime_ns)
        before = observatory.row(archived)
        again = observatory.push_wxcam()
        assert (again.files, again.unchanged, again.host) == (0, 1, None)
        assert observatory.row(archived) == before
        database.execute("COMMIT")
        assert observatory.push_wxcam().files == 1
        assert rows_read_without_write_permission(archived, "mode=ro") == 1001
    assert [path.name for path in archived.parent.iterdir()] == [catalog.name]


def rows_read_without_write_permission(database: Path, how: str) -> int:
    database.parent.chmod(0o555)
    database.chmod(0o444)
    unable = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    try:
        command = [*unable, sys.executable, "-c", READ, f"{database.as_uri()}?{how}"]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    finally:
        database.parent.chmod(0o755)


def test_an_invalid_catalogue_fails_and_delays_no_other_file(observatory: Observatory) -> None:
    write(
        observatory.products / "wxcam", {"wxcam_catalog.sqlite": b"rubbish" * 1000, "daily_videos/c/latest.mp4": b"v"}
    )
    report = observatory.push_wxcam()
    assert (report.files, report.failed.total) == (1, 1)
    assert "this database cannot be backed up: file is not a database" in report.failed.first[0]


def test_two_runs_of_one_lane_do_not_work_concurrently(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305.csv": b"x"})
    with (
        hold_lock(Layout.of(observatory.site).locks, "push.raw.met", timedelta(0)),
        pytest.raises(BusyError, match=r"push\.raw\.met: another run still works on this"),
    ):
        observatory.but(wait=0).push_raw()


@dataclass(frozen=True)
class Losing:
    """A real host that loses files before they are listed."""

    host: ArchiveHost

    @property
    def name(self) -> str:
        return self.host.name

    def prepare(self, root: str, work: str) -> None:
        self.host.prepare(root, work)

    def list(self, root: str, below: Sequence[str]) -> Any:
        return self.host.list(root, below)

    def fetching(self) -> Transfer:
        return self.host.fetching()

    def send(self, upload_tree: Path, paths: Sequence[str], root: str, work: str, lock: Path) -> TransferResult:
        result = self.host.send(upload_tree, paths, root, work, lock)
        for place in Path(root).rglob("*lost*.csv"):
            place.unlink()
        for place in Path(root).rglob("*stale*.csv"):
            os.utime(place, (0, 0))
        return result


def test_only_files_listed_in_the_archive_count_as_copied_and_others_get_parked(observatory: Observatory) -> None:
    write_raw(observatory, {f"20260305_{name}.csv": b"x" for name in ("good", "lost", "stale")})
    archived = observatory.gws / "raw" / "met"
    hosts = [Losing(host) for host in observatory.archive_hosts]
    for attempt in (1, 2, 3):
        report = observatory.push_raw(hosts=hosts)
        assert report.failed.total == 2
        assert adds_up(report)
        for name in ("lost", "stale"):
            row = observatory.row(archived / f"20260305_{name}.csv")
            assert row is not None
            assert (row.copied_at, row.attempts, bool(row.parked_at)) == (None, attempt, attempt == 3)
            assert row.last_error == "after the transfer the archive does not have it in the version that was sent"
    assert f"{archived}/20260305_lost.csv is not tried any more" in report.notes
    report = observatory.push_raw(hosts=hosts)
    assert (report.host, report.parked.total, report.unchanged, report.seen) == (None, 2, 1, 3)
    write_raw(observatory, {"20260305_lost.csv": b"another version"})
    report = observatory.push_raw()
    assert (report.files, report.parked.total) == (1, 1)


def test_registered_files_are_sent_with_the_core_products_and_forbidden_paths_are_parked(
    observatory: Observatory,
) -> None:
    write(observatory.home / "daq", {"run1.dat": b"one", "run2.dat": b"two", "gone.dat": b""})
    daq, gws = observatory.home / "daq", observatory.gws
    with observatory.ledger() as ledger:
        ledger.add_file(daq / "run1.dat", f"{gws}/raw/daq/run1.dat", "gws")
        ledger.add_file(daq / "run2.dat", f"{gws}/products/daq/2.dat", "gws")
        ledger.add_file(daq / "gone.dat", f"{gws}/manifests/daq/gone.dat", "gws")
        for place in ("/etc/cron.d/run1.dat", f"{gws}/raw/.incoming/core/new/x", f"{gws}/rawer/x"):
            ledger.add_file(daq / "run1.dat", place, "gws")
    (daq / "gone.dat").unlink()
    (daq / "run2.dat").write_bytes(b"grown since")
    report = observatory.push_core()
    assert files_below(gws) == {"raw/daq/run1.dat": b"one", "products/daq/2.dat": b"grown since"}
    assert not Path("/etc/cron.d/run1.dat").exists()
    assert (report.files, report.failed.total, report.parked.total) == (2, 1, 3)
    assert adds_up(report)
    assert "its remote path is in none of the archive's directories" in report.parked.first[0]
    assert report.failed.first == [f"{gws}/manifests/daq/gone.dat: the local file is gone"]
    with observatory.ledger() as ledger:
        assert len(ledger.parked("gws", REGISTERED)) == 3


def test_our_own_files_are_sent_to_the_given_paths(observatory: Observatory) -> None:
    finalization = observatory.home / "manifests" / "finalized" / "met" / "2026-03-05_met_finalized.yaml"
    write(finalization.parent, {finalization.name: b"complete: true\n"})
    remote_path = f"{ArchiveLayout.of(observatory.archive).manifests}/finalized/met/{finalization.name}"
    report = observatory.pushing(lambda pushing: pushing.files("evidence/met/words", {finalization: remote_path}))
    assert report.files == 1
    assert Path(remote_path).read_bytes() == b"complete: true\n"
    assert (
        observatory.pushing(lambda pushing: pushing.files("evidence/met/words", {finalization: remote_path})).unchanged
        == 1
    )


def test_a_requeued_file_is_sent_again_although_the_archive_has_equal_size_and_mtime(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305.csv": BIG, "20260305_b.csv": b"b"})
    observatory.push_raw()
    archived = observatory.gws / "raw" / "met" / "20260305.csv"
    status = archived.stat()
    with archived.open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0")
    os.utime(archived, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert observatory.push_raw().files == 0
    with observatory.ledger() as ledger:
        ledger.requeue("gws", [str(archived)])
    report = observatory.push_raw()
    assert (report.files, report.unchanged) == (1, 1)
    assert archived.read_bytes() == BIG
    assert report.literal_bytes < 100_000


def test_a_ledger_that_cannot_be_read_is_made_anew_by_the_push(observatory: Observatory) -> None:
    place = observatory.home / "state" / "ledger.sqlite"
    place.parent.mkdir()
    place.write_bytes(b"rubbish" * 1000)
    write_raw(observatory, {"20260305.csv": b"x"})
    assert observatory.push_raw().files == 1
    assert len(moved_aside(place)) == 1


def test_a_full_local_disk_ends_the_push_and_counts_no_attempt_of_a_file(
    observatory: Observatory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_raw(observatory, {"20260305.csv": b"x"})
    with monkeypatch.context() as full:
        full.setattr(os, "link", refuse)
        with pytest.raises(
            TransferError,
            match=r"cannot build the upload tree: .*/push\.raw\.met: No space left .* Make room",
        ):
            observatory.push_raw()
    row = observatory.row(observatory.gws / "raw" / "met" / "20260305.csv")
    assert row is not None
    assert (row.copied_at, row.attempts) == (None, 0)
    assert observatory.push_raw().files == 1


def test_a_site_without_files_pushes_nothing_and_creates_no_directory(observatory: Observatory) -> None:
    for report in (observatory.push_raw(), observatory.push_core(), observatory.push_wxcam()):
        assert (report.seen, report.host) == (0, None)
    assert not (observatory.home / "raw").exists()
    assert not observatory.products.exists()


def test_a_push_logs_each_transfer_before_it_and_summarizes_the_result(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305.csv": BIG})
    logged: list[str] = []
    with observatory.ledger() as ledger:
        pushing = Pushing(observatory.site, observatory.archive, observatory.archive_hosts, ledger, logged.append)
        report = pushing.raw("met", [DAY])
    host = observatory.archive_hosts[0].name
    assert logged == [f"1 file, 3.0 MB, to {host}:{observatory.gws}/raw"]
    assert report.summary().startswith(
        "seen 1 = copied 1 + unchanged 0 + unsettled 0 + failed 0 + parked 0 + refused 0; 3.0 MB in "
    )
    assert report.summary().endswith(f" MB/s) by {host}")
