"""Checksums of local files: equal to sha256sum's, of the file version that they name, and never through a symlink."""

import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.transport import remote_sha256
from aurora_platform.transport.checksums import (
    AnswerParser,
    Checksum,
    LocalHasher,
    encode_path,
    encode_request,
    remote_command,
)
from aurora_platform.transport.remote_sha256 import (
    CHANGED,
    MISSING,
    NOT_BELOW_ROOT,
    NOT_REGULAR,
    SYMLINK,
    Tree,
    Unusable,
    decode_path,
)
from tests.patience import until

SUM = "0" * 64
LARGE = 5 << 20


def checksums(root: Path, paths: Sequence[str]) -> dict[str, Checksum]:
    results = list(LocalHasher().checksums(str(root), paths))
    assert len(results) == len(paths)
    return {checksum.path: checksum for checksum in results}


def sha256sum(path: Path) -> str:
    """The checksum by coreutils, which shares no code with ours."""
    with path.open("rb") as file:
        return subprocess.run(["sha256sum"], stdin=file, capture_output=True, check=True).stdout.decode()[:64]


def test_checksums_are_those_of_sha256sum_with_size_and_mtime_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "in" / "a folder").mkdir(parents=True)
    block = remote_sha256._BLOCK
    sizes = (0, 1, 2047, 2048, block - 1, block, block + 1, remote_sha256._LARGE, LARGE)
    names = [f"in/a folder/{size}" for size in sizes] + ["top", "in/new\nline", "in/\\back", "in/\udcff", "in/ü", "-n"]
    for number, name in enumerate(names):
        size = sizes[number] if number < len(sizes) else number
        (tmp_path / name).write_bytes(os.urandom(size))
        os.utime(tmp_path / name, ns=(0, 1_700_000_000_123_456_789 + number))
    found = checksums(tmp_path, names)
    for number, name in enumerate(names):
        path = tmp_path / name
        expected = Checksum(name, FileVersion(path.stat().st_size, 1_700_000_000_123_456_789 + number), sha256sum(path))
        assert found[name] == expected


def test_a_file_that_cannot_be_hashed_has_a_reason_and_the_other_files_have_checksums(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_text("file")
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to("folder/file")
    (root / "dangling").symlink_to("nowhere")
    (root / "behind").symlink_to("folder")
    (root / "out").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    reasons = {
        "folder/file": "",
        "nothing": MISSING,
        "no/such/folder": MISSING,
        "folder/file/below": MISSING,
        "link": SYMLINK,
        "dangling": SYMLINK,
        "behind/file": remote_sha256.BEHIND_SYMLINK,
        "out/secret": remote_sha256.BEHIND_SYMLINK,
        "folder": NOT_REGULAR,
        "pipe": NOT_REGULAR,
        "../secret": NOT_BELOW_ROOT,
        "folder/../folder/file": NOT_BELOW_ROOT,
        str(tmp_path / "secret"): NOT_BELOW_ROOT,
        "": NOT_BELOW_ROOT,
        "folder//file": NOT_BELOW_ROOT,
        "nul\0": NOT_BELOW_ROOT,
        "\ud800": NOT_BELOW_ROOT,
        "long" * 2000: NOT_BELOW_ROOT,
    }
    found = checksums(root, list(reasons))
    assert {path: checksum.error for path, checksum in found.items()} == reasons
    assert {checksum.sha256 for checksum in found.values() if checksum.error} == {None}
    assert found["folder/file"].sha256 == sha256sum(root / "folder" / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file; test_ssh_checksums tests another user")
def test_a_file_without_read_permission_has_that_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0)
    assert checksums(tmp_path, ["file"])["file"].error == "cannot be read (Permission denied)"


def test_a_missing_root_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(HostRefusedError, match="no such directory"):
        list(LocalHasher().checksums(str(tmp_path / "nowhere"), ["file"]))


def replaces(path: Path) -> None:
    (path.parent / "new").write_bytes(path.read_bytes())
    shutil.copystat(path, path.parent / "new")
    (path.parent / "new").replace(path)


def grows(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrinks(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def changes_and_sets_the_mtime_back(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def removes(path: Path) -> None:
    path.unlink()


def moves_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def puts_a_link_in_its_place(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (replaces, CHANGED),
        (grows, CHANGED),
        (shrinks, CHANGED),
        (changes_and_sets_the_mtime_back, CHANGED),
        (puts_a_link_in_its_place, CHANGED),
        (removes, MISSING),
        (moves_the_folder, MISSING),
    ],
)
def test_a_file_that_is_changed_while_it_is_read_has_no_checksum(
    tmp_path: Path, meanwhile: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(bytes(3 * remote_sha256._BLOCK))
    heartbeats: list[int] = []

    def heartbeat() -> None:
        heartbeats.append(1)
        if len(heartbeats) == 1:
            time.sleep(0.01)  # a clock tick of the file system
            meanwhile(path)

    tree = Tree(os.fsencode(tmp_path))
    with pytest.raises(Unusable, match=reason):
        tree.sha256(b"folder/file", heartbeat)
    tree.close()
    assert heartbeats


def test_a_file_that_grows_for_ever_is_not_read_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * remote_sha256._BLOCK))
    blocks: list[int] = []

    def heartbeat() -> None:
        blocks.append(1)
        os.truncate(path, path.stat().st_size + remote_sha256._BLOCK)

    with pytest.raises(Unusable, match=CHANGED):
        Tree(os.fsencode(tmp_path)).sha256(b"file", heartbeat)
    assert len(blocks) == 2


def test_the_largest_files_come_first_and_the_small_ones_in_order(tmp_path: Path) -> None:
    sizes = {"a": 1, "b": LARGE, "c": 2, "d": 3 * LARGE, "e": 0, "f": 2 * LARGE}
    for name, size in sizes.items():
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
    found = LocalHasher(threads=1).checksums(str(tmp_path), list(sizes))
    assert [checksum.path for checksum in found] == ["d", "f", "b", "a", "c", "e"]


def test_a_reader_that_stops_ends_the_work(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 1 << 40)  # sparse; ten minutes of hashing
    (tmp_path / "small").write_text("small")
    before = threading.active_count()
    found = LocalHasher(threads=3).checksums(str(tmp_path), ["first", "small", "second"])
    assert next(found).path == "small"
    assert threading.active_count() > before
    found.close()
    until(lambda: threading.active_count() <= before)
    assert threading.active_count() <= before


def test_the_page_cache_keeps_only_files_that_were_cached_before(disk_path: Path) -> None:
    cold_and_hot(disk_path)
    found = checksums(disk_path, ["cold", "hot"])
    assert not any(checksum.error for checksum in found.values())
    assert cached(disk_path / "cold") == 0
    assert cached(disk_path / "hot") == LARGE


def test_a_fast_disk_that_fills_a_page_during_the_probe_does_not_make_a_file_count_as_cached(
    disk_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold_and_hot(disk_path)
    preadv, probes = os.preadv, 0

    def at_once(fd: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        nonlocal probes
        probes += 1
        return 1 if probes == 1 else preadv(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", at_once)
    checksums(disk_path, ["cold"])
    assert probes > 1
    assert cached(disk_path / "cold") == 0


def cold_and_hot(directory: Path) -> None:
    """Make a file that is not in the page cache, and one that is."""
    if shutil.which("fincore") is None:
        pytest.skip("fincore (util-linux) is not installed")
    for name in ("cold", "hot"):
        with (directory / name).open("wb") as file:
            file.write(os.urandom(LARGE))
            file.flush()
            os.fsync(file.fileno())
            if name == "cold":
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached(directory / "cold"):
        pytest.skip("this file system does not drop pages from the cache on request")


def cached(path: Path) -> int:
    """How many bytes of a file are in the page cache."""
    output = subprocess.run(["fincore", "-bnro", "RES", path], capture_output=True, text=True, check=True).stdout
    return int(output or 0)


@given(st.lists(st.binary(min_size=1, max_size=60).filter(lambda raw: b"\0" not in raw)))
def test_a_path_of_any_bytes_is_one_line_of_a_request_and_can_be_decoded(names: list[bytes]) -> None:
    lines = encode_request([os.fsdecode(name) for name in names]).split(b"\n")
    assert [decode_path(line) for line in lines[:-2]] == names
    assert lines[-2:] == [b"", b""]
    assert all(32 <= byte < 127 for line in lines for byte in line)


@given(st.data())
def test_answers_are_parsed_the_same_however_they_are_cut_into_blocks(data: st.DataObject) -> None:
    text = f"1 {SUM} 5 17\n0 - not there\n2 {SUM} 0 -1\nend 3\n".encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    answers = AnswerParser(["a", "b", "c"])
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += answers.feed(text[start:end])
        assert answers.is_complete == (end == len(text))
    assert found == [
        Checksum("b", FileVersion(5, 17), SUM),
        Checksum("a", FileVersion(0, 0), None, MISSING),
        Checksum("c", FileVersion(0, -1), SUM),
    ]


LIES = [
    b"welcome to the observatory\n",
    f"2 {SUM} 5 17\n".encode(),  # not requested
    f"0 {SUM} 5 17\n0 {SUM} 5 17\n".encode(),
    f"0 {SUM} 5 17\n0 - not there\n".encode(),
    b"end 2\n",  # nothing has been answered
    f"0 {SUM} 5 17\nend 1\n".encode(),
    f"0 {SUM} 5 17\n1 - no\nend 2\nend 2\n".encode(),
    f"0 {SUM} 5 17\n1 - no\nend 2\n0 - no\n".encode(),
    f"0 {SUM[1:]} 5 17\n".encode(),
    f"0 {'G' * 64} 5 17\n".encode(),
    f"0 {SUM} -5 17\n".encode(),
    f"0 {SUM} 5 {2**63}\n".encode(),
    f"0 {SUM} {10**18} 5\n".encode(),
    f"-1 {SUM} 5 17\n".encode(),
    f"0 {SUM} 5 17 more\n".encode(),
    b"0 - \x1b[31m\n",
    b"0 - \n",
    b"0 - " + b"n" * 300 + b"\n",
    b"x" * 600,
    b"\n",
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_an_answer_that_was_not_requested_ends_the_conversation(lie: bytes) -> None:
    with pytest.raises(HostError, match=r"unexpected answer: .*login shell") as caught:
        AnswerParser(["a", "b"]).feed(lie)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.lists(st.binary(max_size=100)))
def test_no_bytes_cause_another_error_than_a_host_error(blocks: list[bytes]) -> None:
    answers = AnswerParser(["a", "b"])
    try:
        for block in blocks:
            assert {checksum.path for checksum in answers.feed(block)} <= {"a", "b"}
    except HostError:
        return


OLD_PYTHONS = [
    path for version in ("3.6*", "3.7*", "3.8*", "3.11*") for path in Path.home().glob(f".pyenv/versions/{version}/bin")
] + [Path("/usr/bin")]


@pytest.mark.parametrize("python", OLD_PYTHONS, ids=str)
def test_the_remote_program_runs_on_the_python_versions_of_remote_hosts(python: Path, tmp_path: Path) -> None:
    if not (python / "python3").exists():
        pytest.skip(f"there is no {python}/python3")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "fi\nle").write_bytes(bytes(LARGE))
    os.utime(tmp_path / "folder" / "fi\nle", ns=(0, 1_700_000_000_123_456_789))
    command = remote_command("python3", str(tmp_path))
    # No dot on stderr, however busy this machine is.
    command = [part.replace("_HEARTBEAT_SECONDS = 4", "_HEARTBEAT_SECONDS = 3600") for part in command]
    requests = encode_request(["folder/fi\nle", "nothing"]) + encode_request([]) + encode_request(["folder"])
    done = subprocess.run([str(python / command[0]), *command[1:]], input=requests, capture_output=True, check=False)
    expected = hashlib.sha256(bytes(LARGE)).hexdigest()
    assert done.stdout.decode().splitlines() == [
        f"0 {expected} {LARGE} 1700000000123456789",
        "1 - not there",
        "end 2",
        "end 0",
        "0 - not a regular file",
        "end 1",
    ]
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_path_is_one_short_line() -> None:
    assert encode_path("FISH/a b.jpg") == b"FISH/a b.jpg"
    assert encode_path("\\0101\n") == b"\\01340101\\0012"
