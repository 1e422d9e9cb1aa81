"""Hosts with too much output or control characters: the log stays bounded and printable, and files are copied."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aurora_platform.errors import HostError, TransferError
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import DAY, LOG, Mirror, host_of, stream_of, write
from tests.patience import patient

IMAGE = "FISH/20260305/10/HDR_20260305_100000.jpg"
NOISE = 20_000_000
FLOOD = f'yes "$(printf "\\033[31m\\342\\200\\256red")" | head -c {NOISE} >&2'


@contextmanager
def noisy_mirror(
    tmp_path: Path, source_root: Path, before: str, programs: str = "*", bound: float = patient(60)
) -> Iterator[Mirror]:
    """A mirror of a host that runs ``before`` ahead of some programs."""
    command = f'ForceCommand case $SSH_ORIGINAL_COMMAND in {programs}) {before};; esac; eval "$SSH_ORIGINAL_COMMAND"'
    with SshServer(tmp_path / "sshd", options=[command]) as server:
        yield Mirror(stream_of(source_root), tmp_path / "home", host_of(server), bound=bound)


@pytest.fixture
def image(source_root: Path) -> Path:
    write(source_root, {IMAGE: b"image"})
    return source_root


def test_a_remote_rsync_that_floods_stderr_copies_all_and_leaves_a_bounded_printable_log(
    image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, LOG.name), noisy_mirror(tmp_path, image, FLOOD, "rsync*") as mirror:
        report = mirror.run(DAY)
        in_locks = sum(path.stat().st_size for path in mirror.locks.iterdir())
    assert (report.total("copied"), report.total("bytes"), in_locks) == (1, 5, 0)
    log = "".join(record.getMessage() for record in caplog.records)
    assert "bytes are left out here" in log
    assert "\\x1b[31m\\u202ered" in log
    assert log.replace("\n", "").isprintable()
    assert len(log) < NOISE / 20
    assert all(line.isprintable() and len(line) <= 200 for line in report.messages)


def test_a_remote_rsync_that_fails_in_a_flood_gives_one_printable_error_line(image: Path, tmp_path: Path) -> None:
    failing = noisy_mirror(tmp_path, image, f"{FLOOD}; exit 3", "rsync*")
    with failing as mirror, pytest.raises(TransferError, match=r"rsync ended with \d+ \(") as caught:
        mirror.run(DAY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_host_that_fills_its_stderr_window_is_still_listed(image: Path, tmp_path: Path) -> None:
    with noisy_mirror(tmp_path, image, FLOOD) as mirror:
        survey = mirror.scan(DAY)
    assert (survey.files, survey.unreadable.total) == (1, 0)


def test_a_host_with_endless_stderr_ends_at_the_listings_time_limit(image: Path, tmp_path: Path) -> None:
    with noisy_mirror(tmp_path, image, "yes noise >&2", bound=1) as mirror:
        with pytest.raises(HostError, match="the listing took longer than 1 s"):
            mirror.scan(DAY)
        with pytest.raises(HostError, match="took longer than 1 s"):
            mirror.connections.ask(mirror.host, ["true"])  # type: ignore[arg-type]


def test_the_exit_text_of_find_is_reported_in_one_printable_line(image: Path, tmp_path: Path) -> None:
    output = "printf 'clock 1780000000\\0end \\033[2J%9000d\\0'; exit 0"
    with (
        noisy_mirror(tmp_path, image, output) as mirror,
        pytest.raises(HostError, match="find failed on the host") as caught,
    ):
        mirror.scan(DAY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
