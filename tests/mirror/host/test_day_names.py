"""Days told by names in one flat directory: a look at a day costs that day's files, and nothing is lost to view."""

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
from tests.mirror.parts import DAY, Mirror, entries, host_of, stream_of, write

patient = settings.get_profile("mirror")
ROOT = Path(__file__).parents[3]
FLAT: dict[str, Any] = {
    "host": "camera",
    "raw": "flat",
    "include": ["*.dat"],
    "day": r"_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(\D|$)",
    "day_names": ["*_%Y%m%d_*"],
    "start": "2026-01-12",
}
ONE_DAY = timedelta(days=1)


def flat(far: Path, reach: int = 40) -> list[str]:
    """A file of each day around DAY."""
    names = [f"met_{DAY + n * ONE_DAY:%Y%m%d}_00.dat" for n in range(-reach, 3)]
    write(far, dict.fromkeys(names, b"x"))
    return names


@pytest.mark.parametrize("way", ["local", "remote"])
def test_only_files_of_the_days_and_of_those_beside_are_listed(
    far: Path, tmp_path: Path, server: SshServer, way: str
) -> None:
    names = flat(far)
    (far / "old").mkdir()
    write(far / "old", {"copy_20260305_.dat": b"x", "copy_20260201_.dat": b"x"})
    stream = stream_of(far, FLAT)
    mirror = Mirror(stream, tmp_path, host_of(server)) if way == "remote" else Mirror(stream, tmp_path)
    listing = Directories(stream, [DAY]).list_source(mirror.source, stream.path)
    found = entries(listing)
    assert {os.fsdecode(path) for path in found} == {*names[-4:-1], "old/copy_20260305_.dat"}
    expected = by_find(far)
    assert found == {path: expected[path] for path in found}
    report = mirror.run(DAY)
    assert (report.total("seen"), report.total("copied"), report.total("bytes")) == (1, 1, 1)
    survey = mirror.scan(DAY)
    assert survey.files == 3
    assert (survey.days[DAY].seen, survey.behind) == (1, [])


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_host_asks_its_disk_about_no_file_of_another_day(far: Path) -> None:
    names = flat(far)
    command = remote_command(str(far), [], named=Directories(stream_of(far, FLAT), [DAY]).name_patterns)
    trace = ["strace", "--follow-forks", "--trace=%file", "--string-limit=200"]
    done = subprocess.run([*trace, *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"strace may not trace here: {done.stderr[-200:]}")
    asked = [name for name in names if f'"{name}"' in done.stderr or f'/{name}"' in done.stderr]
    assert asked == names[-4:-1]


def test_here_nothing_asks_the_disk_about_a_file_of_another_day(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, asked = flat(far), []

    class Item:
        """An entry of a directory that notes who asks for more than its name and type."""

        def __init__(self, item: os.DirEntry[bytes]) -> None:
            self.item, self.name = item, item.name
            self.is_dir, self.is_symlink = item.is_dir, item.is_symlink

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
    stream = stream_of(far, FLAT)
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
def test_find_and_a_walk_take_a_pattern_for_the_same_names(names: list[str], named: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        for name in names:
            (place / name).touch()
        (place / "..link").symlink_to("nowhere")
        there = {path for path in entries(by_shell(place, named=named)) if path != b"."}
        here = set(entries(LocalSource().list(directory, [], named=named)))
    # An independent judge: fnmatch on bytes, with all that is not wild in brackets.
    rules = [b"".join(bytes([c]) if c in b"*?" else b"[" + bytes([c]) + b"]" for c in os.fsencode(p)) for p in named]
    rules = [rule.replace(b"[!]", b"!").replace(b"[^]", b"^") for rule in rules]
    expected = {os.fsencode(name) for name in names if any(fnmatchcase(os.fsencode(name), rule) for rule in rules)}
    assert there == here == expected | {b"..link"}


@settings(patient)
@given(
    st.lists(st.tuples(st.sampled_from(["met_%Y%m%d_.dat", "met_%Y%m%d.dat", "met_%Y%m%d_.txt", "no day %j.dat"]),
                       st.dates(DAY - 20 * ONE_DAY, DAY + 20 * ONE_DAY), st.booleans()), unique_by=lambda x: x[:2]),
)  # fmt: skip
def test_what_a_look_and_the_look_beside_it_refuse_is_what_a_look_at_all_refuses(
    content: list[tuple[str, date, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        far = Path(directory, "far")
        far.mkdir()
        for template, day, is_link in content:
            path = far / f"{day:{template}}"
            path.symlink_to("nowhere") if is_link else write(far, {path.name: b"x"})
        clock = LocalSource(lambda: int(datetime(2026, 3, 9, tzinfo=UTC).timestamp()) * 10**9)
        stream, days = stream_of(far, FLAT), [DAY - ONE_DAY, DAY]
        seen = scan(stream, clock, Path(directory, "near"), days)
        beside = scan_outside(stream, clock, Path(directory, "near"), days)
        whole = scan(stream.model_copy(update={"start": date.min}), clock, Path(directory, "near"), None)
    assert seen.refusals + beside.refusals == whole.refusals
    for day in days:
        there = whole.days.get(day)
        missing = getattr(there, "missing", 0)
        assert getattr(seen.days[day], "missing", None) == missing


def test_a_file_that_no_look_at_its_day_would_list_is_refused_and_not_asked_for_again_and_again(
    far: Path, tmp_path: Path
) -> None:
    # The site file is wrong of one name: "_%Y%m%d_" is asked for, and here the day ends the name.
    write(far, {"met_20260305_a.dat": b"x", "met_20260305.dat": b"x", "nothing.dat": b"x", "met_20990101_.dat": b"x"})
    mirror = Mirror(stream_of(far, FLAT), tmp_path)
    assert mirror.run(DAY).total("copied") == 1
    outside = scan_outside(mirror.stream, mirror.source, mirror.root, [DAY])
    assert outside.refused.total == 3
    assert set(outside.refused.first) == {"met_20260305.dat", "nothing.dat", "met_20990101_.dat"}
    whole = mirror.scan()
    assert whole.behind == [], "a run for that day would not see it"
    assert whole.days[DAY].refused["its name does not match day_names of its day"].first == ["met_20260305.dat"]
    assert whole.refusals == 3


def test_for_more_days_than_names_are_cheap_the_whole_source_is_listed(far: Path) -> None:
    stream = stream_of(far, FLAT)
    assert len(Directories(stream, [DAY + n * ONE_DAY for n in range(62)]).name_patterns) == 64
    many = Directories(stream, [DAY + n * ONE_DAY for n in range(63)])
    assert many.name_patterns == []
    assert Directories(stream_of(far), [DAY]).name_patterns == []
    names = flat(far)
    assert len([e for e in many.list_source(LocalSource(), str(far)).entries if e.kind == FILE]) == len(names)
    assert scan_outside(stream, LocalSource(), far, [DAY + n * ONE_DAY for n in range(63)]).files == 0


@pytest.mark.parametrize("file", ["gamb2le.yaml", "instruments.yaml"])
def test_the_names_of_the_sites_are_those_that_the_instruments_write(file: str) -> None:
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
            assert (asked.fullmatch(path.encode()) is not None) == is_listed, "with the days beside it"
