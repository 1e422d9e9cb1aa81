"""A file that is rewritten while rsync copies it is never published as a mixture of two versions."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import ANYTHING, Mirror, Poller, adds_up, differences, host_of, left_over, stream_of
from tests.patience import factor, until

SIZE = 900_000  # rsync writes 256 KiB at a time
KIB_A_SECOND = max(1, 700 // factor())
NAME = "power_data_20260305.csv"
DAY_RULE = r"_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})\.csv$"  # not the mtime, which differs between versions


class Reader(Poller):
    """Polls the copy, and keeps every content that it read under the final name."""

    def __init__(self, local_file: Path) -> None:
        super().__init__()
        self.local_file = local_file
        self.contents: list[bytes] = []

    def poll(self) -> None:
        with suppress(FileNotFoundError):
            content = self.local_file.read_bytes()
            if not self.contents or content != self.contents[-1]:
                self.contents.append(content)


def rewrite_in_place(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def rewrite_by_rename(path: Path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    new.rename(path)


def act_during_a_copy(mirror: Mirror, act: Callable[[], object]) -> None:
    """Run a pass with low bandwidth, and act when a part of the file has arrived."""
    new = mirror.work / "new"

    def has_begun() -> bool:
        with suppress(OSError):
            return any(path.stat().st_size > SIZE // 10 for path in new.rglob("*"))
        return False

    def watch() -> None:
        until(has_begun)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    report = mirror.run()
    thread.join()
    assert adds_up(report)
    assert report.total("seen") == 1


@pytest.fixture
def slow(key_server: SshServer, source_root: Path, tmp_path: Path) -> Mirror:
    stream = stream_of(source_root, ANYTHING, settle="0s", append=False, include=[NAME], day=DAY_RULE)
    return Mirror(stream, tmp_path / "home", host_of(key_server), bandwidth=KIB_A_SECOND)


@pytest.mark.parametrize(
    ("rewrite", "length"), [(rewrite_in_place, SIZE), (rewrite_in_place, SIZE + 50_000), (rewrite_by_rename, SIZE)]
)
def test_a_file_rewritten_during_its_copy_is_published_only_in_whole_versions(
    slow: Mirror, rewrite: Callable[[Path, bytes], None], length: int
) -> None:
    remote_file, local_file = Path(slow.stream.path) / NAME, slow.root / NAME
    versions = [b"a" * SIZE, b"b" * length, b"c" * SIZE]
    remote_file.write_bytes(versions[0])
    os.utime(remote_file, ns=(1, remote_file.stat().st_mtime_ns - 10**9))
    with Reader(local_file) as reader:
        act_during_a_copy(slow, lambda: rewrite(remote_file, versions[1]))
        assert not local_file.exists() or local_file.read_bytes() in versions
        slow.but(bandwidth=0).run()
        until(lambda: versions[1] in reader.contents)
        time.sleep(0.02)
        rewrite(remote_file, versions[2])
        act_during_a_copy(slow, lambda: rewrite(remote_file, versions[0]))
        slow.but(bandwidth=0).run()
        until(lambda: reader.contents[-1] == versions[0])
    assert [content[:1] for content in reader.contents if content not in versions] == [], "a mixture"
    assert slow.run().total("unchanged") == 1
    assert differences(remote_file.parent, slow.root) == []
    assert left_over(slow.raw) == []


def test_a_file_appended_during_its_copy_is_published_only_as_its_begin(slow: Mirror) -> None:
    appended = slow.but(stream=slow.stream.model_copy(update={"append": True}))
    remote_file, local_file = Path(slow.stream.path) / NAME, slow.root / NAME
    content = b"".join(b"%09d\n" % number for number in range(SIZE // 10))
    remote_file.write_bytes(content)

    def append() -> None:
        with remote_file.open("ab") as file:
            file.write(b"later\n" * 10_000)

    with Reader(local_file) as reader:
        act_during_a_copy(appended, append)
        assert local_file.read_bytes()[:SIZE] == content, "the copied begin is published at once"
        act_during_a_copy(appended, append)
        appended.but(bandwidth=0).run()
        until(lambda: reader.contents[-1] == remote_file.read_bytes())
    whole = remote_file.read_bytes()
    assert all(whole.startswith(content) for content in reader.contents)
    assert len(reader.contents) >= 3
