"""Passes with the real rsync, local and over SSH: the copy equals the source, and no file is copied twice."""

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aurora_platform.errors import AuroraError, BusyError, HostError, TransferError
from aurora_platform.fs.versions import ScannedEntry, data_version
from aurora_platform.mirror.reports import MirrorReport
from aurora_platform.transport.listing import Listing
from aurora_platform.transport.openssh import openssh_command
from aurora_platform.transport.protocols import Source
from aurora_simulator import Report
from aurora_simulator.ssh_server import SshServer, make_readable
from tests.mirror.parts import (
    ANYTHING,
    CAMERA_FILES,
    ChangingSource,
    Mirror,
    RecordingSource,
    RecordingTransfer,
    adds_up,
    differences,
    host_of,
    left_over,
    not_in,
    stamps_by_path,
    stream_of,
    write,
)
from tests.patience import patient

few_examples = settings.get_profile("mirror")
IMAGE = "FISH/20260305/12/HDR_20260305_120000.jpg"


def source_of(mirror: Mirror) -> Path:
    return Path(mirror.stream.path)


def check_first_and_second_pass(mirror: Mirror, camera: tuple[Path, Report]) -> MirrorReport:
    root, simulated = camera
    first = mirror.run()
    assert differences(root, mirror.root, CAMERA_FILES) == []
    assert first.total("copied") == simulated.images + simulated.clips
    assert (first.unexpected, first.unsettled, first.total("refused_count")) == (simulated.others, 0, 0)
    assert first.total("bytes") == sum(path.stat().st_size for path in root.rglob("HDR_*"))
    assert adds_up(first)
    copies = {path for path in mirror.root.rglob("*") if path.is_file()}
    assert {p.stat().st_mtime_ns for p in copies} == {p.stat().st_mtime_ns for p in root.rglob("HDR_*")}
    before = stamps_by_path(mirror.raw)
    source, transfer = RecordingSource(mirror.source), RecordingTransfer(mirror.transfer)
    second = mirror.run(source=source, transfer=transfer)
    assert stamps_by_path(mirror.raw) == before, "same inode, mtime and ctime"
    assert (len(source.calls), transfer.paths) == (1, []), "it lists once and fetches nothing"
    assert (second.total("copied"), second.total("bytes")) == (0, 0)
    assert second.total("unchanged") == second.total("seen") == first.total("seen")
    assert [day.data_version for day in second.days] == [day.data_version for day in first.days]
    assert left_over(mirror.raw) == []
    return first


def test_a_local_camera_is_copied_whole_and_a_second_pass_does_nothing(
    local: Mirror, camera: tuple[Path, Report]
) -> None:
    report = check_first_and_second_pass(local, camera)
    files = [ScannedEntry.of(str(p.relative_to(local.root)), p.stat()) for p in local.root.rglob("HDR_*")]
    assert report.days[0].data_version == data_version("raw/1", sorted(files))


def test_a_camera_behind_ssh_is_copied_whole_and_a_second_pass_does_nothing(
    remote: Mirror, camera: tuple[Path, Report]
) -> None:
    check_first_and_second_pass(remote, camera)


def test_the_summary_line_for_the_operator(local: Mirror, camera: tuple[Path, Report]) -> None:
    report = local.run()
    size = sum(path.stat().st_size for path in camera[0].rglob("HDR_*"))
    assert 10_000 < size < 1_000_000
    counts, _, amount = report.summary().partition("; ")
    assert counts == "seen 16 = copied 16 + unchanged 0 + unsettled 0 + refused 0"
    written, seconds, rate, unit = re.fullmatch(r"(.*) in (.*) s \((.*) (kB|MB)/s\)", amount).groups()  # type: ignore[union-attr]
    assert (written, seconds) == (f"{size / 1000:.1f} kB", f"{report.seconds:.2f}")
    assert float(rate) * {"kB": 1e3, "MB": 1e6}[unit] == pytest.approx(size / report.seconds, rel=0.1)


def test_a_range_of_days_needs_one_listing_one_transfer_and_one_verifying_listing(
    source_root: Path, tmp_path: Path
) -> None:
    days = [date(2026, 2, 27) + timedelta(days=n) for n in range(5)]
    write(source_root, {f"FISH/{d:%Y%m%d}/00/HDR_{d:%Y%m%d}_00{m:02}00.jpg": b"x" for d in days for m in range(3)})
    mirror = Mirror(stream_of(source_root), tmp_path)
    source = RecordingSource(mirror.source)
    report = mirror.run(*days, source=source)
    listed, again = source.calls
    assert len(listed[1]) == 2 * 7, "five days and their two neighbours, of both cameras"
    assert len(again[1]) == 15, "only the fetched files"
    assert [(day.day, day.copied) for day in report.days] == [(day, 3) for day in days]
    assert len({day.data_version for day in report.days}) == 5
    assert differences(source_root, mirror.root) == []
    alone = mirror.run(days[2])
    assert alone.days[0].data_version == report.days[2].data_version, "a day is the same alone and in a range"


ODD = ["#hash.jpg", ";semi.jpg", "-dash.jpg", "--delete", "two words", " leading", "trailing ", "$HOME `id` $(id)", "'",
       '"', "back\\slash", "\\#012", "*", "?", "[a]", "{a,b}", "~", "þoka ☁", "a:b", "host:path", "+ x", "- x", "!",
       "a%b", "x" * 240, "dir #1/-f", "-d/;f", "a/b/c/d/e/f"]  # fmt: skip


def test_a_name_is_not_interpreted_by_rsync_or_a_shell(either: Mirror) -> None:
    source_root = source_of(either)
    write(source_root, {name: name.encode() for name in ODD})
    report = either.run()
    assert report.total("copied") == len(ODD), report.messages
    assert differences(source_root, either.root) == []
    assert either.run().total("unchanged") == len(ODD)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20
).filter(lambda name: name and not name.startswith(".") and not re.search(r"\\[][*?]", name))


@settings(few_examples, max_examples=15)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), min_size=1, max_size=12, unique=True))
@example(["# a", "; b", "-c", "--", "\\", "%", "*/*"])
def test_any_accepted_name_is_copied(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source_root = Path(directory) / "source"
        kept: dict[str, bytes] = {}
        for name in names:
            if not any(name.startswith(f"{other}/") or other.startswith(f"{name}/") for other in kept):
                kept[name] = name.encode()
        write(source_root, kept)
        mirror = Mirror(stream_of(source_root, ANYTHING), Path(directory) / "home")
        assert mirror.run().total("copied") == len(kept)
        assert differences(source_root, mirror.root) == []


@pytest.mark.parametrize("name", ["-ro ot'\"$HOME`id`;&#~\\n", "a*b", "a[b]", "a?b", "a\\*b"])
def test_a_source_path_is_not_interpreted_by_rsync_or_a_shell(
    key_server: SshServer, source_root: Path, tmp_path: Path, name: str
) -> None:
    root = source_root / name
    write(root, {"file": b"x"})
    for decoy in ("ab", "aXb", "axb"):
        write(source_root / decoy, {"file": b"what a wildcard would find"})
    for mirror in (
        Mirror(stream_of(root, ANYTHING), tmp_path / "one"),
        Mirror(stream_of(root, ANYTHING), tmp_path / "two", host_of(key_server)),
    ):
        assert mirror.run().total("copied") == 1
        assert differences(root, mirror.root) == []


def test_a_new_version_replaces_the_old_version_even_within_a_second(either: Mirror) -> None:
    source_root = source_of(either)
    write(source_root, {"a": b"one", "b": b"same"})
    either.run()
    kept = (either.root / "b").stat().st_ino
    os.utime(source_root / "a", ns=(0, (source_root / "a").stat().st_mtime_ns))
    (source_root / "a").write_bytes(b"two")  # as long as before
    before = (either.root / "a").stat().st_mtime_ns
    os.utime(source_root / "a", ns=(before + 1, before + 1))
    report = either.run()
    assert (report.total("copied"), report.total("unchanged")) == (1, 1)
    assert (either.root / "a").read_bytes() == b"two"
    assert (either.root / "b").stat().st_ino == kept
    assert differences(source_root, either.root) == []


def test_a_local_file_is_not_deleted_if_it_is_missing_at_the_source(either: Mirror) -> None:
    source_root = source_of(either)
    write(source_root, {"gone": b"x", "stays": b"y"})
    either.run()
    (source_root / "gone").unlink()
    report = either.run()
    assert (report.total("seen"), report.total("unchanged")) == (1, 1)
    assert (either.root / "gone").read_bytes() == b"x"


def test_a_file_recovered_late_with_an_old_mtime_is_copied(source_root: Path, tmp_path: Path) -> None:
    write(source_root, {IMAGE: b"x"})
    mirror = Mirror(stream_of(source_root), tmp_path)
    mirror.run()
    write(source_root, {"FISH/20260305/00/HDR_20260305_000000.jpg": b"late"}, at=datetime(2025, 1, 1, tzinfo=UTC))
    assert mirror.run().total("copied") == 1
    assert differences(source_root, mirror.root) == []


def test_a_file_deleted_after_the_listing_is_refused_and_the_rest_is_copied(either: Mirror) -> None:
    source_root = source_of(either)
    write(source_root, {"gone": b"x", "stays": b"y"})
    report = either.run(source=ChangingSource(either.source, (source_root / "gone").unlink))
    (day,) = report.days
    assert (day.seen, day.copied) == (2, 1)
    assert [(r, t.first) for r, t in day.refused.items()] == [
        ("not copied: deleted on the host, or not readable", ["gone"])
    ]
    assert adds_up(report)


def test_a_file_that_changes_after_the_listing_waits_for_the_next_pass(either: Mirror) -> None:
    source_root = source_of(either)
    write(source_root, {"grows": b"x", "stays": b"y"})
    report = either.run(source=ChangingSource(either.source, lambda: write(source_root, {"grows": b"xx"})))
    (day,) = report.days
    assert (day.copied, day.unsettled.first) == (1, ["grows"])
    assert adds_up(report)
    again = either.run()
    assert (again.total("copied"), again.total("unchanged")) == (1, 1), "the copy of the first pass was not kept"
    assert differences(source_root, either.root) == []


def test_a_file_that_becomes_a_symlink_after_the_listing_is_not_followed(either: Mirror, tmp_path: Path) -> None:
    source_root, secret = source_of(either), tmp_path / "secret"
    secret.write_text("not the instrument's")
    write(source_root, {"file": b"x", "in/file": b"y", "stays": b"z"})

    def swap() -> None:
        (source_root / "file").unlink()
        (source_root / "file").symlink_to(secret)

    report = either.run(source=ChangingSource(either.source, swap))
    assert (report.total("copied"), report.total("refused_count")) == (2, 1)
    assert not (either.root / "file").exists()


def test_a_file_that_may_not_be_read_does_not_stop_the_rest(
    server: SshServer, source_root: Path, tmp_path: Path
) -> None:
    if server.auth != "none":
        pytest.skip("root reads everything; the test needs the user without a key")
    write(source_root, {"closed": b"x", "in/open": b"y", "open": b"z"})
    make_readable(source_root / "in")
    (source_root / "closed").chmod(0)
    mirror = Mirror(stream_of(source_root, ANYTHING), tmp_path, host_of(server))
    report = mirror.run()
    (day,) = report.days
    assert (day.seen, day.copied) == (3, 2)
    assert [t.first for t in day.refused.values()] == [["closed"]]
    assert any("Permission denied" in line for line in report.messages)
    assert not_in(source_root, mirror.root) == []
    assert left_over(mirror.raw) == []


def test_copies_belong_to_whoever_runs_the_mirror_and_follow_the_umask(either: Mirror) -> None:
    source_root = source_of(either)
    write(source_root, {"in/set-id": b"x", "in/closed": b"y"})
    (source_root / "in/set-id").chmod(0o6777)
    (source_root / "in/closed").chmod(0o600)
    os.chown(source_root / "in/closed", 12345, 12345) if os.geteuid() == 0 else None
    umask = os.umask(0o027)
    try:
        either.run()
    finally:
        os.umask(umask)
    for path, mode in (("in", 0o750), ("in/set-id", 0o640), ("in/closed", 0o640)):
        status = (either.root / path).stat()
        assert (status.st_mode & 0o7777, status.st_uid) == (mode, os.geteuid())


class SlowSource:
    """A slow real source that records when a listing begins and ends."""

    def __init__(self, source: Source, notes: Path) -> None:
        self.source = source
        self.notes = notes

    def note(self, event: str) -> None:
        with self.notes.open("a") as file:
            file.write(f"{event} {os.getpid()}\n")

    def list(self, root: str, below: Sequence[str]) -> Listing:
        self.note("in")
        time.sleep(0.1)
        listing = self.source.list(root, below)
        entries = list(listing.entries)
        time.sleep(0.1)
        self.note("out")
        return replace(listing, entries=iter(entries))


def test_two_runs_on_one_stream_never_overlap(local: Mirror, tmp_path: Path) -> None:
    source = SlowSource(local.source, tmp_path / "notes")
    processes = [get_context("fork").Process(target=local.run, kwargs={"source": source}) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(patient(60))
    assert [process.exitcode for process in processes] == [0, 0, 0]
    notes = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    assert [event for event, _ in notes] == ["in", "out"] * 4, "the first lists again what it has fetched"
    runs = [process for _, process in notes]
    assert runs[:4] == runs[:1] * 4
    assert [runs[4], runs[6]] == [runs[5], runs[7]]


def test_a_second_run_gives_up_after_its_wait_and_names_the_lock(local: Mirror) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        leave.wait(patient(120))

    first = threading.Thread(target=local.run, kwargs={"source": ChangingSource(local.source, hold)})
    first.start()
    try:
        assert entered.wait(patient(60))
        with pytest.raises(BusyError, match=r"mirror\.wxcam: another run still works on this.*fuser"):
            local.run(wait=0.1)
    finally:
        leave.set()
        first.join()


def test_a_host_that_is_down_changes_no_local_file(own_server: SshServer, source_root: Path, tmp_path: Path) -> None:
    write(source_root, {IMAGE: b"x"})
    mirror = Mirror(stream_of(source_root), tmp_path, host_of(own_server))
    mirror.run()
    before = stamps_by_path(mirror.raw)
    own_server.stop()
    with pytest.raises(HostError):
        mirror.run()
    assert stamps_by_path(mirror.raw) == before
    own_server.start()
    assert mirror.run().total("unchanged") == 1


def is_one_line(error: AuroraError) -> bool:
    return "\n" not in str(error) and len(str(error)) < 600


def test_a_changed_host_key_is_refused_by_the_listing(own_server: SshServer, source_root: Path, tmp_path: Path) -> None:
    write(source_root, {IMAGE: b"x"})
    mirror = Mirror(stream_of(source_root), tmp_path, host_of(own_server))
    mirror.run()
    host_keys = (tmp_path / "state/known_hosts").read_text()
    own_server.rotate_host_key()
    with pytest.raises(
        HostError, match=r"127\.0\.0\.2:\d+: the host key has CHANGED; refused.*remove its line"
    ) as caught:
        mirror.run()
    assert is_one_line(caught.value)
    assert (tmp_path / "state/known_hosts").read_text() == host_keys


def test_a_host_key_that_changes_after_the_listing_is_refused_by_the_transfer(
    own_server: SshServer, source_root: Path, tmp_path: Path
) -> None:
    write(source_root, {IMAGE: b"x"})
    mirror = Mirror(stream_of(source_root), tmp_path, host_of(own_server))
    with pytest.raises(TransferError, match=r"Host key verification failed") as caught:
        mirror.run(source=ChangingSource(mirror.source, own_server.rotate_host_key))
    assert is_one_line(caught.value)
    assert not (mirror.root / IMAGE).exists()


def test_a_host_that_goes_down_after_the_listing_is_one_clear_error(
    own_server: SshServer, source_root: Path, tmp_path: Path
) -> None:
    write(source_root, {IMAGE: b"x"})
    mirror = Mirror(stream_of(source_root), tmp_path, host_of(own_server))
    with pytest.raises(TransferError, match=r"rsync ended with (255|12) \(.*Connection refused") as caught:
        mirror.run(source=ChangingSource(mirror.source, own_server.stop))
    assert is_one_line(caught.value)


def test_a_new_host_key_is_stored_for_both_ssh_clients(server: SshServer, source_root: Path, tmp_path: Path) -> None:
    make_readable(source_root)
    mirror = Mirror(stream_of(source_root), tmp_path, host_of(server))
    known_hosts = tmp_path / "state" / "known_hosts"
    public = server.host_key.with_suffix(".pub").read_text().split()[1]
    mirror.run()  # Paramiko accepts it
    assert public in known_hosts.read_text()
    strict = [
        *openssh_command(host_of(server), mirror.connections.bounds),
        "-o",
        "StrictHostKeyChecking=yes",
        server.address,
        "echo ok",
    ]
    strict = [part.replace("StrictHostKeyChecking=accept-new", "StrictHostKeyChecking=yes") for part in strict]
    assert subprocess.run(strict, capture_output=True, text=True, check=False).stdout == "ok\n"
    known_hosts.unlink()
    accepting = [
        *openssh_command(host_of(server), mirror.connections.bounds),
        server.address,
        "echo ok",
    ]  # OpenSSH accepts it
    assert subprocess.run(accepting, capture_output=True, text=True, check=False).stdout == "ok\n"
    lines = known_hosts.read_text()
    assert lines.count(public) == 1
    mirror.run()
    assert known_hosts.read_text() == lines, "Paramiko found the key"
