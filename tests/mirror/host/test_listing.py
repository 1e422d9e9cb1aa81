"""Listing: the local walk and the remote script equal the output of `find`, and a cut listing is an error."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aurora_platform.errors import AuroraError, HostError, HostRefusedError
from aurora_platform.fs.versions import DIRECTORY, FILE, OTHER, SYMLINK, FileVersion, ScannedEntry
from aurora_platform.mirror.plan import make_plan
from aurora_platform.streams.classify import directories_to_list
from aurora_platform.text import Count
from aurora_platform.transport.listing import (
    NO_SUCH_ROOT,
    ListedEntry,
    Listing,
    LocalSource,
    count_unreadable,
    parse_listing,
    remote_command,
    split_records,
)
from aurora_simulator import Report
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import ANYTHING, DAY, Mirror, entries, host_of, stream_of
from tests.troubled_hosts import answer_with

few_examples = settings.get_profile("mirror")

ODD_NAMES = [
    b"plain", b"two words", b" leading and trailing ", b"new\nline", b"tab\t", b"-leading", b"--", b"-exec", b"!", b"(",
    b"#hash", b";semi", b"$HOME", b"`id`", b"$(id)", b"'quote", b'"double', b"back\\slash", b"*", b"?", b"[a-z]", b"~",
    b"{a,b}", b"\xff\xfe not UTF-8", "þoka ☁".encode(), b"\x1b[31mred", b"..dots", b".hidden", b"x" * 255, b"end 0",
    b"clock 1",
]  # fmt: skip


def odd_tree(root: Path) -> None:
    """Make every odd name as a file and as a directory with a file in it, and a few entries that are no files."""
    base = os.fsencode(root)
    for number, name in enumerate(ODD_NAMES):
        for path in (name, b"in/" + name, b"dir " + name[:200] + b"/" + name):
            target = os.path.join(base, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(b"x" * number)
            stamp = 1_780_000_000 * 10**9 + number * 1_000_000_007
            os.utime(target, ns=(stamp, stamp))
    os.utime(os.path.join(base, b"plain"), ns=(0, 0))
    os.utime(os.path.join(base, b"#hash"), ns=(-500_000_000, -500_000_000))
    os.mkfifo(root / "pipe")
    (root / "empty").mkdir()
    (root / "link to file").symlink_to("/etc/hostname")
    (root / "link to directory").symlink_to("/etc")
    (root / "link to nowhere").symlink_to("/no/such/file")
    (root / "link to itself").symlink_to("link to itself")


def by_find(root: Path, below: Sequence[bytes] = ()) -> dict[bytes, ListedEntry]:
    """The entries from GNU find, called in another way than the script under test calls it."""
    found = {}
    for start in below or [b""]:
        where = os.path.join(os.fsencode(root), start)
        command = [b"find", where, b"-mindepth", b"1", b"-printf", b"%P\\0%s\\0%T@\\0%y\\0"]
        fields = subprocess.run(command, check=True, capture_output=True).stdout.split(b"\0")[:-1]
        for path, size, mtime, kind in zip(*(fields[i::4] for i in range(4)), strict=True):
            seconds, fraction = mtime.split(b".")
            name = os.path.join(start, path)
            stamp = int(seconds) * 10**9 + int(fraction[:9])
            found[name] = ScannedEntry(name, FileVersion(int(size), stamp), kind.decode() if kind in b"fdl" else OTHER)
    return found


def by_shell(root: Path | str | bytes, below: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
    """The listing by the script, in a real shell of this machine."""
    command = remote_command(os.fsdecode(root), below, named=named)
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    unreadable = Count()
    count_unreadable(done.stderr, unreadable)
    return parse_listing(split_records([done.stdout]), unreadable)


def assert_same(listing: Listing, expected: dict[bytes, ListedEntry], starts: Sequence[bytes] = (b".",)) -> None:
    """Compare entries; only find lists the starting points, and the kind of a pipe is OTHER."""
    found = {
        path: e._replace(kind=e.kind if e.kind in (FILE, DIRECTORY, SYMLINK) else OTHER)
        for path, e in entries(listing).items()
        if path not in starts
    }
    assert found == expected


@pytest.fixture
def odd(source_root: Path) -> Path:
    odd_tree(source_root)
    return source_root


def test_a_local_listing_equals_the_output_of_find(odd: Path) -> None:
    expected = by_find(odd)
    assert len(expected) > 3 * len(ODD_NAMES)
    assert_same(LocalSource().list(str(odd), []), expected)


def test_the_script_in_a_real_shell_equals_the_output_of_find(odd: Path) -> None:
    assert_same(by_shell(odd), by_find(odd))


def test_the_script_over_ssh_equals_the_output_of_find(odd: Path, server: SshServer, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(odd), tmp_path, host_of(server))
    listing = mirror.source.list(str(odd), [])
    assert_same(listing, by_find(odd))
    assert listing.unreadable.total == 0
    assert f"Accepted {'none' if server.auth == 'none' else 'publickey'} for {server.user}" in server.log()


def test_only_the_requested_directories_are_listed_and_missing_directories_are_skipped(odd: Path) -> None:
    below = ["in", "dir -exec", "dir #hash", "missing", "missing/deeper", "plain/under a file", "dir *", "-no"]
    expected = by_find(odd, [b"in", b"dir -exec", b"dir #hash", b"dir *"])
    for listing in (LocalSource().list(str(odd), below), by_shell(odd, below)):
        assert_same(listing, expected, [b"in", b"dir -exec", b"dir #hash", b"dir *"])
        assert listing.unreadable.total <= 1  # "plain/under a file": Not a directory


@pytest.mark.parametrize("name", ["link to directory", "link to nowhere", "plain", "pipe"])
def test_a_requested_path_that_is_no_directory_is_one_entry(odd: Path, name: str) -> None:
    (local,) = LocalSource().list(str(odd), [name]).entries
    (shell,) = by_shell(odd, [name]).entries
    assert local.path == shell.path == name.encode()
    assert local.version == shell.version
    assert local.kind == shell.kind or name == "pipe"


def test_a_camera_is_listed_by_day_the_same_locally_and_over_ssh(camera: tuple[Path, Report], remote: Mirror) -> None:
    below = ["FISH/20260304", "FISH/20260305", "PANO/20260305"]
    starts = [b"FISH/20260305", b"PANO/20260305"]
    expected = by_find(camera[0], starts)
    assert sum(entry.kind == FILE for entry in expected.values()) == camera[1].files
    for listing in (remote.source.list(str(camera[0]), below), LocalSource().list(str(camera[0]), below)):
        assert_same(listing, expected, starts)


SHELL = st.text(st.sampled_from("a '\"\\$`;&|<>(){}[]*?!#~=%^-\t\r\n\x01\x7fþ"), min_size=1, max_size=10)
NAMES = SHELL.filter(lambda name: name not in (".", ".."))


@settings(few_examples)
@given(root=NAMES, day=NAMES, name=NAMES)
@example(root="-n", day="-exec", name="$(touch owned)")
@example(root="'; touch owned; '", day="`touch owned`", name="a\nb")
@example(root=" ", day="'", name='"')
@example(root="\\", day="*", name="?")
def test_no_name_is_interpreted_by_the_hosts_shell(root: str, day: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / root
        (place / day).mkdir(parents=True)
        (place / day / name).write_bytes(b"12345")
        for below in ([], [day]):
            found = entries(by_shell(place, below))
            assert found[f"{day}/{name}".encode()].version.size == 5
            assert_same(
                by_shell(place, below),
                by_find(place, [b.encode() for b in below]),
                [b.encode() for b in below] or [b"."],
            )


def test_no_name_is_interpreted_by_the_login_shell(source_root: Path, server: SshServer, tmp_path: Path) -> None:
    # sshd gives one line to the login shell, which splits it before the script runs.
    place = source_root / "ro ot'\"$(id)`id`;&|*?[x]\\ "
    (place / "da y'\"$HOME\n*").mkdir(parents=True)
    (place / "da y'\"$HOME\n*" / "fi le").write_bytes(b"12345")
    for below in ([], ["da y'\"$HOME\n*"]):
        listing = Mirror(stream_of(place), tmp_path, host_of(server)).source.list(str(place), below)
        starts = [path.encode() for path in below]
        assert_same(listing, by_find(place, starts), starts or [b"."])


def test_a_missing_root_is_an_error_and_no_empty_listing(remote: Mirror, source_root: Path) -> None:
    with pytest.raises(HostError, match=r"^127\.0\.0\.2: .*missing does not exist there.*site file right\?$"):
        remote.source.list(str(source_root / "missing"), [])
    with pytest.raises(HostError, match=r"no such directory\. .* Is the disk mounted"):
        LocalSource().list(str(source_root / "missing"), [])
    (source_root / "file").touch()
    with pytest.raises(HostError):
        remote.source.list(str(source_root / "file"), [])
    with pytest.raises(HostError):
        LocalSource().list(str(source_root / "file"), [])
    assert subprocess.run(remote_command("/no/such", []), capture_output=True, check=False).returncode == NO_SUCH_ROOT


def test_an_unreadable_directory_is_counted_and_the_rest_is_listed(
    odd: Path, server: SshServer, tmp_path: Path
) -> None:
    if server.auth != "none":
        pytest.skip("root reads everything; the test needs the user without a key")
    (odd / "in").chmod(0o700)
    listing = Mirror(stream_of(odd), tmp_path, host_of(server)).source.list(str(odd), [])
    found = entries(listing)
    assert b"plain" in found
    assert not any(path.startswith(b"in/") for path in found)
    assert (listing.unreadable.total, listing.unreadable.first) == (1, ["'./in': Permission denied"])


def test_a_requested_directory_below_an_inaccessible_directory_is_counted(
    odd: Path, server: SshServer, tmp_path: Path
) -> None:
    if server.auth != "none":
        pytest.skip("root reads everything; the test needs the user without a key")
    (odd / "closed" / "day").mkdir(parents=True)
    (odd / "closed").chmod(0o700)
    listing = Mirror(stream_of(odd), tmp_path, host_of(server)).source.list(str(odd), ["closed/day", "in"])
    assert len(entries(listing)) >= len(ODD_NAMES)
    assert listing.unreadable.total == 1


@pytest.mark.parametrize("complaint", ["find: unrecognized: -printf", "find: -printf: unknown primary or operator"])
def test_a_host_without_gnu_find_is_an_error_and_no_empty_listing(
    source_root: Path, tmp_path: Path, complaint: str
) -> None:
    # BusyBox and BSD have no -printf, and exit like GNU find after an unreadable directory.
    (source_root / "file").touch()
    other_find = tmp_path / "find"
    other_find.write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 1\n")
    other_find.chmod(0o755)
    done = subprocess.run(
        remote_command(str(source_root), []),
        capture_output=True, check=False, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    with pytest.raises(HostError):
        list(parse_listing(split_records([done.stdout]), Count()).entries)


@pytest.fixture(scope="module")
def real_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a real listing."""
    root = tmp_path_factory.mktemp("listed")
    odd_tree(root)
    return subprocess.run(remote_command(str(root), []), check=True, capture_output=True).stdout


def read(blocks: Sequence[bytes]) -> list[ListedEntry]:
    return list(parse_listing(split_records(blocks), Count()).entries)


@settings(few_examples, max_examples=300)
@given(st.data())
def test_a_listing_that_is_cut_off_anywhere_is_an_error(real_bytes: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(real_bytes) - 1) | st.integers(len(real_bytes) - 12, len(real_bytes) - 1))
    with pytest.raises(HostError):
        read([real_bytes[:cut]])


@settings(few_examples)
@given(st.data())
def test_a_listing_is_the_same_in_any_pieces(real_bytes: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(real_bytes)), max_size=20)))
    pieces = [real_bytes[a:b] for a, b in zip([0, *cuts], [*cuts, len(real_bytes)], strict=True)]
    assert read(pieces) == read([real_bytes])


@settings(few_examples, max_examples=300)
@given(st.data())
def test_any_bytes_from_a_host_give_entries_or_a_host_error(
    real_bytes: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, min(len(real_bytes), 400)))
    noise = data.draw(st.binary(max_size=8) | st.sampled_from([b"\0", b"end 0\0", b"9" * 5000, b"clock ", b"-", b"."]))
    content = real_bytes[:at] + noise + real_bytes[at + data.draw(st.integers(0, 8)) :]
    stream = stream_of("/", ANYTHING)
    try:
        listing = parse_listing(split_records([content]), Count())
        make_plan(stream, [DAY], listing, tmp_path_factory.getbasetemp() / "raw")
    except AuroraError as error:
        assert isinstance(error, HostError)  # noqa: PT017 - any other exception fails as well


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin with the host's clock"),
        (b"Welcome to Aurora!\nclock 1780000000\0end 0\0", "Does its login shell print something"),
        (b"clock \0end 0\0", "clock"),
        (b"clock -1\0end 0\0", "clock"),
        (b"clock " + b"9" * 13 + b"\0end 0\0", "clock"),
        (b"clock " + b"9" * 5000 + b"\0end 0\0", "clock"),
        (b"clock 1780000000\0", "cut off before its end"),
        (b"clock 1780000000\0end 0", "cut off before its end"),
        (b"clock 1780000000\0f 1 1.0 a\0f 1 1.0 b", "cut off before its end"),
        (b"clock 1780000000\0end 127\0", r"find failed on the host \(127\)"),
        (b"clock 1780000000\0end \xff\0", "find failed on the host"),
        (b"clock 1780000000\0end 0\0f 1 1.0 a\0", "goes on after its end"),
        (b"clock 1780000000\0end 0\0end 0\0", "goes on after its end"),
        (b"clock 1780000000\0f 1 1.0\0end 0\0", "a record that is not from find"),
        (b"clock 1780000000\0f one 1.0 a\0end 0\0", "a record that is not from find"),
        (b"clock 1780000000\0f 1 now a\0end 0\0", "a record that is not from find"),
        (b"clock 1780000000\0f 1 1.x a\0end 0\0", "a record that is not from find"),
        (b"clock 1780000000\0\xff 1 1.0 a\0end 0\0", "a record that is not from find"),
        (b"clock 1780000000\0\0end 0\0", "a record that is not from find"),
        (b"clock 1780000000\0f " + b"9" * 5000 + b" 1.0 a\0end 0\0", "a record that is not from find"),
        (b"clock 1780000000\0f 1 1.0 " + b"a" * 20_000, "a record of more than 16384 bytes"),
    ],
)
def test_a_malformed_listing_is_one_error(content: bytes, message: str) -> None:
    with pytest.raises(HostError, match=message) as caught:
        read([content])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"/etc/passwd", "absolute path"),
        (b".//etc/passwd", "absolute path"),
        (b"./../raw/x", "'..' in the path"),
        (b"a/../../x", "'..' in the path"),
        (b"././a", "empty or '.' part in the path"),
        (b"a//b", "empty or '.' part in the path"),
        (b"a\nb", "control character in the name"),
        (b"\xff", "name is not UTF-8"),
        (b"x" * 4096, "name too long"),
        (b"d/" * 2047 + b"x", "name too long"),
    ],
)
def test_an_entry_with_an_unsafe_path_is_refused_and_counted(tmp_path: Path, path: bytes, reason: str) -> None:
    content = b"clock 1780000000\0f 1 1772712000.5 " + path + b"\0f 1 1772712000.5 good\0end 0\0"
    plan = make_plan(
        stream_of("/", ANYTHING, include=["**/*", "**/.*", "**/.*/**"]),
        [DAY],
        parse_listing(split_records([content]), Count()),
        tmp_path,
    )
    day = plan.days[DAY]
    assert [file.path for file in day.fetch] == ["good"]
    assert {reason: count.total for reason, count in day.refused.items()} == {reason: 1}


def test_a_nul_cannot_smuggle_an_end_into_a_listing() -> None:
    # A NUL in a name would only split the record in two.
    with pytest.raises(HostError, match="goes on after its end"):
        read([b"clock 1780000000\0f 1 1.0 a\0end 0\0b\0f 1 1.0 c\0end 0\0"])


def test_the_hosts_clock_is_the_listings_clock(tmp_path: Path) -> None:
    before = datetime.now(UTC).timestamp()
    clock = by_shell(tmp_path).clock_ns
    assert before - 1 <= clock / 1e9 <= datetime.now(UTC).timestamp()
    assert LocalSource(lambda: 42).list(str(tmp_path), []).clock_ns == 42


def test_files_deleted_during_a_listing_are_no_error(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "file").touch()

    def vanishing(found: Iterator[ListedEntry]) -> Iterator[ListedEntry]:
        for entry in found:
            yield entry
            shutil.rmtree(tmp_path / os.fsdecode(entry.path), ignore_errors=True)

    listing = LocalSource().list(str(tmp_path), [])
    assert len(list(vanishing(listing.entries))) >= 50
    assert listing.unreadable.total == 0


def test_complaints_of_find_are_counted_except_for_deleted_files() -> None:
    unreadable = Count()
    count_unreadable(b"find: './a': Permission denied\nfind: './b': No such file or directory\n\n", unreadable)
    assert (unreadable.total, unreadable.first) == (1, ["'./a': Permission denied"])


def test_other_output_of_a_login_shell_is_not_counted_as_a_complaint_of_find() -> None:
    unreadable = Count()
    noise = "Warning: quota is nearly used up\npyenv: cannot rehash\nfind: '/home/x': Permission denied\n"
    count_unreadable((noise + "find: ‘./x’: Permission denied\nfind: `./y': Input/output error\n").encode(), unreadable)
    assert unreadable.total == 2
    assert unreadable.first == ["‘./x’: Permission denied", "`./y': Input/output error"]
    many = Count()
    count_unreadable(noise.encode() * 2000 + b"find: './x': Permission denied", many)
    assert many.total == 1, "for any amount of other output"


def test_output_of_a_login_shell_does_not_change_a_listing(own_server: SshServer, source_root: Path) -> None:
    (source_root / "file").touch()
    answer_with(own_server, r"echo 'Warning: quota' >&2; eval \"$SSH_ORIGINAL_COMMAND\"")
    listing = Mirror(stream_of(source_root), own_server.directory, host_of(own_server)).source.list(
        str(source_root), []
    )
    assert b"file" in entries(listing)
    assert listing.unreadable.total == 0


@pytest.mark.parametrize("below", [[], ["day"]])
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_an_unreadable_root_is_an_error_and_no_empty_listing(
    source_root: Path, server: SshServer, tmp_path: Path, mode: int, below: list[str]
) -> None:
    (source_root / "root" / "day").mkdir(parents=True)
    (source_root / "root" / "day" / "file").touch()
    is_enough = mode == 0o111 and below  # a request by name does not need to read the directory
    (source_root / "root").chmod(mode)
    remote = Mirror(stream_of(source_root), tmp_path, host_of(server)).source
    for source, root in ((remote, "root"), (LocalSource(), "root"), (remote, "root/day"), (LocalSource(), "root/day")):
        if isinstance(source, LocalSource) or server.auth == "none":
            with without_rights() if isinstance(source, LocalSource) else nullcontext():
                if is_enough or (mode == 0o111 and root == "root/day" and not below):
                    assert entries(source.list(str(source_root / root), below if root == "root" else []))
                    continue
                with pytest.raises(HostRefusedError, match=r"root.* is not readable.*: Permission denied\. Let "):
                    entries(source.list(str(source_root / root), below))


@contextmanager
def without_rights() -> Iterator[None]:
    """Run the block as a user without root's rights; root reads everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_days_that_share_a_directory_are_listed_once(source_root: Path) -> None:
    # Some instruments keep a month in one directory: three days are one directory.
    stream = stream_of(source_root, day_dirs=["Y%Y/M%m"])
    days = [date(2026, 3, day) for day in (5, 6, 7)]
    assert directories_to_list(stream, days) == ["Y2026/M03"]
