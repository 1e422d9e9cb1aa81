"""Hosts that say more than anybody would read, and what a terminal would obey: bounded, printable, no hindrance."""

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
def saying(tmp_path: Path, far: Path, before: str, programs: str = "*", bound: float = patient(60)) -> Iterator[Mirror]:
    """A mirror of a host that does something before each of some programs."""
    command = f'ForceCommand case $SSH_ORIGINAL_COMMAND in {programs}) {before};; esac; eval "$SSH_ORIGINAL_COMMAND"'
    with SshServer(tmp_path / "sshd", options=[command]) as server:
        yield Mirror(stream_of(far), tmp_path / "home", host_of(server), bound=bound)


@pytest.fixture
def image(far: Path) -> Path:
    write(far, {IMAGE: b"image"})
    return far


def test_a_far_rsync_that_floods_stderr_leaves_a_bounded_printable_log_and_copies_all(
    image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, LOG.name), saying(tmp_path, image, FLOOD, "rsync*") as mirror:
        report = mirror.run(DAY)
        in_locks = sum(path.stat().st_size for path in mirror.locks.iterdir())
    assert (report.total("copied"), report.total("bytes"), in_locks) == (1, 5, 0)
    said = "".join(record.getMessage() for record in caplog.records)
    assert "bytes are left out here" in said
    assert "\\x1b[31m\\u202ered" in said
    assert said.replace("\n", "").isprintable()
    assert len(said) < NOISE / 20
    assert all(line.isprintable() and len(line) <= 200 for line in report.complaints)


def test_a_far_rsync_that_fails_in_a_flood_says_why_in_one_printable_line(image: Path, tmp_path: Path) -> None:
    failing = saying(tmp_path, image, f"{FLOOD}; exit 3", "rsync*")
    with failing as mirror, pytest.raises(TransferError, match=r"rsync ended with \d+ \(") as caught:
        mirror.run(DAY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_host_that_says_more_on_stderr_than_its_window_holds_is_listed_all_the_same(
    image: Path, tmp_path: Path
) -> None:
    with saying(tmp_path, image, FLOOD) as mirror:
        survey = mirror.scan(DAY)
    assert (survey.files, survey.unreadable.total) == (1, 0)


def test_a_host_that_never_ends_its_noise_on_stderr_ends_in_the_listings_bound(image: Path, tmp_path: Path) -> None:
    with saying(tmp_path, image, "yes noise >&2", bound=1) as mirror:
        with pytest.raises(HostError, match="the listing took longer than 1 s"):
            mirror.scan(DAY)
        with pytest.raises(HostError, match="took longer than 1 s"):
            mirror.connections.ask(mirror.host, ["true"])  # type: ignore[arg-type]


def test_what_a_find_ends_with_is_said_in_a_printable_line(image: Path, tmp_path: Path) -> None:
    lies = "printf 'clock 1780000000\\0end \\033[2J%9000d\\0'; exit 0"
    with saying(tmp_path, image, lies) as mirror, pytest.raises(HostError, match="find failed on the host") as caught:
        mirror.scan(DAY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
