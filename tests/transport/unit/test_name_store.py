"""A local directory that did not change is not read again, and no file in it is overlooked."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.layout import listings_directory, open_state
from aurora_platform.transport.listing import LocalSource, matching, parts_of
from aurora_platform.transport.name_store import NameStore
from tests.directory_readings import pass_a_clock_tick, readings

SECOND = 10**9
NAMED = ["*_20260305_*", "*_20260306_*"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A flat directory with files of three days, and the state directory beside it."""
    open_state(tmp_path / "state")
    root = tmp_path / "flat"
    root.mkdir()
    for day in (4, 5, 6):
        for hour in range(3):
            (root / f"met_2026030{day}_{hour:02d}.dat").write_bytes(b"x")
    pass_a_clock_tick()
    return root


def later_ns(seconds: float = 10) -> Callable[[], int]:
    """A clock that is ahead: what changed just now has been quiet for this long."""
    return lambda: time.time_ns() + int(seconds * SECOND)


LATER = later_ns()


def store_of(root: Path, clock_ns: Callable[[], int] = LATER, is_writable: bool = True) -> NameStore:
    return NameStore(root.parent / "state", is_writable, clock_ns)


def entries(root: Path, store: NameStore | None = None, named: Sequence[str] = NAMED) -> dict[str, tuple[Any, ...]]:
    """List a directory twice if it has a store, with the store and without it: both must be equal."""
    found = {entry.path: entry for entry in LocalSource(store=store).list(str(root), [], named=named).entries}
    assert found == {entry.path: entry for entry in LocalSource().list(str(root), [], named=named).entries}
    return {os.fsdecode(path): (entry.kind, *entry.version) for path, entry in found.items()}


def listed(root: Path, store: NameStore | None, named: Sequence[str] = NAMED) -> list[str]:
    """List a directory once; return the names."""
    return sorted(
        os.fsdecode(entry.path) for entry in LocalSource(store=store).list(str(root), [], named=named).entries
    )


LIVE = [f"met_2026030{day}_{hour:02d}.dat" for day in (5, 6) for hour in range(3)]


def test_a_directory_that_did_not_change_is_read_once_by_all_its_readers(root: Path) -> None:
    with readings(root) as read:
        for _ in range(3):
            assert listed(root, store_of(root)) == LIVE
        assert listed(root, store_of(root, is_writable=False)) == LIVE
    assert read == ["."]


def test_only_the_names_of_the_days_are_stored(root: Path) -> None:
    listed(root, store_of(root))
    (file,) = listings_directory(root.parent / "state").iterdir()
    (record,) = json.loads(file.read_bytes())["records"]
    assert sorted(record["names"]) == LIVE
    assert record["directories"] == []


def add(root: Path) -> None:
    (root / "met_20260306_23.dat").write_bytes(b"new")


def replace(root: Path) -> None:
    (root / ".new").write_bytes(b"another version")
    os.replace(root / ".new", root / LIVE[0])


def replace_with_the_same_mtime(root: Path) -> None:
    before = (root / LIVE[0]).stat().st_mtime_ns
    replace(root)
    os.utime(root / LIVE[0], ns=(before, before))


def grow(root: Path) -> None:
    with (root / LIVE[0]).open("ab") as file:
        file.write(b" grown")


def touch(root: Path) -> None:
    os.utime(root / LIVE[0], ns=(SECOND, SECOND))


def delete(root: Path) -> None:
    (root / LIVE[0]).unlink()


def rename(root: Path) -> None:
    (root / "met_20260304_00.dat").rename(root / "met_20260306_22.dat")


def make_a_symlink(root: Path) -> None:
    (root / "any").symlink_to(LIVE[0])


def make_a_directory_of_the_name(root: Path) -> None:
    (root / LIVE[0]).unlink()
    (root / LIVE[0]).mkdir()


def add_below(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "met_20260305_77.dat").write_bytes(b"x")


def make_another_directory(root: Path) -> None:
    root.rename(root.with_name("old"))
    root.mkdir()


def set_the_directory_back(root: Path) -> None:
    """As rsync sets the mtimes of directories."""
    before = root.stat().st_mtime_ns
    add(root)
    os.utime(root, ns=(before, before))


CHANGES = [add, replace, replace_with_the_same_mtime, grow, touch, delete, rename, make_a_symlink]
CHANGES += [make_a_directory_of_the_name, add_below, make_another_directory, set_the_directory_back]
IN_PLACE = {grow, touch}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_of_a_file_is_seen_by_the_next_listing(root: Path, change: Callable[[Path], None]) -> None:
    before = entries(root, store_of(root))
    change(root)
    with readings(root) as read:
        listed(root, store_of(root))
    assert (read == []) == (change in IN_PLACE), "a file that is written in place changes no directory"
    assert entries(root, store_of(root)) != before


def test_a_change_in_a_subdirectory_is_seen_though_the_root_is_not_read(root: Path) -> None:
    add_below(root)
    pass_a_clock_tick()
    listed(root, store_of(root))
    (root / "sub" / "met_20260305_78.dat").write_bytes(b"x")
    with readings(root) as read:
        found = listed(root, store_of(root))
    assert found == [*LIVE, "sub/met_20260305_77.dat", "sub/met_20260305_78.dat"]
    assert read == ["sub"]


def test_a_directory_that_changed_just_before_it_was_read_is_read_again(root: Path) -> None:
    """Two changes in this time may have the same mtime."""
    changed = max(root.stat().st_mtime_ns, root.stat().st_ctime_ns)
    for age, times in ((0, 2), (2.9, 2), (3.1, 1)):
        with readings(root) as read:
            for _ in range(2):
                listed(root, store_of(root, lambda age=age: changed + int(age * SECOND)))
        assert len(read) == times, age


@pytest.mark.parametrize("seconds", [-1, 601, -86_400, 86_400])
def test_names_that_were_read_ten_minutes_ago_or_in_the_future_are_not_used(root: Path, seconds: int) -> None:
    """So a clock that was set, of this machine or of a file server, hides no file for longer than ten minutes."""
    now = time.time_ns() + 10**6 * SECOND
    listed(root, store_of(root, lambda: now))
    with readings(root) as read:
        listed(root, store_of(root, lambda: now + seconds * SECOND))
    assert read == ["."]


def test_two_streams_in_one_directory_and_another_day_have_their_own_names(root: Path) -> None:
    with readings(root) as read:
        for named in (NAMED, ["met_*_00.dat"], NAMED, ["met_*_00.dat"], ["*_20260304_*"], NAMED):
            expected = sorted(name for name in os.listdir(root) if matching(named).fullmatch(name.encode()))
            assert listed(root, store_of(root), named) == expected
    assert len(read) - 6 == 3, "six are of this test"


def test_at_most_four_sets_of_names_are_stored_per_directory(root: Path) -> None:
    for number in range(9):
        listed(root, store_of(root, later_ns(10 + number)), [f"*_2026030{number}_*"])
    (file,) = listings_directory(root.parent / "state").iterdir()
    assert [record["named"] for record in json.loads(file.read_bytes())["records"]] == [
        [f"*_2026030{number}_*"] for number in (8, 7, 6, 5)
    ]


DAMAGED = ["", "{", "[]", "null", '{"format": 1}', '{"format": 2, "records": []}', "[" * 10**5, "\0" * 100]


def _damaged(content: dict[str, Any]) -> list[dict[str, Any]]:
    (record,) = content["records"]
    values: list[tuple[str, Any]] = [("names", ["../secret"]), ("names", ["a/b"]), ("names", [".."]), ("names", [""])]
    values += [("names", [7]), ("names", None), ("directories", ["/"]), ("stamp", [1]), ("stamp", "abcd")]
    values += [("read_ns", "now"), ("named", 5), ("names", ["a\0b"])]
    return [content | {"records": [record | {key: value}]} for key, value in values] + [
        content | {"root": "/elsewhere"},
        content | {"records": 1},
    ]


def test_a_missing_or_damaged_store_means_that_the_directory_is_read(root: Path) -> None:
    listed(root, store_of(root))
    (file,) = listings_directory(root.parent / "state").iterdir()
    content = json.loads(file.read_bytes())
    for damaged in [*DAMAGED, *map(json.dumps, _damaged(content))]:
        file.write_text(damaged)
        with readings(root) as read:
            assert listed(root, store_of(root, is_writable=False)) == LIVE, damaged[:80]
        assert read == ["."], damaged[:80]
    file.unlink()
    file.mkdir()
    assert listed(root, store_of(root)) == LIVE


def test_nothing_is_written_without_permission_to_write_or_in_the_state_of_another_version(root: Path) -> None:
    state = root.parent / "state"
    listed(root, store_of(root, is_writable=False))
    assert not listings_directory(state).exists()
    for layout in ('{"layout": 7}', "damaged"):
        (state / "layout.json").write_text(layout)
        assert listed(root, store_of(root)) == LIVE
        assert not listings_directory(state).exists()
    (state / "layout.json").unlink()
    assert listed(root, store_of(root)) == LIVE
    assert not listings_directory(state).exists()


def test_what_a_killed_process_left_is_removed_when_names_are_stored_again(root: Path) -> None:
    listed(root, store_of(root))
    (file,) = listings_directory(root.parent / "state").iterdir()
    left, staged = file.with_name(f".{file.name}.left"), file.with_name(f".{file.name}.now")
    for path in (left, staged):
        path.touch()
    os.utime(left, (time.time() - 61,) * 2)
    listed(root, store_of(root), ["another"])
    assert sorted(file.parent.iterdir()) == [staged, file]


def test_a_listing_that_is_not_read_to_its_end_stores_nothing(root: Path) -> None:
    listing = LocalSource(store=store_of(root)).list(str(root), [], named=NAMED)
    next(listing.entries)
    listing.entries.close()
    assert not listings_directory(root.parent / "state").exists()


def test_names_that_are_no_text_are_stored_as_they_are(root: Path) -> None:
    odd = [b"\xff_20260305_\n", "þ_20260305_".encode(), b"_20260305_\\x"]
    for name in odd:
        (root / os.fsdecode(name)).touch()
    listed(root, store_of(root))
    with readings(root) as read:
        assert set(odd) < {os.fsencode(name) for name in listed(root, store_of(root))}
    assert read == []


@pytest.mark.parametrize("named", [["*_20260305_*", "*_20260306_*"], ["a?b"], ["*"], ["?"], ["[x]*"], ["*a*bc*"]])
def test_a_name_without_the_parts_of_a_pattern_does_not_match_it(named: list[str]) -> None:
    names = [b"met_20260305_1", b"met_20260307_1", b"a\nb", b"[x]", b"x", b"abc", b"ab", b"1a2bc3", b""]
    matched = [name for name in names if matching(named).fullmatch(name)]
    assert set(matched) <= {name for name in names if parts_of(named).search(name)}
