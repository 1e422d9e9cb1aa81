"""Safe paths, settled files, atomic publication, staging and locks, also when processes are killed."""

import multiprocessing
import os
import random
import signal
import stat
import string
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aurora_platform.errors import BusyError
from aurora_platform.fs.atomic import publish_file, remove
from aurora_platform.fs.locks import (
    hold_lock,
)
from aurora_platform.fs.paths import (
    UnsafePathError,
    is_plain,
    safe_relative,
)
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.trees import publish_tree
from aurora_platform.fs.versions import (
    FileVersion,
    ScannedEntry,
    data_version,
)
from aurora_platform.streams.settled import (
    is_settled,
)
from aurora_platform.text import (
    MOST_NAMED,
    Count,
    printable,
)
from tests.patience import patient, until

fork = multiprocessing.get_context("fork")
SECOND = 10**9

PIECES = st.sampled_from([b"/", b"//", b".", b"..", b"a", b" ", b"-", b"~", b"\\", b"\n", b"\0", b"\xff", b"\xc2\x85"])
PATHS = st.lists(PIECES | st.binary(max_size=6) | st.text(max_size=4).map(lambda t: t.encode(errors="replace")))


@given(PATHS.map(b"".join))
@example(b"a/../../etc/passwd")
@example(b"/etc/passwd")
@example(b"..")
@example(b"a/./b")
@example(b"a//b")
@example(b"")
@example("FISH/þoka 1/-HDR #;.jpg".encode())
@example("a\u2028b".encode())  # a line separator: Python's splitlines() would cut a manifest there
def test_an_accepted_path_is_unchanged_and_stays_below_any_root(raw: bytes) -> None:
    try:
        path = safe_relative(raw)
    except UnsafePathError:
        return
    assert path.encode() == raw
    for root in ("/srv/raw", "/"):
        joined = os.path.join(root, path)
        assert os.path.normpath(joined) == joined, "it is its own shortest form"
        assert os.path.commonpath([root, joined]) == root
    assert len(path.splitlines()) == 1, "it is one line of a manifest"


@given(st.from_regex(rb"[a-zA-Z0-9_./ \\\n-]{0,260}", fullmatch=True))
@example(b"a" * 240)
@example(b"a" * 241)
@example(b"a/.hidden")
@example(b"a\n")
@example(b"-rf")
def test_a_path_that_needs_no_further_check_would_pass_it(raw: bytes) -> None:
    if is_plain(raw):
        assert safe_relative(raw).encode() == raw
        assert not any(part.startswith((b".", b"-")) for part in raw.split(b"/"))
        assert not {*raw} & {*b"\\\n "}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"/etc/passwd", "absolute path"),
        (b"..", "'..' in the path"),
        (b"a/../b", "'..' in the path"),
        (b"a/..", "'..' in the path"),
        (b"", "empty or '.' part"),
        (b"a//b", "empty or '.' part"),
        (b"a/", "empty or '.' part"),
        (b"./a", "empty or '.' part"),
        (b"a\nb", "control character"),
        (b"a\0b", "control character"),
        (b"a\x1b[2Jb", "control character"),
        (b"a\x7fb", "control character"),
        ("a\x9bb".encode(), "control character"),
        (b"\xff.jpg", "not UTF-8"),
        (b"\xc0\xaf", "not UTF-8"),
        (b"\xed\xa0\x80", "not UTF-8"),
        (b"a" * 241, "too long"),
        (b"/".join([b"a" * 200] * 6), "too long"),
        (b"x" * 4096, "too long"),
    ],
)
def test_an_unsafe_path_is_refused_with_its_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(UnsafePathError, match=reason):
        safe_relative(raw)


def test_the_longest_allowed_name_leaves_room_for_a_temporary_one(tmp_path: Path) -> None:
    name = safe_relative(b"a" * 240)
    (tmp_path / f".{name}.AbCdEf").touch()  # the temporary name of rsync


@given(st.binary(max_size=300) | st.text(max_size=300))
@example(b"\x1b]0;title\x07|\n")
@example("\ud800")
def test_a_printable_name_is_printable_and_short(raw: bytes | str) -> None:
    text = printable(raw)
    assert text.isprintable()
    assert len(text) <= 200
    text.encode()


@given(st.integers(0, 10**19), st.integers(0, 10**6), st.integers(-(10**15), 10**15))
def test_settled_is_old_enough_to_the_nanosecond(now: int, settle: int, offset: int) -> None:
    age = settle * SECOND + offset
    assert is_settled(now - age, now, timedelta(seconds=settle)) == (offset >= 0 or settle == 0)


def test_a_count_counts_all_names_and_keeps_the_first() -> None:
    count = Count()
    for number in range(25):
        count.add(f"file {number}\n")
    assert (count.total, count.first) == (25, [f"file {number}\\n" for number in range(MOST_NAMED)])


VERSIONS = st.builds(FileVersion, st.integers(0), st.integers(0))
FILES = st.lists(st.builds(ScannedEntry, st.text(string.ascii_letters + "\0 1", max_size=4), VERSIONS))


@given(FILES, FILES)
@example([], [ScannedEntry("", FileVersion(0, 0))])
def test_different_inputs_have_different_data_versions(
    first: list[ScannedEntry[str]], second: list[ScannedEntry[str]]
) -> None:
    # NUL separates the parts; it cannot occur in a path.
    clean = [[f for f in files if "\0" not in f.path] for files in (first, second)]
    assert (data_version("r/1", clean[0]) == data_version("r/1", clean[1])) == (clean[0] == clean[1])
    assert data_version("r/1", clean[0]) != data_version("r/2", clean[0])


@contextmanager
def reading(read: Callable[[], object]) -> Iterator[list[object]]:
    """Call ``read`` again and again in a thread; yields what it returned or raised, without repetitions in a row."""
    values: list[object] = []
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                value = read()
            except Exception as error:
                value = error
            if not values or values[-1] != value:
                values.append(value)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield values
    finally:
        stop.set()
        thread.join()


def test_a_reader_of_a_file_sees_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "products" / "day.mp4"
    versions = [bytes([number]) * 50_000 for number in range(60)]

    def publish(content: bytes) -> None:
        staged = tmp_path / "staged"
        staged.write_bytes(content)
        publish_file(staged, target)
        assert not staged.exists()

    publish(versions[0])
    with reading(target.read_bytes) as values:
        for number, content in enumerate(versions[1:]):
            publish(content)
            if number % 10 == 0:  # between these, writer and reader race
                until(lambda expected=content: expected in values)
    assert [versions.index(value) for value in values] == sorted(versions.index(value) for value in values)
    assert len(values) > 5
    assert target.read_bytes() == versions[-1]


def test_a_reader_of_a_tree_sees_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    target, staged = tmp_path / "zarr" / "20260305", tmp_path / "staged"

    def publish(number: int) -> None:
        staged.mkdir()
        for name in "abc":
            (staged / name).write_text(str(number))
        (staged / f"only in {number}").touch()
        publish_tree(staged, target)

    def read() -> tuple[set[str], int]:
        handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY)  # like a reader that keeps the directory open
        try:
            texts = set()
            for name in "abc":
                file = os.open(name, os.O_RDONLY, dir_fd=handle)
                texts.add(os.read(file, 10).decode())
                os.close(file)
            return texts, sum(name.startswith("only in") for name in os.listdir(handle))
        finally:
            os.close(handle)

    publish(0)
    assert not staged.exists(), "there was no earlier tree to exchange"
    old: list[Path] = []
    with reading(read) as values:
        for number in range(1, 60):
            publish(number)
            assert (staged / "a").read_text() == str(number - 1), "the earlier tree is left at the staged path"
            old.append(staged.rename(tmp_path / f"old {number}"))
            if number % 10 == 0:  # between these, writer and reader race
                until(lambda expected=({str(number)}, 1): expected in values)
    assert all(isinstance(value, tuple) and len(value[0]) == 1 and value[1] == 1 for value in values)
    assert len(values) > 5
    assert sorted(os.listdir(target)) == ["a", "b", "c", "only in 59"]


def test_a_tree_can_replace_a_file(tmp_path: Path) -> None:
    target, staged = tmp_path / "target", tmp_path / "staged"
    target.write_text("a file")
    staged.mkdir()
    publish_tree(staged, target)
    assert target.is_dir()
    assert staged.read_text() == "a file"


def test_a_tree_that_was_never_staged_is_an_error_and_leaves_the_target(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(FileNotFoundError):
        publish_tree(tmp_path / "missing", tmp_path / "target")
    assert (tmp_path / "target").is_dir()


def test_removing_never_follows_a_symlink(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    link, tree = tmp_path / "link", tmp_path / "tree"
    link.symlink_to(kept)
    tree.mkdir()
    (tree / "link").symlink_to(kept)
    assert [remove(path) for path in (link, tree, tree)] == [True, True, False]
    assert (kept / "file").exists()


def work(staging: Staging, name: str, pipe: Connection) -> None:
    """Claim an entry, write half a product, report it, and wait to be killed or for a message to end."""
    with staging.claim(name) as path:
        path.mkdir()
        (path / "half").write_text("half a product")
        pipe.send("claimed")
        pipe.recv()


@contextmanager
def worker(staging: Staging, name: str) -> Iterator[tuple[multiprocessing.process.BaseProcess, Connection]]:
    parent_end, child_end = fork.Pipe()
    process = fork.Process(target=work, args=(staging, name, child_end))
    process.start()
    child_end.close()
    assert parent_end.poll(patient(60))
    assert parent_end.recv() == "claimed"
    try:
        yield process, parent_end
    finally:
        process.kill()
        process.join()
        parent_end.close()


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / ".staging", tmp_path / "locks", wait=timedelta(seconds=0.2))


def test_a_sweep_removes_entries_of_killed_processes_and_none_of_running_ones(staging: Staging) -> None:
    with worker(staging, "dead") as (dead, _), worker(staging, "alive"):
        assert dead.pid is not None
        os.kill(dead.pid, signal.SIGKILL)
        dead.join()
        (staging.directory / "dead file").write_text("of a run whose lock had another name")
        assert staging.sweep() == 2
        assert os.listdir(staging.directory) == ["alive"]
        assert (staging.directory / "alive" / "half").read_text() == "half a product"
    assert staging.sweep() == 1
    assert staging.sweep() == 0


def test_a_sweep_of_a_missing_staging_directory_removes_nothing(staging: Staging) -> None:
    assert staging.sweep() == 0
    assert not staging.directory.exists()


def test_only_one_process_can_claim_an_entry_and_it_is_empty_at_first(staging: Staging) -> None:
    with worker(staging, "day") as (process, pipe):
        began = time.monotonic()
        with pytest.raises(BusyError, match=r"day: another run still works on this after 0 s; `fuser -v .*day\.lock`"):
            staging.claim("day").__enter__()
        assert 0.15 < time.monotonic() - began < patient(20)
        with staging.claim("another day") as path:
            assert not path.exists()
        process.kill()
        process.join()
        with staging.claim("day") as path:
            assert not path.exists(), "the half product of the killed process is gone"
            path.write_text("whole")
        assert not path.exists()
        assert not pipe.closed


def test_a_claim_waits_for_the_previous_claim(staging: Staging) -> None:
    staging.wait = timedelta(seconds=patient(60))
    with worker(staging, "day") as (_, pipe):
        threading.Timer(0.2, pipe.send, ["end"]).start()
        with staging.claim("day") as path:
            assert not path.exists()


def fail(path: Path) -> None:
    path.touch()
    (path / "inside").touch()


def test_a_failure_inside_a_claim_leaves_nothing(staging: Staging) -> None:
    with pytest.raises(NotADirectoryError), staging.claim("day") as path:
        fail(path)
    assert os.listdir(staging.directory) == []


def count(locks: Path, counter: Path, rounds: int) -> None:
    for _ in range(rounds):
        with hold_lock(locks, "counter", timedelta(seconds=patient(60))):
            value = int(counter.read_text())
            time.sleep(random.random() / 1000)
            counter.write_text(str(value + 1))


def test_processes_that_count_under_a_lock_lose_no_count(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("0")
    counters = [fork.Process(target=count, args=(tmp_path / "locks", tmp_path / "n", 25)) for _ in range(4)]
    for process in counters:
        process.start()
    for process in counters:
        process.join()
    assert (tmp_path / "n").read_text() == "100"


def test_threads_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    with hold_lock(tmp_path, "stream", timedelta(0)):
        with pytest.raises(BusyError), hold_lock(tmp_path, "stream", timedelta(0)):
            pass
        with hold_lock(tmp_path, "other", timedelta(0)):
            pass
    with hold_lock(tmp_path, "stream", timedelta(0)):
        pass


def test_a_program_that_was_started_while_a_lock_was_held_does_not_keep_it(tmp_path: Path) -> None:
    with hold_lock(tmp_path, "stream", timedelta(0)):
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], close_fds=False)
    try:
        with hold_lock(tmp_path, "stream", timedelta(0)):
            pass
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_published_file_keeps_its_own_mode_and_time(tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    staged.write_text("x")
    staged.chmod(0o640)
    os.utime(staged, ns=(1, 123_456_789))
    publish_file(staged, tmp_path / "a" / "b" / "target")
    status = (tmp_path / "a" / "b" / "target").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o640, 123_456_789)
