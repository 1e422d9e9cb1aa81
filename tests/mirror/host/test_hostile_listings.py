"""Hostile listings: nothing is written outside of the stream's raw directory, and each hostile entry is counted."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.transport.listing import ListedEntry, Listing
from tests.mirror.parts import SETTLED, ChangingSource, Mirror, adds_up, left_over, write

MTIME = int(SETTLED.timestamp()) * 10**9
CLOCK = MTIME + 86_400 * 10**9
LONGEST = b"n" * 4096
# Listed path -> the reason of its refusal.
HOSTILE_PATHS = {
    b"/etc/passwd": "absolute path",
    b"//etc/passwd": "absolute path",
    b"../OUTSIDE/file": "'..' in the path",
    b"in/../../OUTSIDE/file": "'..' in the path",
    b"in/..": "'..' in the path",
    b"in//file": "empty or '.' part in the path",
    b"in/./file": "empty or '.' part in the path",
    LONGEST: "name too long",
    b"d/" * 600 + b"file": "name too long",
    b"\xff\xfe": "name is not UTF-8",
    b"in/\xc3(": "name is not UTF-8",
    b"new\nline": "control character in the name",
    b"tab\t": "control character in the name",
    b"\x1b[31mred": "control character in the name",
    b"in/\\*": "backslash before a wildcard in the name",
}
LINKS = {b"passwd": "symlink", b"etc": "symlink"}


class HostileSource:
    """A source with the same hostile entries in every listing."""

    def __init__(self, entries: Sequence[ListedEntry]) -> None:
        self.entries = entries

    def list(self, root: str, below: Sequence[str]) -> Listing:
        return Listing(CLOCK, (entry for entry in self.entries))


def snapshot_around(mirror: Mirror, source_root: Path) -> dict[str, tuple[int, ...]]:
    """All files outside of the stream's raw directory, local and remote, without locks and the work directory."""
    own = (mirror.root, mirror.locks, mirror.raw / ".incoming")
    found = {}
    for top in (mirror.home, Path(f"{source_root}.outside")):
        for path in top.rglob("*"):
            if not any(path.is_relative_to(root) for root in own) and path != mirror.home and path != mirror.raw:
                status = path.lstat()
                found[str(path)] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
    return {path: stamps for path, stamps in found.items() if "/state" not in path}


def plain_files(mirror: Mirror) -> set[str]:
    """The files in the raw directory; it may hold only directories and regular files."""
    found = [path for path in mirror.root.rglob("*") if not path.is_dir() or path.is_symlink()]
    assert all(path.is_file() and not path.is_symlink() for path in found)
    return {str(path.relative_to(mirror.root)) for path in found}


def refused(report: object) -> dict[str, int]:
    (day,) = report.days  # type: ignore[attr-defined]
    return {reason: count.total for reason, count in day.refused.items()}


def counted(reasons: Sequence[str]) -> dict[str, int]:
    return {reason: reasons.count(reason) for reason in reasons}


def test_every_hostile_entry_is_refused_by_name_and_writes_nothing_elsewhere(either: Mirror) -> None:
    source_root = Path(either.stream.path)
    neighbour = either.raw / "other/file"
    write(source_root, {"good": b"x", "in/file": b"y"})
    outside = Path(f"{source_root}.outside")
    write(outside, {"file": b"the target of a path with .."})
    write(neighbour.parent, {"file": b"another stream's"})
    before = snapshot_around(either, source_root)
    listed = [
        ScannedEntry(name.encode(), FileVersion(1, (source_root / name).stat().st_mtime_ns))
        for name in ("good", "in/file")
    ]
    listed += [
        ScannedEntry(path.replace(b"OUTSIDE", outside.name.encode()), FileVersion(7, MTIME)) for path in HOSTILE_PATHS
    ]
    listed += [ScannedEntry(path, FileVersion(11, MTIME), "l") for path in LINKS]
    listed += [ScannedEntry(b"less than nothing", FileVersion(-1, MTIME))]
    listed += [ScannedEntry(b"not yet written", FileVersion(1, CLOCK * 2))]
    report = either.run(source=HostileSource(listed))
    assert refused(report) == counted([*HOSTILE_PATHS.values(), *LINKS.values()]) | {"impossible size or mtime": 2}
    assert adds_up(report)
    assert report.total("copied") == 2
    (day,) = report.days
    assert all(
        count.first and all(n.isprintable() and len(n) <= 200 for n in count.first) for count in day.refused.values()
    )
    assert snapshot_around(either, source_root) == before
    assert plain_files(either) == {"good", "in/file"}
    assert left_over(either.raw) == []
    shutil.rmtree(outside)


def test_a_real_host_with_odd_names_and_links_gives_plain_files_and_counted_refusals(either: Mirror) -> None:
    source_root = Path(either.stream.path)
    write(source_root, {"good": b"x", "new\nline": b"1", "tab\t": b"2", "n" * 255: b"3", "in/good": b"y"})
    write(source_root, {"/".join(["d" * 200] * 6): b"4"})
    with open(os.fsencode(source_root) + b"/\xff\xfe", "wb") as file:
        file.write(b"5")
    os.utime(os.fsencode(source_root) + b"/\xff\xfe", ns=(MTIME, MTIME))
    for name, target in (("passwd", "/etc/passwd"), ("etc", "/etc"), ("up", ".."), ("loop", "loop")):
        (source_root / name).symlink_to(target)
        os.utime(source_root / name, ns=(MTIME, MTIME), follow_symlinks=False)
    before = snapshot_around(either, source_root)
    report = either.run()
    assert refused(report) == {
        "control character in the name": 2,
        "name too long": 2,
        "name is not UTF-8": 1,
        "symlink": 4,
    }
    assert adds_up(report)
    assert plain_files(either) == {"good", "in/good"}
    assert snapshot_around(either, source_root) == before


@pytest.mark.parametrize("is_directory", [False, True], ids=["file", "directory"])
def test_a_file_that_becomes_a_link_to_etc_after_the_listing_is_not_followed(
    either: Mirror, is_directory: bool
) -> None:
    source_root = Path(either.stream.path)
    write(source_root, {"in/passwd": b"x", "stays": b"z"})

    def swap() -> None:
        (source_root / "in/passwd").unlink()
        if is_directory:
            (source_root / "in").rmdir()
            (source_root / "in").symlink_to("/etc")
        else:
            (source_root / "in/passwd").symlink_to("/etc/passwd")

    before = snapshot_around(either, source_root)
    report = either.run(source=ChangingSource(either.source, swap))
    (day,) = report.days
    assert (report.total("copied"), day.unsettled.total + day.refused_count) == (1, 1)
    assert adds_up(report)
    assert plain_files(either) == {"stays"}
    assert snapshot_around(either, source_root) == before
