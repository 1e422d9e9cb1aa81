"""``aurora status`` says how new the newest data is, there and here, and what it could not see."""

import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_cli.status import newest_here
from aurora_platform.config.site import load_site
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import Layout
from aurora_platform.mirror import checks
from aurora_simulator.ssh_server import readable_directory
from tests.aurora_cli.parts import (
    FILES,
    FIRST,
    SECOND,
    Observatory,
    aurora,
    aurora_process,
    dead_port,
    deaf,
    elsewhere,
    everything,
    on_a_terminal,
    streams,
)
from tests.patience import in_site_file, patient


def newest(root: Path, pattern: str) -> str:
    """The mtime of the newest file by its name, as ISO 8601 to the second."""
    at = max(path.stat().st_mtime for path in root.rglob(pattern))
    return datetime.fromtimestamp(int(at), UTC).isoformat()


def test_newest_times_and_what_is_missing_before_and_after_a_sync(site_file: Path, observatory: Observatory) -> None:
    before = streams(aurora(site_file, "status", "--json"))
    assert list(before) == list(FILES)
    assert before["cl61"]["newest_there"] == newest(observatory.far / "cl61", "gamb2le_*.nc")
    assert before["cl61"]["newest_here"] is None
    assert (before["cl61"]["state"], before["cl61"]["missing"]) == ("behind", FILES["cl61"])
    assert aurora(site_file, "sync", "all").exit_code == 0
    after = streams(aurora(site_file, "status", "--json"))
    assert {one["missing"] for one in after.values()} == {0}
    assert all(one["newest_here"] == one["newest_there"] for one in after.values())
    assert after["cl61"]["state"] == "stale", "its newest file is two days old"
    age = datetime.now(UTC) - datetime.fromisoformat(after["cl61"]["newest_there"])
    assert abs(after["cl61"]["age_there"] - age / timedelta(seconds=1)) < patient(30)
    assert after["cl61"]["age_here"] == after["cl61"]["age_there"]


def test_two_streams_in_one_directory_have_times_of_their_own(site_file: Path, observatory: Observatory) -> None:
    assert aurora(site_file, "sync", "asfs_logger", "--since", str(FIRST)).exit_code == 0
    found = streams(aurora(site_file, "status", "--json"))
    assert found["asfs_logger"]["newest_here"] == newest(observatory.far / "asfs", "aurora_asfs_data_sci_*.dat")
    assert found["asfs_fast_sonic"]["newest_here"] is None


def test_a_status_writes_nothing(site_file: Path, observatory: Observatory) -> None:
    before = everything(site_file.parent, observatory.far)
    assert aurora(site_file, "status").exit_code == 0
    assert everything(site_file.parent, observatory.far) == before


def test_hosts_that_are_down_are_unknown_with_the_reason_and_the_others_go_on(
    observatory: Observatory, tmp_path: Path
) -> None:
    assert aurora(observatory.write_site(tmp_path), "sync", "cl61").exit_code == 0

    def change(data: dict[str, Any]) -> None:
        data["hosts"]["ass"] = elsewhere(observatory.ass, "127.0.0.3", silent.port)
        data["hosts"]["dead"] = elsewhere(observatory.ass, "127.0.0.9", dead_port())
        data["streams"]["on_dead"] = data["streams"]["power"] | {"host": "dead", "raw": "on_dead"}

    with deaf() as silent:
        result = aurora(observatory.write_site(tmp_path, change), "status", "--json")
    found = streams(result)
    assert result.exit_code == 0
    assert {found[name]["state"] for name in FILES if name != "power"} == {"unknown"}
    assert f"127.0.0.3:{silent.port}" in found["cl61"]["why"]
    assert found["cl61"]["newest_here"] == newest(tmp_path / "raw" / "cl61", "*.nc"), (
        "what is here is known all the same"
    )
    assert "127.0.0.9" in found["on_dead"]["why"]
    assert found["power"]["state"] == "behind"
    assert silent.connections == 1, "six streams of a deaf host wait for it once"


def screen(monkeypatch: pytest.MonkeyPatch, width: int, *arguments: Any) -> str:
    """What the command shows on a terminal of so many columns, without its colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", aurora(*arguments).stdout)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_table_fits_its_terminal_and_a_hosts_error_is_said_once(
    observatory: Observatory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    port = dead_port()

    def change(data: dict[str, Any]) -> None:
        data["hosts"]["aps"] = elsewhere(observatory.ass, "127.0.0.9", port)
        data["streams"]["other"] = data["streams"]["power"] | {"raw": "other"}
        data["streams"]["asfs_fast_sonic"]["include"] = ["*.nothing"]
        data["streams"]["asfs_logger"]["enabled"] = False

    shown = screen(monkeypatch, width, observatory.write_site(tmp_path, change), "status")
    assert shown.count(f"127.0.0.9:{port}: Unable to connect") == 1
    row = next(line.split() for line in shown.splitlines() if line.startswith((" cl61 ", "cl61 ")))
    assert "behind" in row
    table, _, below = shown.partition("\nhost aps (power, other): ")
    assert len(table.rstrip().splitlines()) == 4 + len(FILES) + 1, "one line a stream"
    assert {len(line) <= width for line in table.splitlines()} == {True}
    assert "none matches include" in (table if width == 160 else below)
    assert re.search(r"asfs_logger +planned offline ", table)


def test_what_is_waited_for_is_said_on_a_terminal(observatory: Observatory, tmp_path: Path) -> None:
    with deaf() as silent:
        host = elsewhere(observatory.ass, "127.0.0.3", silent.port)
        file = observatory.write_site(tmp_path, lambda data: data["hosts"].update(ass=host))
        commands = (["status"], ["audit"], ["sync", "all"], ["sync", "all", "--dry-run"])
        with ThreadPoolExecutor() as pool:  # each waits for its bound, so all at once
            for done in pool.map(lambda command: on_a_terminal(file, *command), commands):
                assert "waiting for " in done.drawn
                assert "host ass" in done.drawn
        assert "waiting" not in aurora_process(file, "status").stderr


def test_what_is_odd_about_a_source_is_its_remark(observatory: Observatory, tmp_path: Path) -> None:
    begin = datetime.now(UTC).date() + timedelta(days=9)
    with readable_directory() as far:

        def change(data: dict[str, Any]) -> None:
            data["streams"]["cl61"]["include"] = ["*.nb"]
            data["streams"]["radar"]["start"] = begin
            data["streams"]["power"]["path"] = str(far)

        at = datetime.now(UTC) + timedelta(hours=2, seconds=59)
        path = far / f"power_data_{datetime.now(UTC):%Y%m%d}.csv"
        path.write_bytes(b"x")
        os.utime(path, (at.timestamp(), at.timestamp()))
        file = observatory.write_site(tmp_path, change)
        assert aurora(file, "sync", "power").exit_code == 0
        found = streams(aurora(file, "status", "--json"))
        assert f"{2 * FILES['cl61']} files there, none matches include in the site file" in found["cl61"]["why"]
        assert (found["radar"]["state"], found["radar"]["why"]) == (
            "not begun",
            f"begins on {begin} (start in the site file)",
        )
        assert found["power"]["state"] == "ahead"
        assert found["power"]["why"].startswith("the newest file there is 2h 0m ahead of the host's clock")
        assert -7261 < found["power"]["age_there"] < -7200
        said = aurora(file, "status").stdout
        assert "-2h 0m" in said
        assert "begins on" in said


def test_a_stream_that_is_off_is_planned_offline_and_not_asked_for(observatory: Observatory, tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["aps"] = elsewhere(observatory.ass, "127.0.0.9", dead_port())
        data["streams"]["power"]["enabled"] = False

    file = observatory.write_site(tmp_path, change)
    assert streams(aurora(file, "status", "--json"))["power"]["state"] == "planned offline"
    assert "planned offline" in aurora(file, "status").stdout


def test_a_directory_here_that_cannot_be_read_is_that_streams_alone(
    site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("raw/cl61"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = streams(aurora(site_file, "status", "--json"))
    assert found["cl61"]["state"] == "unknown"
    assert found["cl61"]["why"] == f"{site_file.parent / 'raw' / 'cl61'}: Permission denied"
    assert found["power"]["state"] == "behind"


@pytest.fixture(scope="module")
def synced(observatory: Observatory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site file of a site that has all, for tests of a look, which writes nothing."""
    home = tmp_path_factory.mktemp("synced")
    file = observatory.write_site(home, lambda data: data["limits"].update(look=in_site_file(2)))
    assert aurora(file, "sync", "all").exit_code == 0
    return file


def test_a_directory_here_that_takes_long_is_looked_at_for_its_bound_and_the_cut_is_told(
    synced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk so slow that the names of a day would take a minute."""
    file = synced
    whole = streams(aurora(file, "status", "--json"))
    assert {one["is_here_whole"] for one in whole.values()} == {True}
    real, looked_at = checks._local_file, list[str]()

    def slow(item: os.DirEntry[str], path: str) -> ScannedEntry[str] | None:
        if path.startswith("gamb2le_depolarisation"):
            looked_at.append(path)
            time.sleep(patient(0.2))
        return real(item, path)

    monkeypatch.setattr(checks, "_local_file", slow)
    cut = streams(aurora(file, "status", "--json"))
    assert 0 < len(looked_at) <= 2 / 0.2 + 1, "of 288"
    assert cut["cl61"]["why"].endswith(
        f"not all of {file.parent / 'raw' / 'cl61'} was looked at within {patient(2):g} s: newer files may be here"
    )
    assert not cut["cl61"]["is_here_whole"]
    assert cut["cl61"]["newest_here"] is not None, "what was seen is told"
    assert cut["cl61"]["newest_there"] == whole["cl61"]["newest_there"]
    for name in FILES.keys() - {"cl61"}:
        assert (cut[name]["newest_here"], cut[name]["why"]) == (whole[name]["newest_here"], whole[name]["why"])
    assert "newer files may be here" in " ".join(aurora(file, "status").stdout.split())


def test_a_disk_here_that_does_not_answer_holds_up_nothing(synced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a network file system does whose server is gone."""
    file = synced
    whole, real, is_over = streams(aurora(file, "status", "--json")), os.scandir, threading.Event()

    def hanging(path: Any) -> Any:
        if str(path).endswith("raw/power/level1"):
            is_over.wait(patient(120))
        return real(path)

    monkeypatch.setattr(os, "scandir", hanging)
    try:
        began = time.monotonic()
        found = streams(aurora(file, "status", "--json"))
        assert time.monotonic() - began < patient(60)
    finally:
        is_over.set()
    root = file.parent / "raw" / "power" / "level1"
    assert (
        f"{root} gave no answer within {patient(2):g} s: is it a network file system that is gone?"
        in found["power"]["why"]
    )
    assert found["power"]["newest_here"] is None
    assert found["power"]["newest_there"] == whole["power"]["newest_there"]
    assert found["cl61"] | {"age_there": 0, "age_here": 0} == whole["cl61"] | {"age_there": 0, "age_here": 0}


def test_in_a_tree_by_day_the_newest_day_is_looked_at_first(site_file: Path) -> None:
    assert aurora(site_file, "sync", "radar", "--since", str(FIRST)).exit_code == 0
    site = load_site(site_file)
    stream, root, now = site.streams["radar"], Layout.of(site).raw_root("radar"), datetime.now(UTC)
    days = [file.path for file in checks.local_files(stream, root, [FIRST, SECOND])]
    assert len(days) == 2 * FILES["radar"]
    assert {f"{SECOND:Y%Y/M%m/D%d}" in path for path in days[: FILES["radar"]]} == {True}
    cut = newest_here(site, "radar", now, timedelta(microseconds=1))
    assert not cut.is_whole
