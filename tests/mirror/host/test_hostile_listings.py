"""A host whose listing lies: nothing is written outside of the stream's raw directory, and each lie is counted."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.transport.listing import ListedEntry, Listing
from tests.mirror.parts import SETTLED, Meanwhile, Mirror, adds_up, left_over, write

MTIME = int(SETTLED.timestamp()) * 10**9
CLOCK = MTIME + 86_400 * 10**9
LONGEST = b"n" * 4096
# What a listing says, and why it is refused.
LIES = {
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


class Liar:
    """A source that says the same lies whenever it is asked."""

    def __init__(self, entries: Sequence[ListedEntry]) -> None:
        self.entries = entries

    def list(self, root: str, below: Sequence[str]) -> Listing:
        return Listing(CLOCK, (entry for entry in self.entries))


def around(mirror: Mirror, far: Path) -> dict[str, tuple[int, ...]]:
    """All that lies around the stream's raw directory, here and there, but for locks and the work directory."""
    ours = (mirror.root, mirror.locks, mirror.raw / ".incoming")
    found = {}
    for top in (mirror.home, Path(f"{far}.outside")):
        for path in top.rglob("*"):
            if not any(path.is_relative_to(own) for own in ours) and path != mirror.home and path != mirror.raw:
                status = path.lstat()
                found[str(path)] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
    return {path: stamps for path, stamps in found.items() if "/state" not in path}


def plain_files(mirror: Mirror) -> set[str]:
    """What lies in the raw directory; only directories and regular files may."""
    found = [path for path in mirror.root.rglob("*") if not path.is_dir() or path.is_symlink()]
    assert all(path.is_file() and not path.is_symlink() for path in found)
    return {str(path.relative_to(mirror.root)) for path in found}


def refused(report: object) -> dict[str, int]:
    (day,) = report.days  # type: ignore[attr-defined]
    return {reason: count.total for reason, count in day.refused.items()}


def counted(reasons: Sequence[str]) -> dict[str, int]:
    return {reason: reasons.count(reason) for reason in reasons}


def test_every_lie_of_a_listing_is_refused_by_name_and_writes_nothing_elsewhere(either: Mirror) -> None:
    far = Path(either.stream.path)
    neighbour = either.raw / "other/file"
    write(far, {"good": b"x", "in/file": b"y"})
    outside = Path(f"{far}.outside")
    write(outside, {"file": b"what .. would find"})
    write(neighbour.parent, {"file": b"another stream's"})
    before = around(either, far)
    said = [
        ScannedEntry(name.encode(), FileVersion(1, (far / name).stat().st_mtime_ns)) for name in ("good", "in/file")
    ]
    said += [ScannedEntry(path.replace(b"OUTSIDE", outside.name.encode()), FileVersion(7, MTIME)) for path in LIES]
    said += [ScannedEntry(path, FileVersion(11, MTIME), "l") for path in LINKS]
    said += [ScannedEntry(b"less than nothing", FileVersion(-1, MTIME))]
    said += [ScannedEntry(b"not yet written", FileVersion(1, CLOCK * 2))]
    report = either.run(source=Liar(said))
    assert refused(report) == counted([*LIES.values(), *LINKS.values()]) | {"impossible size or mtime": 2}
    assert adds_up(report)
    assert report.total("copied") == 2
    (day,) = report.days
    assert all(
        count.first and all(n.isprintable() and len(n) <= 200 for n in count.first) for count in day.refused.values()
    )
    assert around(either, far) == before
    assert plain_files(either) == {"good", "in/file"}
    assert left_over(either.raw) == []
    shutil.rmtree(outside)


def test_a_real_host_with_odd_names_and_links_gives_plain_files_and_counted_refusals(either: Mirror) -> None:
    far = Path(either.stream.path)
    write(far, {"good": b"x", "new\nline": b"1", "tab\t": b"2", "n" * 255: b"3", "in/good": b"y"})
    write(far, {"/".join(["d" * 200] * 6): b"4"})
    with open(os.fsencode(far) + b"/\xff\xfe", "wb") as file:
        file.write(b"5")
    os.utime(os.fsencode(far) + b"/\xff\xfe", ns=(MTIME, MTIME))
    for name, target in (("passwd", "/etc/passwd"), ("etc", "/etc"), ("up", ".."), ("loop", "loop")):
        (far / name).symlink_to(target)
        os.utime(far / name, ns=(MTIME, MTIME), follow_symlinks=False)
    before = around(either, far)
    report = either.run()
    assert refused(report) == {
        "control character in the name": 2,
        "name too long": 2,
        "name is not UTF-8": 1,
        "symlink": 4,
    }
    assert adds_up(report)
    assert plain_files(either) == {"good", "in/good"}
    assert around(either, far) == before


@pytest.mark.parametrize("is_directory", [False, True], ids=["file", "directory"])
def test_what_becomes_a_link_to_etc_after_the_listing_brings_no_link_and_nothing_of_etc(
    either: Mirror, is_directory: bool
) -> None:
    far = Path(either.stream.path)
    write(far, {"in/passwd": b"x", "stays": b"z"})

    def swap() -> None:
        (far / "in/passwd").unlink()
        if is_directory:
            (far / "in").rmdir()
            (far / "in").symlink_to("/etc")
        else:
            (far / "in/passwd").symlink_to("/etc/passwd")

    before = around(either, far)
    report = either.run(source=Meanwhile(either.source, swap))
    (day,) = report.days
    assert (report.total("copied"), day.unsettled.total + day.refused_count) == (1, 1)
    assert adds_up(report)
    assert plain_files(either) == {"stays"}
    assert around(either, far) == before
