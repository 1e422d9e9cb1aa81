"""A file that is written anew while rsync copies it never gets its name here with some of both versions."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import ANYTHING, Looking, Mirror, adds_up, differences, host_of, left_over, stream_of
from tests.patience import factor, until

SIZE = 900_000  # rsync writes 256 KiB at a time
KIB_A_SECOND = max(1, 700 // factor())
NAME = "power_data_20260305.csv"
DAY_RULE = r"_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})\.csv$"  # not the mtime: each version has its own


class Reader(Looking):
    """Looks at the copy all the time, and keeps every content that it saw under the final name."""

    def __init__(self, here: Path) -> None:
        super().__init__()
        self.here = here
        self.seen: list[bytes] = []

    def scan(self) -> None:
        with suppress(FileNotFoundError):
            content = self.here.read_bytes()
            if not self.seen or content != self.seen[-1]:
                self.seen.append(content)


def in_place(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def by_rename(path: Path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    new.rename(path)


def during_a_copy(mirror: Mirror, act: Callable[[], object]) -> None:
    """Run a pass over a thin line, and act when a part of the file has come."""
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
def slow(key_server: SshServer, far: Path, tmp_path: Path) -> Mirror:
    stream = stream_of(far, ANYTHING, settle="0s", append=False, include=[NAME], day=DAY_RULE)
    return Mirror(stream, tmp_path / "home", host_of(key_server), bandwidth=KIB_A_SECOND)


@pytest.mark.parametrize(("write_anew", "length"), [(in_place, SIZE), (in_place, SIZE + 50_000), (by_rename, SIZE)])
def test_a_file_that_is_written_anew_during_its_copy_is_seen_here_in_whole_versions_alone(
    slow: Mirror, write_anew: Callable[[Path, bytes], None], length: int
) -> None:
    there, here = Path(slow.stream.path) / NAME, slow.root / NAME
    versions = [b"a" * SIZE, b"b" * length, b"c" * SIZE]
    there.write_bytes(versions[0])
    os.utime(there, ns=(1, there.stat().st_mtime_ns - 10**9))
    with Reader(here) as reader:
        during_a_copy(slow, lambda: write_anew(there, versions[1]))
        assert not here.exists() or here.read_bytes() in versions
        slow.but(bandwidth=0).run()
        until(lambda: versions[1] in reader.seen)
        time.sleep(0.02)
        write_anew(there, versions[2])
        during_a_copy(slow, lambda: write_anew(there, versions[0]))
        slow.but(bandwidth=0).run()
        until(lambda: reader.seen[-1] == versions[0])
    assert [content[:1] for content in reader.seen if content not in versions] == [], "a mixture"
    assert slow.run().total("unchanged") == 1
    assert differences(there.parent, slow.root) == []
    assert left_over(slow.raw) == []


def test_a_file_that_is_appended_during_its_copy_is_seen_here_as_beginnings_alone(slow: Mirror) -> None:
    appended = slow.but(stream=slow.stream.model_copy(update={"append": True}))
    there, here = Path(slow.stream.path) / NAME, slow.root / NAME
    content = b"".join(b"%09d\n" % number for number in range(SIZE // 10))
    there.write_bytes(content)

    def append() -> None:
        with there.open("ab") as file:
            file.write(b"later\n" * 10_000)

    with Reader(here) as reader:
        during_a_copy(appended, append)
        assert here.read_bytes()[:SIZE] == content, "what came of it is here at once"
        during_a_copy(appended, append)
        appended.but(bandwidth=0).run()
        until(lambda: reader.seen[-1] == there.read_bytes())
    whole = there.read_bytes()
    assert all(whole.startswith(seen) for seen in reader.seen)
    assert len(reader.seen) >= 3
