"""``aurora status`` shows the age of the newest files, at the source and local, and what it could not list."""

import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_cli.status import find_newest_local
from aurora_platform.config.site import load_site
from aurora_platform.layout import Layout
from aurora_platform.mirror import checks
from aurora_platform.transport import listing
from aurora_platform.transport.listing import ListedEntry
from aurora_simulator.ssh_server import readable_directory
from tests.aurora_cli.parts import (
    FILES,
    FIRST,
    SECOND,
    Observatory,
    closed_port,
    host_settings_at,
    run_aurora,
    run_aurora_process,
    run_on_terminal,
    silent_hosts,
    stat_trees,
    stream_statuses,
)
from tests.patience import in_site_file, patient


def newest_mtime(root: Path, pattern: str) -> str:
    """Return the newest mtime of the files that match, in ISO 8601 to the second."""
    at = max(path.stat().st_mtime for path in root.rglob(pattern))
    return datetime.fromtimestamp(int(at), UTC).isoformat()


def test_newest_files_and_missing_counts_before_and_after_a_sync(site_file: Path, observatory: Observatory) -> None:
    before = stream_statuses(run_aurora(site_file, "status", "--json"))
    assert list(before) == list(FILES)
    assert before["cl61"]["newest_there"] == newest_mtime(observatory.source / "cl61", "gamb2le_*.nc")
    assert before["cl61"]["newest_here"] is None
    assert (before["cl61"]["state"], before["cl61"]["missing"]) == ("behind", FILES["cl61"])
    assert run_aurora(site_file, "sync", "all").exit_code == 0
    after = stream_statuses(run_aurora(site_file, "status", "--json"))
    assert {stream["missing"] for stream in after.values()} == {0}
    assert all(stream["newest_here"] == stream["newest_there"] for stream in after.values())
    assert after["cl61"]["state"] == "stale", "its newest file is two days old"
    age = datetime.now(UTC) - datetime.fromisoformat(after["cl61"]["newest_there"])
    assert abs(after["cl61"]["age_there"] - age / timedelta(seconds=1)) < patient(30)
    assert after["cl61"]["age_here"] == after["cl61"]["age_there"]


def test_two_streams_in_one_directory_have_their_own_times(site_file: Path, observatory: Observatory) -> None:
    assert run_aurora(site_file, "sync", "asfs_logger", "--since", str(FIRST)).exit_code == 0
    statuses = stream_statuses(run_aurora(site_file, "status", "--json"))
    assert statuses["asfs_logger"]["newest_here"] == newest_mtime(
        observatory.source / "asfs", "aurora_asfs_data_sci_*.dat"
    )
    assert statuses["asfs_fast_sonic"]["newest_here"] is None


def test_a_status_writes_nothing(site_file: Path, observatory: Observatory) -> None:
    before = stat_trees(site_file.parent, observatory.source)
    assert run_aurora(site_file, "status").exit_code == 0
    assert stat_trees(site_file.parent, observatory.source) == before


def test_hosts_that_are_down_are_unknown_with_the_reason_and_other_hosts_are_listed(
    observatory: Observatory, tmp_path: Path
) -> None:
    assert run_aurora(observatory.write_site(tmp_path), "sync", "cl61").exit_code == 0

    def change(data: dict[str, Any]) -> None:
        data["hosts"]["ass"] = host_settings_at(observatory.ass, "127.0.0.3", silent.port)
        data["hosts"]["dead"] = host_settings_at(observatory.ass, "127.0.0.9", closed_port())
        data["streams"]["on_dead"] = data["streams"]["power"] | {"host": "dead", "raw": "on_dead"}

    with silent_hosts() as silent:
        result = run_aurora(observatory.write_site(tmp_path, change), "status", "--json")
    statuses = stream_statuses(result)
    assert result.exit_code == 0
    assert {statuses[name]["state"] for name in FILES if name != "power"} == {"unknown"}
    assert f"127.0.0.3:{silent.port}" in statuses["cl61"]["why"]
    assert statuses["cl61"]["newest_here"] == newest_mtime(tmp_path / "raw" / "cl61", "*.nc"), (
        "local files are listed even if the host is down"
    )
    assert "127.0.0.9" in statuses["on_dead"]["why"]
    assert statuses["power"]["state"] == "behind"
    assert silent.connections == 1, "six streams of a silent host wait for it once"


def run_with_width(monkeypatch: pytest.MonkeyPatch, width: int, *arguments: Any) -> str:
    """Return what the command prints on a terminal of ``width`` columns, without colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", run_aurora(*arguments).stdout)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_table_fits_its_terminal_and_a_hosts_error_is_printed_once(
    observatory: Observatory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    port = closed_port()

    def change(data: dict[str, Any]) -> None:
        data["hosts"]["aps"] = host_settings_at(observatory.ass, "127.0.0.9", port)
        data["streams"]["other"] = data["streams"]["power"] | {"raw": "other"}
        data["streams"]["asfs_fast_sonic"]["include"] = ["*.nothing"]
        data["streams"]["asfs_logger"]["enabled"] = False

    output = run_with_width(monkeypatch, width, observatory.write_site(tmp_path, change), "status")
    assert output.count(f"127.0.0.9:{port}: Unable to connect") == 1
    row = next(line.split() for line in output.splitlines() if line.startswith((" cl61 ", "cl61 ")))
    assert "behind" in row
    table, _, below = output.partition("\nhost aps (power, other): ")
    assert len(table.rstrip().splitlines()) == 4 + len(FILES) + 1, "one line per stream"
    assert {len(line) <= width for line in table.splitlines()} == {True}
    assert "none matches include" in (table if width == 160 else below)
    assert re.search(r"asfs_logger +planned offline ", table)


def test_a_terminal_shows_which_hosts_are_waited_for(observatory: Observatory, tmp_path: Path) -> None:
    with silent_hosts() as silent:
        host = host_settings_at(observatory.ass, "127.0.0.3", silent.port)
        file = observatory.write_site(tmp_path, lambda data: data["hosts"].update(ass=host))
        commands = (["status"], ["audit"], ["sync", "all"], ["sync", "all", "--dry-run"])
        with ThreadPoolExecutor() as pool:  # each waits for its bound, so they run at the same time
            for done in pool.map(lambda command: run_on_terminal(file, *command), commands):
                assert "waiting for " in done.terminal
                assert "host ass" in done.terminal
        assert "waiting" not in run_aurora_process(file, "status").stderr


def test_problems_of_a_source_are_shown_as_its_remark(observatory: Observatory, tmp_path: Path) -> None:
    start = datetime.now(UTC).date() + timedelta(days=9)
    with readable_directory() as source:

        def change(data: dict[str, Any]) -> None:
            data["streams"]["cl61"]["include"] = ["*.nb"]
            data["streams"]["radar"]["start"] = start
            data["streams"]["power"]["path"] = str(source)

        at = datetime.now(UTC) + timedelta(hours=2, seconds=59)
        path = source / f"power_data_{datetime.now(UTC):%Y%m%d}.csv"
        path.write_bytes(b"x")
        os.utime(path, (at.timestamp(), at.timestamp()))
        file = observatory.write_site(tmp_path, change)
        assert run_aurora(file, "sync", "power").exit_code == 0
        statuses = stream_statuses(run_aurora(file, "status", "--json"))
        assert f"{2 * FILES['cl61']} files listed, none matches include in the site file" in statuses["cl61"]["why"]
        assert (statuses["radar"]["state"], statuses["radar"]["why"]) == (
            "not begun",
            f"begins on {start} (start in the site file)",
        )
        assert statuses["power"]["state"] == "ahead"
        assert statuses["power"]["why"].startswith("the newest file at the source is 2h 0m ahead of the host's clock")
        assert -7261 < statuses["power"]["age_there"] < -7200
        output = run_aurora(file, "status").stdout
        assert "-2h 0m" in output
        assert "begins on" in output


def test_a_disabled_stream_is_planned_offline_and_its_host_is_not_contacted(
    observatory: Observatory, tmp_path: Path
) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["aps"] = host_settings_at(observatory.ass, "127.0.0.9", closed_port())
        data["streams"]["power"]["enabled"] = False

    file = observatory.write_site(tmp_path, change)
    assert stream_statuses(run_aurora(file, "status", "--json"))["power"]["state"] == "planned offline"
    assert "planned offline" in run_aurora(file, "status").stdout


def test_a_local_directory_that_cannot_be_read_affects_its_own_stream_only(
    site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).rstrip("/'").endswith("raw/cl61"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    (site_file.parent / "raw" / "cl61").mkdir(parents=True)

    monkeypatch.setattr(os, "scandir", scandir)
    statuses = stream_statuses(run_aurora(site_file, "status", "--json"))
    assert statuses["cl61"]["state"] == "unknown"
    assert statuses["cl61"]["why"].startswith(
        f"{site_file.parent / 'raw' / 'cl61'} is not readable: Permission denied."
    )
    assert statuses["power"]["state"] == "behind"


@pytest.fixture(scope="module")
def synced(observatory: Observatory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site file of a site with every file synced, for tests that only read."""
    home = tmp_path_factory.mktemp("synced")
    file = observatory.write_site(home, lambda data: data["limits"].update(look=in_site_file(2)))
    assert run_aurora(file, "sync", "all").exit_code == 0
    return file


def test_a_slow_local_directory_is_listed_for_its_bound_and_marked_as_incomplete(
    synced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is so slow that listing a day would take a minute."""
    file = synced
    complete = stream_statuses(run_aurora(file, "status", "--json"))
    assert {stream["is_here_whole"] for stream in complete.values()} == {True}
    real, listed = listing._list_directory, list[bytes]()

    def slow(*arguments: Any) -> Iterator[ListedEntry]:
        for entry in real(*arguments):
            if entry.path.startswith(b"gamb2le_depolarisation"):
                listed.append(entry.path)
                time.sleep(patient(0.2))
            yield entry

    monkeypatch.setattr(listing, "_list_directory", slow)
    partial = stream_statuses(run_aurora(file, "status", "--json"))
    assert 0 < len(listed) <= 2 / 0.2 + 1, "of 288"
    assert partial["cl61"]["why"].endswith(
        f"{file.parent / 'raw' / 'cl61'} was not listed completely within {patient(2):g} s: "
        "there may be newer local files"
    )
    assert not partial["cl61"]["is_here_whole"]
    assert partial["cl61"]["newest_here"] is not None, "the files listed so far count"
    assert partial["cl61"]["newest_there"] == complete["cl61"]["newest_there"]
    for name in FILES.keys() - {"cl61"}:
        assert (partial[name]["newest_here"], partial[name]["why"]) == (
            complete[name]["newest_here"],
            complete[name]["why"],
        )
    assert "there may be newer local files" in " ".join(run_aurora(file, "status").stdout.split())


def test_a_local_disk_that_does_not_answer_delays_no_other_stream(
    synced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network file system whose server is down."""
    file = synced
    complete, real, is_over = stream_statuses(run_aurora(file, "status", "--json")), os.scandir, threading.Event()

    def hanging(path: Any) -> Any:
        if str(path).rstrip("/'").endswith("raw/power/level1"):
            is_over.wait(patient(120))
        return real(path)

    monkeypatch.setattr(os, "scandir", hanging)
    try:
        began = time.monotonic()
        statuses = stream_statuses(run_aurora(file, "status", "--json"))
        assert time.monotonic() - began < patient(60)
    finally:
        is_over.set()
    root = file.parent / "raw" / "power" / "level1"
    assert (
        f"{root} did not answer within {patient(2):g} s: is it on a network file system that is down?"
        in statuses["power"]["why"]
    )
    assert statuses["power"]["newest_here"] is None
    assert statuses["power"]["newest_there"] == complete["power"]["newest_there"]
    assert statuses["cl61"] | {"age_there": 0, "age_here": 0} == complete["cl61"] | {"age_there": 0, "age_here": 0}


def test_in_a_tree_by_day_the_newest_day_is_listed_first(site_file: Path) -> None:
    assert run_aurora(site_file, "sync", "radar", "--since", str(FIRST)).exit_code == 0
    site = load_site(site_file)
    stream, root, now = site.streams["radar"], Layout.of(site).raw_root("radar"), datetime.now(UTC)
    paths = [file.path for file in checks.local_files(stream, root, [FIRST, SECOND])]
    assert len(paths) == 2 * FILES["radar"]
    assert {f"{SECOND:Y%Y/M%m/D%d}" in path for path in paths[: FILES["radar"]]} == {True}
    newest = find_newest_local(site, "radar", now, timedelta(microseconds=1))
    assert not newest.is_complete
