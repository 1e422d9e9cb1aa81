"""Hosts that are wrong, broken or compromised, behind real sshd and rsync: nothing finalized is ever lost."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from aurora_simulator.ssh_server import SshServer
from tests.archive.hostile import DAY, Station, name_of


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SshServer, SshServer]]:
    """The host of the instrument, and the host of the archive."""
    with ExitStack() as stack:
        source, archive = (
            stack.enter_context(SshServer(tmp_path_factory.mktemp(f"sshd{n}"), address=f"127.0.0.{n}"))
            for n in (31, 32)
        )
        yield source, archive


@pytest.fixture
def station(tmp_path: Path, servers: tuple[SshServer, SshServer]) -> Station:
    return Station(tmp_path, *servers)


Attack = Callable[[Path, dict[str, bytes]], None]


def write_later(place: Path, content: bytes) -> None:
    """Write over a file; its mtime is now another one."""
    earlier = place.stat().st_mtime_ns
    place.write_bytes(content)
    os.utime(place, ns=(earlier + 10**9, earlier + 10**9))


def change_one(root: Path, files: dict[str, bytes]) -> None:
    write_later(root / name_of(0), b"of somebody else")


def change_all(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        write_later(root / name, b"of somebody else")


def truncate_all(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        write_later(root / name, b"")


def truncate_with_the_same_mtime(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        status = (root / name).stat()
        os.truncate(root / name, 3)
        os.utime(root / name, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip_bytes_with_the_same_mtime(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        status = (root / name).stat()
        (root / name).write_bytes(bytes(byte ^ 1 for byte in content))
        os.utime(root / name, ns=(status.st_atime_ns, status.st_mtime_ns))


def empty(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        (root / name).unlink()


def lose_some(root: Path, files: dict[str, bytes]) -> None:
    for name in sorted(files)[:3]:
        (root / name).unlink()


def unmount(root: Path, files: dict[str, bytes]) -> None:
    root.rename(root.with_name("unmounted"))
    root.mkdir()


def disappear(root: Path, files: dict[str, bytes]) -> None:
    root.rename(root.with_name("gone"))


def flood(root: Path, files: dict[str, bytes]) -> None:
    for number in range(1000, 1300):
        place = root / name_of(number)
        place.write_bytes(b"x")
        os.utime(place, ns=(1_772_700_000 * 10**9, 1_772_700_000 * 10**9))


def swap_for_directories(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        (root / name).unlink()
        (root / name).mkdir()


def swap_for_links(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        (root / name).unlink()
        (root / name).symlink_to("/etc/hostname")


def swap_for_pipes(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        (root / name).unlink()
        os.mkfifo(root / name)


def swap_the_directory_for_a_link(root: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(root / "0")
    (root / "0").symlink_to("/etc")


def replace_by_older_versions(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        (root / name).write_bytes(b"from an old backup")
        os.utime(root / name, ns=(10**18, 10**18))


def date_in_the_future(root: Path, files: dict[str, bytes]) -> None:
    for name in files:
        (root / name).write_bytes(b"of tomorrow")
        os.utime(root / name, (4_000_000_000, 4_000_000_000))


ATTACKS: list[Attack] = [
    change_one,
    change_all,
    truncate_all,
    truncate_with_the_same_mtime,
    flip_bytes_with_the_same_mtime,
    empty,
    lose_some,
    unmount,
    disappear,
    flood,
    swap_for_directories,
    swap_for_links,
    swap_for_pipes,
    swap_the_directory_for_a_link,
    replace_by_older_versions,
    date_in_the_future,
]


@pytest.mark.parametrize("revisable", ["3650d", "2d"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hostile_source_takes_no_byte_that_was_finalized(station: Station, attack: Attack, revisable: str) -> None:
    station.revisable = revisable
    files = station.finalize()
    attack(station.source, files)
    for _ in range(3):
        station.pass_once()
        station.assert_nothing_is_lost(files)
    assert {name: (station.archived / name).read_bytes() for name in files if name != name_of(0)} == {
        name: content for name, content in files.items() if name != name_of(0)
    }, "at most the one changed file has a new version in its place"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_local_disk_that_is_damaged_after_the_source_has_pruned_never_reaches_the_archive(
    station: Station, attack: Attack
) -> None:
    files = station.finalize()
    shutil.rmtree(station.source)
    station.source.mkdir()
    (station.source / "another instrument").touch()
    attack(station.local, files)
    for _ in range(2):
        station.pass_once()
        station.assert_nothing_is_lost(files)
    assert {name: (station.archived / name).read_bytes() for name in files} == files


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_archive_that_is_damaged_gets_the_good_bytes_back_or_is_not_called_complete(
    station: Station, attack: Attack
) -> None:
    files = station.finalize()
    attack(station.archived, files)
    for _ in range(2):
        station.pass_once()
    assert {name: (station.local / name).read_bytes() for name in files} == files
    if attack is not flip_bytes_with_the_same_mtime:  # only reading again finds it: the scrub, or --full
        station.assert_nothing_is_lost(files)


@pytest.mark.parametrize("attack", [empty, unmount, lose_some, swap_for_links], ids=lambda attack: attack.__name__)
def test_a_source_that_fails_before_everything_was_copied_makes_no_day_complete(
    station: Station, attack: Attack
) -> None:
    files = station.fill(4)
    station.pass_once()
    more = {name_of(number): b"%d" % number for number in range(4, 10)}
    for number, (name, content) in enumerate(more.items()):
        station.write(station.source, name, content, number)
    report = station.verify()
    assert report.days[0].verdict.source == 10
    attack(station.source, dict(sorted((files | more).items(), reverse=True)))
    for _ in range(3):
        station.pass_once()
        assert (DAY, station.finalization()["complete"]) == (DAY, False)


@contextmanager
def remote_programs(tmp_path: Path, **scripts: str) -> Iterator[SshServer]:
    """A server whose sessions find these programs first; ``real`` in a script is the path of the real one."""
    tools = tmp_path / "tools"
    tools.mkdir(parents=True)
    for name, script in scripts.items():
        place = tools / name
        real = shutil.which(name)
        place.write_text(f"#!/bin/bash\ntouch {tmp_path}/was_used\nreal={real}\n{script}\n")
        place.chmod(place.stat().st_mode | stat.S_IXUSR)
    forced = f'ForceCommand PATH={tools}:$PATH exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with SshServer(tmp_path / "sshd", address="127.0.0.33", options=[forced]) as server:
        yield server
    assert (tmp_path / "was_used").exists(), "the host ran its own programs, and not those of the test"


# The far rsync sends a tree of its own in the place of the one that was asked for.
_UNASKED = """
arguments=("$@")
last=$(($# - 1))
cd "{evil}" || exit 1
exec "$real" "${{arguments[@]:0:last}}" "{evil}/"
"""


def test_an_rsync_that_answers_with_files_nobody_asked_for_writes_none_of_them(
    tmp_path: Path, servers: tuple[SshServer, SshServer]
) -> None:
    evil = tmp_path / "evil"
    for name in ("met_20260305_999.csv", "0/met_20260305_000.csv", ".ssh/authorized_keys", "../escaped"):
        (evil / name).parent.mkdir(parents=True, exist_ok=True)
        (evil / name).write_bytes(b"of somebody else")
    files = Station(tmp_path / "site", *servers).finalize()
    with remote_programs(tmp_path / "programs_of_the_source", rsync=_UNASKED.format(evil=evil)) as source:
        station = Station(tmp_path / "site", source, servers[1])
        write_later(station.source / name_of(0), b"a revision")
        station.write(station.source, name_of(20), b"late")
        station.pass_once()
        wrong = {
            place.name
            for place in station.local.rglob("*")
            if place.is_file() and place.read_bytes() == b"of somebody else"
        }
        assert not wrong
        assert not (station.home / "raw/escaped").exists()
        station.assert_nothing_is_lost(files)
        assert {name: (station.local / name).read_bytes() for name in files} == files


# The far rsync sends a longer file than find has listed: it grows before each transfer.
_OVERSENDING = """
find "{root}" -name '*_000.csv' -exec sh -c 'head -c 3000000 /dev/zero >> "$1"; touch -d @1772700000 "$1"' sh {{}} \\;
exec "$real" "$@"
"""


def test_a_source_that_sends_more_than_it_listed_replaces_nothing(
    tmp_path: Path, servers: tuple[SshServer, SshServer]
) -> None:
    root = tmp_path / "site/instrument"
    files = Station(tmp_path / "site", *servers).finalize()
    with remote_programs(tmp_path / "programs_of_the_source", rsync=_OVERSENDING.format(root=root)) as source:
        station = Station(tmp_path / "site", source, servers[1])
        write_later(station.source / name_of(0), b"a revision")
        for _ in range(3):
            station.pass_once()
            station.assert_nothing_is_lost(files)
        assert (station.local / name_of(0)).read_bytes() == files[name_of(0)]


def test_an_archive_whose_rsync_keeps_nothing_is_never_called_complete(
    tmp_path: Path, servers: tuple[SshServer, SshServer]
) -> None:
    script = 'case "$*" in *--sender*) exec "$real" "$@" ;; esac\n"$real" "$@"; code=$?\n'
    script += f'find "{tmp_path}/site/far/raw" -name "*.csv" -exec sh -c \': > "$1"\' sh {{}} \\;\nexit $code'
    with remote_programs(tmp_path / "programs_of_the_archive", rsync=script) as archive:
        station = Station(tmp_path / "site", servers[0], archive)
        files = station.fill()
        for _ in range(2):
            station.pass_once()
        assert not (station.home / "far/manifests/finalized").exists()
        assert {name: (station.local / name).read_bytes() for name in files} == files
