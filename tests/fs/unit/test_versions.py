"""File versions: when two are the same, the entries of a scan, and the data versions of products on disk."""

import hashlib
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aurora_platform.fs.versions import DIRECTORY, FILE, OTHER, SYMLINK, FileVersion, ScannedEntry, data_version

SECOND = 10**9
SIZES, MTIMES = st.integers(0, 10**12), st.integers(10**18, 4 * 10**18)


@given(SIZES, MTIMES, st.sampled_from([100, 10**3, 10**6, SECOND]))
def test_a_copy_on_a_file_system_with_coarser_mtimes_is_the_same_version(size: int, mtime: int, step: int) -> None:
    original, copy = FileVersion(size, mtime), FileVersion(size, mtime // step * step)
    assert original.same_as(copy)
    assert copy.same_as(original)
    assert (original == copy) == (mtime % step == 0), "in one tree, every nanosecond counts"


@given(SIZES, SIZES, MTIMES, st.integers(2, 10**6))
def test_another_size_or_a_later_second_is_another_version(size: int, other: int, mtime: int, seconds: int) -> None:
    version = FileVersion(size, mtime)
    assert version.same_as(FileVersion(other, mtime)) == (size == other)
    assert not version.same_as(FileVersion(size, mtime + seconds * SECOND))


def test_a_scanned_entry_has_kind_and_version_and_follows_no_symlink(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    os.utime(tmp_path / "file", ns=(7, 1_700_000_000_123_456_789))
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    found = {path.name: ScannedEntry.of(path.name, path.lstat()) for path in tmp_path.iterdir()}
    assert {name: entry.kind for name, entry in found.items()} == {
        "file": FILE,
        "directory": DIRECTORY,
        "link": SYMLINK,
        "pipe": OTHER,
    }
    assert [name for name, entry in found.items() if entry.is_regular] == ["file"]
    assert found["file"].version == FileVersion(5, 1_700_000_000_123_456_789)
    assert found["file"].version == FileVersion.of((tmp_path / "file").stat())


def test_the_data_version_of_a_product_is_the_same_as_in_products_on_disk() -> None:
    files = [ScannedEntry("a b/ü", FileVersion(5, 7)), ScannedEntry("c", FileVersion(0, 1_700_000_000_123_456_789))]
    text = "raw/1\0a b/ü\x005\x007\0c\x000\x001700000000123456789"
    assert data_version("raw/1", files) == hashlib.sha256(text.encode()).hexdigest()


def test_entries_are_sorted_by_path_then_size_then_mtime() -> None:
    order = [("a", 1, 9), ("a", 2, 1), ("a", 2, 3), ("b", 0, 0)]
    entries = [ScannedEntry(path, FileVersion(size, mtime)) for path, size, mtime in order]
    assert sorted([*entries[2:], *entries[:2]]) == entries, "the order of inputs in a data version"
