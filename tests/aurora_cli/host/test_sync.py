"""``aurora sync`` copies what the asset copies, with the same records; a stream that fails affects no other."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from aurora_cli.progress_bars import ProgressBars
from aurora_platform.config.hosts import SshHost
from aurora_platform.mirror.sync import TransferResult
from aurora_platform.transport import ssh_session
from aurora_platform.transport.bounds import Bounds
from aurora_simulator.ssh_server import SshServer
from tests.aurora_cli.parts import (
    FILES,
    FIRST,
    ROOT,
    SECOND,
    TODAY,
    WITHOUT_RIGHTS,
    Observatory,
    closed_port,
    host_settings_at,
    run_aurora,
    run_aurora_process,
    run_on_terminal,
    stat_trees,
)
from tests.mirror.parts import differences, left_over
from tests.patience import patient, until


def copied_counts(result_text: str) -> dict[str, int]:
    """Return how many files of every stream were copied, by the totals in the output."""
    return {
        name: int(count) for name, count in re.findall(r"^(\w+): seen \d+ = copied (\d+)", result_text, re.MULTILINE)
    }


def logins(server: SshServer) -> int:
    return len(re.findall(r"^Accepted \w+ for ", server.log(), re.MULTILINE))


def test_all_streams_are_copied_as_they_are_on_their_hosts(site_file: Path, observatory: Observatory) -> None:
    result = run_aurora(site_file, "sync", "all", "--since", str(FIRST))
    assert result.exit_code == 0, result.output
    assert copied_counts(result.stdout) == {name: 2 * count for name, count in FILES.items()}
    raw = site_file.parent / "raw"
    # Local directories have the names that the simulator gave them, except the one of the flux station.
    for source, local in {
        "cl61": "cl61",
        "rpgfmcw94": "rpgfmcw94",
        "asfs/raw/crd": "asfs/crd",
        "power": "power",
    }.items():
        assert differences(observatory.source / source, raw / local) == []
    assert left_over(raw) == []


def test_without_days_the_live_window_is_copied(site_file: Path) -> None:
    # The lookback of hatpro is two days, and the simulator wrote one of them.
    result = run_aurora(site_file, "sync", "hatpro")
    assert copied_counts(result.stdout) == {"hatpro": FILES["hatpro"]}
    assert "materialize" not in result.stdout, "it has no products"
    assert copied_counts(run_aurora(site_file, "sync", "hatpro").stdout) == {"hatpro": 0}


def test_a_dry_run_writes_nothing_and_shows_what_a_sync_then_copies(site_file: Path, observatory: Observatory) -> None:
    before = stat_trees(site_file.parent, observatory.source)
    dry = run_aurora(site_file, "sync", "cl61", "--since", str(FIRST), "--dry-run")
    assert stat_trees(site_file.parent, observatory.source) == before
    assert dry.exit_code == 0, dry.output
    size = sum(path.stat().st_size for path in (observatory.source / "cl61").glob("gamb2le_*.nc"))
    assert f"cl61: would fetch {2 * FILES['cl61']} files, {size} bytes (dry run)" in dry.stdout
    assert re.search(rf"^ ?{FIRST} +288 .*gamb2le_depolarisation", dry.stdout, re.MULTILINE), dry.stdout
    assert f"; {size / 1e6:.1f} MB in" in run_aurora(site_file, "sync", "cl61", "--since", str(FIRST)).stdout
    assert "would fetch 0 files, 0 bytes" in run_aurora(site_file, "sync", "cl61", "--dry-run").stdout


def test_days_with_nothing_to_fetch_are_not_shown_and_totals_are_printed(site_file: Path) -> None:
    dry = run_aurora(site_file, "sync", "all", "--since", str(FIRST), "--dry-run").stdout
    assert len(re.findall(r"^ ?4 days listed +\d+", dry, re.MULTILINE)) == len(FILES)
    assert not re.search(rf"^ ?{TODAY} ", dry, re.MULTILINE)
    *per_stream, total = re.findall(r"would fetch (\d+) files, (\d+) bytes \(dry run\)", dry)
    assert total == tuple(str(sum(int(amounts[column]) for amounts in per_stream)) for column in (0, 1))
    assert int(total[0]) == 2 * sum(FILES.values())
    assert run_aurora(site_file, "sync", "radar", "--since", str(FIRST)).exit_code == 0
    again = run_aurora(site_file, "sync", "radar", "--since", str(FIRST), "--dry-run").stdout
    assert again == (
        f"radar: would fetch 0 files, 0 bytes (dry run); 4 days listed: {2 * FILES['radar']} present, "
        "0 unsettled, 0 refused\n"
    )


def test_days_before_a_stream_begins_are_skipped_with_a_message(observatory: Observatory, tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["streams"]["power"]["start"] = SECOND
        data["streams"]["radar"]["start"] = TODAY + timedelta(days=9)

    file = observatory.write_site(tmp_path, change)
    day = run_aurora(file, "sync", "all", "--day", str(FIRST))
    assert copied_counts(day.stdout).keys() == FILES.keys() - {"power", "radar"}
    later = f"radar ({TODAY + timedelta(days=9)})"
    assert f"skipped, because they begin later (start in the site file): {later}, power ({SECOND})" in day.stderr
    since = run_aurora(file, "sync", "all", "--since", str(FIRST), "--dry-run")
    assert f"skipped, because they begin later (start in the site file): {later}\n" in since.stderr
    assert f"from their first day, which is after {FIRST} (start in the site file): power ({SECOND})\n" in since.stderr
    assert "begin" not in run_aurora(file, "sync", "cl61", "--since", str(FIRST)).output


def test_files_that_match_no_include_are_reported(observatory: Observatory, tmp_path: Path) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["streams"]["cl61"].update(include=["*.nb"]))
    for arguments in ([], ["--dry-run"]):
        output = run_aurora(file, "sync", "cl61", *arguments).stdout
        assert f"  {2 * FILES['cl61']} files listed, none matches include in the site file" in output


def test_a_target_that_cannot_be_written_fails_with_the_next_step(observatory: Observatory, tmp_path: Path) -> None:
    file = observatory.write_site(tmp_path)
    (tmp_path / "raw").mkdir(mode=0o555)
    done = run_aurora_process(file, "sync", "power", under=WITHOUT_RIGHTS)
    assert done.returncode == 1
    assert f"power: FAILED: {tmp_path / 'raw'}" in done.stderr
    assert "Permission denied. The user that runs this is not allowed to do that: `ls -ld " in done.stderr


def test_refused_and_unsettled_files_are_reported(observatory: Observatory, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    file = observatory.write_site(tmp_path, lambda data: data["streams"]["cl61"].update(path=str(source)))
    day = f"{TODAY:%Y%m%d}"
    (source / f"gamb2le_depolarisation_lidar_ceilometer_aurora_{day}_000000.nc").symlink_to("/etc/passwd")
    (source / f"gamb2le_depolarisation_lidar_ceilometer_aurora_{day}_000500.nc").write_bytes(b"now")
    for arguments in (["--dry-run"], []):
        result = run_aurora(file, "sync", "cl61", *arguments)
        assert result.exit_code == 0
        assert re.search(rf"{TODAY}: refused 1: symlink: gamb2le_.*_000000\.nc", result.stdout)
    assert "seen 2 = copied 0 + unchanged 0 + unsettled 1 + refused 1" in result.stdout


def test_a_host_that_is_down_costs_its_bound_once_and_fails_its_own_streams_only(
    observatory: Observatory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["ass"] = host_settings_at(observatory.ass, "127.0.0.9", closed_port())

    attempts: Counter[str] = Counter()
    connect = ssh_session.connect

    def connect_and_count(host: SshHost, bounds: Bounds) -> Any:
        attempts[host.address] += 1
        return connect(host, bounds)

    monkeypatch.setattr(ssh_session, "connect", connect_and_count)
    result = run_aurora(observatory.write_site(tmp_path, change), "sync", "all", "--since", str(FIRST))
    assert attempts == {"127.0.0.9": 1, observatory.aps.address: 1}
    assert result.exit_code == 1
    assert copied_counts(result.stdout) == {"power": 2}
    assert len(re.findall(r"^\w+: FAILED: 127\.0\.0\.9:\d+: .*Try: ssh -p", result.stderr, re.MULTILINE)) == 6
    assert "6 of 7 streams failed: cl61, radar" in result.stderr
    assert "Traceback" not in result.output


def test_a_stream_that_fails_does_not_fail_other_streams_of_its_host(observatory: Observatory, tmp_path: Path) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["streams"]["cl61"].update(path="/nowhere"))
    result = run_aurora(file, "sync", "all", "--since", str(SECOND))
    assert result.exit_code == 1
    assert copied_counts(result.stdout) == {name: count for name, count in FILES.items() if name != "cl61"}
    assert (
        "cl61: FAILED: 127.0.0.2: /nowhere does not exist there. Is the path in the site file right?" in result.stderr
    )


def test_a_local_source_that_cannot_be_read_is_a_failure_and_not_an_empty_source(
    observatory: Observatory, tmp_path: Path
) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["aps"] = {"kind": "local"}
        data["streams"]["power"]["path"] = str(tmp_path / "closed")

    file = observatory.write_site(tmp_path, change)
    (tmp_path / "closed").mkdir()
    assert run_aurora_process(file, "sync", "power", under=WITHOUT_RIGHTS).returncode == 0
    (tmp_path / "closed").chmod(0o000)
    done = run_aurora_process(file, "sync", "power", under=WITHOUT_RIGHTS)
    assert done.returncode == 1
    assert f"power: FAILED: {tmp_path / 'closed'} is not readable: Permission denied. Let the user" in done.stderr


def test_a_sync_of_all_with_nothing_new_takes_one_login_per_host(site_file: Path, observatory: Observatory) -> None:
    assert run_aurora(site_file, "sync", "all").exit_code == 0
    before = [logins(server) for server in (observatory.ass, observatory.aps)]
    done = run_aurora_process(site_file, "sync", "all")
    assert done.returncode == 0, done.stderr
    assert set(copied_counts(done.stdout).values()) == {0}
    assert [logins(server) for server in (observatory.ass, observatory.aps)] == [count + 1 for count in before]


def test_a_stream_that_is_planned_offline_is_not_part_of_all(observatory: Observatory, tmp_path: Path) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["streams"]["cl61"].update(enabled=False))
    assert "cl61" not in run_aurora(file, "sync", "all", "--dry-run").output
    assert "planned offline" in run_aurora(file, "sync", "cl61", "--dry-run").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "'nothing' is not a stream of gamb2le; choose one of cl61, radar, "),
        (["cl61", "--day", "9999-01-01"], "9999-01-01 is in the future"),
        (["cl61", "--day", "2020-01-01"], f"cl61 begins on {FIRST}"),
        (["all", "--day", "2020-01-01"], "no stream has begun by 2020-01-01"),
        (["cl61", "--day", str(FIRST), "--since", str(FIRST)], "not both"),
        (["cl61", "--day", "yesterday"], "'yesterday' is not a day; write YYYY-MM-DD"),
        (["cl61", "--since", "18.8.2026"], "'18.8.2026' is not a day; write YYYY-MM-DD"),
        ([], "missing STREAM: choose one of cl61, radar, hatpro, "),
    ],
)
def test_wrong_arguments_are_refused_before_any_host_is_contacted(
    site_file: Path, arguments: list[str], message: str
) -> None:
    result = run_aurora(site_file, "sync", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_wrong_site_file_ends_with_one_line(tmp_path: Path) -> None:
    result = run_aurora(tmp_path / "none.yaml", "sync", "cl61")
    assert result.exit_code == 1
    assert "No such file or directory. Set AURORA_SITE" in result.stderr


def test_on_a_terminal_a_bar_shows_the_bytes_to_copy(site_file: Path, observatory: Observatory) -> None:
    done = run_on_terminal(site_file, "sync", "hatpro")
    assert done.exit_code == 0
    assert "copied 120" in done.stdout
    size = sum(path.stat().st_size for path in (observatory.source / f"hatprog5/{SECOND:Y%Y/M%m/D%d}").iterdir())
    total = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    assert f"/{total}" in done.terminal, done.terminal[-500:]


def test_a_bar_counts_whole_and_partial_files(tmp_path: Path) -> None:
    bar_values: list[float] = []

    class SlowTransfer:
        def fetch(self, root: str, paths: Any, target: Path, work: Path, lock: Path, largest: int) -> TransferResult:
            for name, size in (("arrived/a", 70), ("new/.b", 30)):
                (work / name).parent.mkdir(exist_ok=True)
                (work / name).write_bytes(b"x" * size)
            task = bar.progress.tasks[0]
            until(lambda: task.completed == bar.finished_bytes + 100)
            bar_values.append(task.completed)
            (work / "new" / ".b").rename(work / "arrived" / "b")
            return TransferResult(0, 0)

    with ProgressBars(Progress(console=Console(file=io.StringIO()))).show_bar("cl61") as bar:
        watched = bar.watch(SlowTransfer())
        for _ in range(2):
            watched.fetch("/", [], tmp_path / "arrived", tmp_path, tmp_path / "lock", 1 << 20)
            shutil.rmtree(tmp_path / "arrived")  # as the mirror does when it publishes the files
    assert bar_values == [100, 200]


def test_ctrl_c_ends_the_transfer_too(site_file: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    rsync = tmp_path / "bin" / "rsync"
    rsync.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 3600\n")
    rsync.chmod(0o755)
    env = {**os.environ, "AURORA_SITE": str(site_file), "PATH": f"{rsync.parent}:{os.environ['PATH']}"}
    # Tests that a script starts in the background, and their child processes, would ignore the signal.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "aurora_cli.main", "sync", "hatpro"]
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=patient(60))
    assert process.returncode == 1
    assert stderr.strip() == "Aborted!"
    until(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())
