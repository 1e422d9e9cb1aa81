"""Streams with day_names in one flat directory: a scan of a day costs that day's files, and no file is overlooked."""

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aurora_platform.config.site import load_site
from aurora_platform.mirror.scan import scan, scan_outside
from aurora_platform.streams.classify import Directories
from aurora_platform.transport.listing import FILE, LocalSource, matching, remote_command
from aurora_simulator.ssh_server import SshServer
from tests.mirror.host.test_listing import NAMES, by_find, by_shell
from tests.mirror.parts import DAY, FLAT, Mirror, entries, host_of, stream_of, write

patient = settings.get_profile("mirror")
ROOT = Path(__file__).parents[3]
ONE_DAY = timedelta(days=1)


def flat(source_root: Path, reach: int = 40) -> list[str]:
    """Write a file per day around DAY."""
    names = [f"met_{DAY + n * ONE_DAY:%Y%m%d}_00.dat" for n in range(-reach, 3)]
    write(source_root, dict.fromkeys(names, b"x"))
    return names


@pytest.mark.parametrize("way", ["local", "remote"])
def test_only_files_of_the_days_and_their_neighbour_days_are_listed(
    source_root: Path, tmp_path: Path, server: SshServer, way: str
) -> None:
    names = flat(source_root)
    (source_root / "old").mkdir()
    write(source_root / "old", {"copy_20260305_.dat": b"x", "copy_20260201_.dat": b"x"})
    stream = stream_of(source_root, FLAT)
    mirror = Mirror(stream, tmp_path, host_of(server)) if way == "remote" else Mirror(stream, tmp_path)
    listing = Directories(stream, [DAY]).list_source(mirror.source, stream.path)
    found = entries(listing)
    assert {os.fsdecode(path) for path in found} == {*names[-4:-1], "old/copy_20260305_.dat"}
    expected = by_find(source_root)
    assert found == {path: expected[path] for path in found}
    report = mirror.run(DAY)
    assert (report.total("seen"), report.total("copied"), report.total("bytes")) == (1, 1, 1)
    survey = mirror.scan(DAY)
    assert survey.files == 3
    assert (survey.days[DAY].seen, survey.behind) == (1, [])


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_remote_listing_makes_no_stat_of_a_file_of_another_day(source_root: Path) -> None:
    names = flat(source_root)
    command = remote_command(str(source_root), [], named=Directories(stream_of(source_root, FLAT), [DAY]).name_patterns)
    trace = ["strace", "--follow-forks", "--trace=%file", "--string-limit=200"]
    done = subprocess.run([*trace, *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"strace may not trace on this machine: {done.stderr[-200:]}")
    asked = [name for name in names if f'"{name}"' in done.stderr or f'/{name}"' in done.stderr]
    assert asked == names[-4:-1]


def test_a_local_listing_makes_no_stat_of_a_file_of_another_day(
    source_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, asked = flat(source_root), []

    class Item:
        """A directory entry that records each stat."""

        def __init__(self, item: os.DirEntry[bytes]) -> None:
            self.item, self.name = item, item.name
            self.is_dir, self.is_file, self.is_symlink = item.is_dir, item.is_file, item.is_symlink

        def stat(self, **how: Any) -> os.stat_result:
            asked.append(os.fsdecode(self.name))
            return self.item.stat(**how)

    class Scan:
        def __init__(self, path: Any) -> None:
            self.found = scandir(path)

        def __enter__(self) -> Any:
            return map(Item, self.found)

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            self.found.close()

    scandir = os.scandir
    stream = stream_of(source_root, FLAT)
    with monkeypatch.context() as patch:
        patch.setattr("aurora_platform.transport.listing.os.scandir", Scan)
        list(Directories(stream, [DAY]).list_source(LocalSource(), stream.path).entries)
    assert sorted(asked) == names[-4:-1]


ODD = st.sampled_from(["*", "?", "a*", "[a-z]", "\\*", "[!a]?", "*[", "-name", "!", ")"])
PATTERNS = st.lists(NAMES | ODD, min_size=1, max_size=3)


@settings(patient)
@given(names=st.lists(NAMES, min_size=1, max_size=5, unique=True), named=PATTERNS)
@example(names=["[a-z]", "a", "\\", "\\x", "*"], named=["[a-z]", "\\*"])
@example(names=["scan[1]_x", "scan1_x"], named=["scan[1]_?"])
@example(names=["-name", "$(id)", "a\nb"], named=["-name", "$(id)", "a?b"])
@example(names=["þ", "x"], named=["?"])
def test_find_and_the_local_walk_match_the_same_names(names: list[str], named: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for name in names:
            (place / name).touch()
        (place / "..link").symlink_to("nowhere")
        from_find = {path for path in entries(by_shell(place, named=named)) if path != b"."}
        from_walk = set(entries(LocalSource().list(directory, [], named=named)))
    # An independent check: fnmatch on bytes, with all other characters in brackets.
    rules = [b"".join(bytes([c]) if c in b"*?" else b"[" + bytes([c]) + b"]" for c in os.fsencode(p)) for p in named]
    rules = [rule.replace(b"[!]", b"!").replace(b"[^]", b"^") for rule in rules]
    expected = {os.fsencode(name) for name in names if any(fnmatchcase(os.fsencode(name), rule) for rule in rules)}
    assert from_find == from_walk == expected | {b"..link"}


@settings(patient)
@given(
    st.lists(st.tuples(st.sampled_from(["met_%Y%m%d_.dat", "met_%Y%m%d.dat", "met_%Y%m%d_.txt", "no day %j.dat"]),
                       st.dates(DAY - 20 * ONE_DAY, DAY + 20 * ONE_DAY), st.booleans()), unique_by=lambda x: x[:2]),
)  # fmt: skip
def test_scan_and_scan_outside_refuse_what_a_scan_of_the_whole_source_refuses(
    content: list[tuple[str, date, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source_root = Path(directory, "source")
        source_root.mkdir()
        for template, day, is_link in content:
            path = source_root / f"{day:{template}}"
            path.symlink_to("nowhere") if is_link else write(source_root, {path.name: b"x"})
        clock = LocalSource(lambda: int(datetime(2026, 3, 9, tzinfo=UTC).timestamp()) * 10**9)
        stream, days = stream_of(source_root, FLAT), [DAY - ONE_DAY, DAY]
        surveyed = scan(stream, clock, Path(directory, "local"), days)
        outside = scan_outside(stream, clock, Path(directory, "local"), days)
        whole = scan(stream.model_copy(update={"start": date.min}), clock, Path(directory, "local"), None)
    assert surveyed.refusals + outside.refusals == whole.refusals
    for day in days:
        missing = getattr(whole.days.get(day), "missing", 0)
        assert getattr(surveyed.days[day], "missing", None) == missing


def test_a_file_that_no_scan_of_its_day_lists_is_refused_and_not_requested_again(
    source_root: Path, tmp_path: Path
) -> None:
    # The site file is wrong for one name: day_names is "_%Y%m%d_", but here the name ends with the day.
    write(
        source_root,
        {"met_20260305_a.dat": b"x", "met_20260305.dat": b"x", "nothing.dat": b"x", "met_20990101_.dat": b"x"},
    )
    mirror = Mirror(stream_of(source_root, FLAT), tmp_path)
    assert mirror.run(DAY).total("copied") == 1
    outside = scan_outside(mirror.stream, mirror.source, mirror.root, [DAY])
    assert outside.refused.total == 3
    assert set(outside.refused.first) == {"met_20260305.dat", "nothing.dat", "met_20990101_.dat"}
    whole = mirror.scan()
    assert whole.behind == [], "a run for that day would not list it"
    assert whole.days[DAY].refused["its name does not match day_names of its day"].first == ["met_20260305.dat"]
    assert whole.refusals == 3


def test_the_whole_source_is_listed_for_more_than_62_days(source_root: Path) -> None:
    stream = stream_of(source_root, FLAT)
    assert len(Directories(stream, [DAY + n * ONE_DAY for n in range(62)]).name_patterns) == 64
    many = Directories(stream, [DAY + n * ONE_DAY for n in range(63)])
    assert many.name_patterns == []
    assert Directories(stream_of(source_root), [DAY]).name_patterns == []
    names = flat(source_root)
    assert len([e for e in many.list_source(LocalSource(), str(source_root)).entries if e.kind == FILE]) == len(names)
    assert scan_outside(stream, LocalSource(), source_root, [DAY + n * ONE_DAY for n in range(63)]).files == 0


@pytest.mark.parametrize("file", ["gamb2le.yaml", "instruments.yaml"])
def test_day_names_of_the_site_files_match_the_file_names_of_the_instruments(file: str) -> None:
    streams = load_site(ROOT / "sites" / file).streams
    written = {
        "cl61": "gamb2le_depolarisation_lidar_ceilometer_aurora_20260305_121000.nc",
        "vaisalamet": "vaisala_met_level0_05-03-2026.dat",
        "asfs_logger": "aurora_asfs_data_sci_202603051200.dat",
        "asfs_fast_sonic": "aurora_asfs_data_fast_sonic_202603051200.dat",
        "power": "power_data_20260305.csv",
    }
    assert {name for name, stream in streams.items() if stream.day_names} == written.keys()
    for name, path in written.items():
        stream = streams[name]
        assert stream.includes(path)
        assert stream.day_of(path, 0) == DAY
        for day, is_listed in ((DAY, True), (DAY + ONE_DAY, True), (DAY + 2 * ONE_DAY, False)):
            asked = matching(Directories(stream, [day]).name_patterns)
            assert (asked.fullmatch(path.encode()) is not None) == is_listed, "with its neighbour days"
