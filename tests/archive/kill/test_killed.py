"""Push, read, compare and publish, killed at random moments: no false claim is stored, and the end is right."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from aurora_platform.archive.locations import places_of
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.site import load_site
from aurora_platform.transport.connections import Connections
from aurora_simulator.ssh_server import SshServer
from tests.archive.dagster_site import Platform
from tests.archive.host.test_manifest_store import read_latest
from tests.archive.parts import LOG
from tests.archive.pushed import hosts_of_kind
from tests.forking import KILLS, Forking
from tests.mirror.parts import DAY, write


def push_and_verify_repeatedly(file: str) -> None:
    """The work of the process that is killed."""
    while True:
        push_and_verify(Path(file))


def push_and_verify(file: Path) -> str:
    """Do the work of `push_met` and `verify_met` without Dagster; returns the summary of the verification."""
    site = load_site(file)
    records, connections = Records(site), Connections.of(site)
    assert site.archive is not None
    with records.ledger() as ledger:
        Pushing(site, site.archive, connections.archive_hosts(site.archive, LOG), ledger).raw("met", [DAY])
    return verify_and_publish(records, "met", [DAY], places_of(site, "met", connections), full=True).report.summary()


@pytest.fixture
def platform(request: pytest.FixtureRequest, tmp_path: Path, hosts: tuple[SshHost, ...]) -> Iterator[Platform]:
    """A site with an archive of the kind that the test asks for; by default behind SSH."""
    with DagsterInstance.ephemeral() as instance:
        yield Platform(tmp_path, hosts_of_kind(getattr(request, "param", "ssh"), hosts), instance)


def false_copied_rows(home: Path) -> list[str]:
    """Files that are copied in the ledger, but not in the archive in that version."""
    database = home / "state/ledger.sqlite"
    if not database.exists():
        return []
    with sqlite3.connect(database) as db:
        rows = db.execute("SELECT remote_path, size, mtime_ns FROM file WHERE copied_at IS NOT NULL").fetchall()
    wrong = []
    for path, size, mtime in rows:
        place = Path(path)
        if not place.exists() or (place.stat().st_size, place.stat().st_mtime_ns) != (size, mtime):
            wrong.append(path)
    return wrong


def archived_or_staged(home: Path) -> set[Path]:
    """The raw files in the archive, and those in upload trees."""
    return {path for place in (home / "gws/raw/met", home / "raw/.outgoing") for path in place.rglob("*.csv")}


def add(platform: Platform, number: int) -> None:
    """Add files at the source and locally, as the mirror would."""
    files = {f"met_20260305_{number:02}_{n}.csv": bytes([number]) * 300_000 for n in range(6)}
    for root in ("instrument", "raw/met"):
        write(platform.home / root, files)


@pytest.mark.parametrize("platform", ["ssh", "local"], indirect=True)
def test_after_many_kills_the_ledger_has_no_false_copied_rows_and_a_quiet_run_converges(
    platform: Platform,
) -> None:
    home, latest = platform.home, platform.site.paths.manifests / "latest"
    add(platform, 0)
    push_and_verify(home / "site.yaml")
    chance = random.Random(11)
    with Forking("tests.archive.kill.test_killed:push_and_verify_repeatedly") as forking:
        arrived = []
        for number in range(1, KILLS + 1):
            add(platform, number)
            before = archived_or_staged(home)
            victim = forking.start(home / "site.yaml")
            assert forking.kill(victim, after=chance.uniform(0.05, 0.9)) == -signal.SIGKILL
            read_latest(latest)
            assert not false_copied_rows(home)
            arrived.append(len(archived_or_staged(home) - before))
    assert any(arrived), "no process was killed during its work"
    assert (
        f"{6 * (KILLS + 1)} of {6 * (KILLS + 1)} files proved in the archive; 0 missing or different, 0 pending"
        in push_and_verify(home / "site.yaml")
    )
    compare = ["rsync", "--archive", "--checksum", "--dry-run", "--itemize-changes"]
    trees = [f"{home}/raw/met/", f"{home}/gws/raw/met/"]
    done = subprocess.run([*compare, *trees], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line[1] == "f"] == []
    assert not [path for path in (home / "raw/.outgoing").rglob("*") if path.is_file()]


def test_a_push_and_a_verification_need_as_many_logins_for_many_files_as_for_few(
    platform: Platform, servers: list[SshServer]
) -> None:
    def logins() -> int:
        return sum(server.log().count("Accepted publickey") for server in servers)

    counts = []
    for number in (0, *range(1, 40)):
        add(platform, number)
        if number in (0, 39):
            before = logins()
            push_and_verify(platform.home / "site.yaml")
            counts.append(logins() - before)
    # The pooled session of this process; one rsync to send the files, and one to read some of them back. The second
    # time, the session is open.
    assert counts[0] <= 3
    assert counts[1] <= 2
