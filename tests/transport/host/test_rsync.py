"""The options of rsync and the result of its runs; complete transfers are tested in tests/mirror."""

import logging
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import TransferError
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.rsync import LocalEndpoint, Rsync, RsyncResult
from aurora_platform.transport.ssh_host import SshAccess
from tests.mirror.parts import LOCAL_HOST

LOG = logging.getLogger("tests.transport")
REMOTE = SshHost(address="2001:db8::1", user="aurora", auth="none")


@pytest.fixture
def rsync(tmp_path: Path) -> Rsync:
    return Rsync(LocalEndpoint(), Bounds(tmp_path / "known_hosts"))


def test_rsync_supports_every_option(rsync: Rsync, tmp_path: Path) -> None:
    for name in ("new", "partial", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "files").write_bytes(b"")
    command = rsync.arguments(str(tmp_path), tmp_path / "target", tmp_path)
    done = subprocess.run([command[0], "--dry-run", *command[1:]], capture_output=True, text=True, check=False)
    assert (done.returncode, messages(done.stderr)) == (0, [])


def messages(stderr: str) -> list[str]:
    """Lines of stderr besides the statistics, which a local rsync writes there as well."""
    statistics = ("Number of ", "Total ", "Literal data: ", "Matched data: ", "File list ", "sent ", "total size is ")
    return [line for line in stderr.splitlines() if line and not line.startswith(statistics)]


def test_nothing_is_ever_deleted_and_no_link_or_device_is_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    remote = SshAccess(REMOTE, Bounds(tmp_path_factory.mktemp("state") / "known_hosts")).rsync()
    options = remote.arguments("/data", Path("/srv/target"), Path("/srv/work"))
    assert not any("delete" in option or "remove" in option for option in options)
    assert {"--no-links", "--no-devices", "--no-specials"} <= set(options)
    assert options[-3:] == ["--", "[2001:db8::1]:/data/", "/srv/target/"]


def test_files_arrive_complete_with_their_mtimes_to_the_nanosecond(rsync: Rsync, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a").mkdir(parents=True)
    target.mkdir()
    (source / "a" / "b").write_bytes(b"content")
    os.utime(source / "a" / "b", ns=(1, 1_780_000_000_123_456_789))
    done = (
        Connections(rsync.bounds)
        .transfer(LOCAL_HOST, LOG)
        .fetch(str(source), ["a/b"], target, tmp_path / "work", tmp_path / "lock", 1 << 20)
    )
    assert (done.literal_bytes, done.matched_bytes, done.messages) == (7, 0, ())
    assert (target / "a" / "b").read_bytes() == b"content"
    assert (target / "a" / "b").stat().st_mtime_ns == 1_780_000_000_123_456_789


def test_a_target_that_cannot_be_written_is_an_error_that_names_it(rsync: Rsync, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"content")
    (tmp_path / "target").write_text("a file in place of the directory")
    with pytest.raises(TransferError, match=r"rsync ended with \d+ \(.*\): .*target") as caught:
        Connections(rsync.bounds).transfer(LOCAL_HOST, LOG).fetch(
            str(source), ["a"], tmp_path / "target", tmp_path / "work", tmp_path / "lock", 1 << 20
        )
    assert "\n" not in str(caught.value)


def test_bounds_of_the_site_reach_rsync(rsync: Rsync, tmp_path: Path) -> None:
    remote = SshAccess(REMOTE, rsync.bounds.but(stall_seconds=7.0)).rsync()
    options = remote.arguments("/data", tmp_path, tmp_path)
    assert options[options.index("--timeout") + 1] == str(round(timedelta(seconds=7).total_seconds()))
    assert "ConnectTimeout=15" in options[options.index("--rsh") + 1]
    assert not any(option.startswith("--bwlimit") for option in options)


def test_rsync_supports_every_option_of_a_push(rsync: Rsync, tmp_path: Path) -> None:
    for name in ("new", "partial", "upload_tree", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "files").write_bytes(b"")
    upload_tree = tmp_path / "upload_tree"
    command = rsync.push_arguments(upload_tree, tmp_path / "files", str(tmp_path / "target"), str(tmp_path))
    done = subprocess.run([command[0], "--dry-run", *command[1:]], capture_output=True, text=True, check=False)
    assert (done.returncode, messages(done.stderr)) == (0, [])


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (11, 'rsync: [receiver] write failed on "/gws/x": Disk quota exceeded (122)'),
        (11, 'rsync: [receiver] close failed on "/gws/.incoming/x": Disk quota exceeded (122)'),
        (23, 'rsync: [receiver] mkstemp "/gws/.incoming/new/.x.AbCdEf" failed: Disk quota exceeded (122)'),
        (23, 'rsync: [generator] recv_generator: mkdir "/gws/a" failed: No space left on device (28)'),
        (23, 'rsync: [receiver] mkstemp "/gws/.incoming/new/.x.AbCdEf" failed: Read-only file system (30)'),
    ],
)
def test_a_failed_disk_of_the_receiver_is_told_from_a_failure_of_single_files(code: int, line: str) -> None:
    error = RsyncResult(code, (line, "rsync error: some files/attrs were not transferred")).disk_error
    assert error is not None
    message, _, step = error.partition(f"{line}. ")
    assert message == ""
    assert "/gws" in step, "the directory is one of the host's"
    sender_error = 'rsync: [sender] send_files failed to open "/x": No space left on device'
    assert RsyncResult(23, (sender_error,)).disk_error is None
