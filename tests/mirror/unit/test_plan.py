"""The plan: every entry of a requested day has exactly one outcome, and no path leads out of the raw root."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_platform.config.streams import Stream
from aurora_platform.fs.paths import safe_relative
from aurora_platform.fs.versions import FileVersion, ScannedEntry, same_mtime
from aurora_platform.mirror.plan import DayPlan, Plan, describe_refused, make_plan
from aurora_platform.streams.classify import directories_to_list
from aurora_platform.text import Count
from aurora_platform.transport.listing import ListedEntry, Listing, LocalSource
from aurora_simulator import FAULTS, Report
from tests.mirror.parts import ANYTHING, CAMERA, DAY, Mirror, adds_up, left_over, not_in, stream_of, write

few_examples = settings.get_profile("mirror")
SECOND = 10**9
NOON = int(datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp()) * SECOND
CLOCK = NOON + 3600 * SECOND


def plan_of(
    stream: Stream, entries: list[ListedEntry], root: Path, days: list[date] | None = None, clock: int = CLOCK
) -> Plan:
    return make_plan(stream, days or [DAY], Listing(clock, iter(entries)), root)


def image(path: str, *, kind: str = "f", size: int = 7, mtime_ns: int = NOON) -> ListedEntry:
    return ScannedEntry(os.fsencode(path), FileVersion(size, mtime_ns), kind)


def outcome_of(stream: Stream, entry: ListedEntry, root: Path, clock: int = CLOCK) -> str:
    """The outcome of a single entry."""
    plan = plan_of(stream, [entry], root, clock=clock)
    day = plan.days[DAY]
    outcomes = ["fetch"] * len(day.fetch) + ["unchanged"] * len(day.unchanged) + ["unsettled"] * day.unsettled.total
    outcomes += [reason for reason, count in day.refused.items() for _ in range(count.total)]
    outcomes += ["unexpected"] * plan.unexpected
    assert day.seen == len(outcomes) - plan.unexpected
    return outcomes[0] if outcomes else "passed over"


# The outcome of each fault, path by path. Unreadable media are copied: later steps check them.
EXPECTED: dict[str, list[str]] = {
    "truncated-jpeg": ["copied"],
    "empty-file": ["copied"],
    "odd-size-jpeg": ["copied"],
    "no-moov": ["copied"],
    "odd-codec-clip": ["copied"],
    "odd-size-clip": ["copied"],
    "in-flight": ["unsettled"],
    "late": ["copied"],
    "odd-names": ["copied", "control character in the name", "copied", "unexpected", "copied"],
    "symlink-out": ["symlink", "symlink"],
    "upper-case": ["copied"],
    "future-date": ["dated in the future"],
    "directory-as-file": ["directory named like a file"],
}


def test_the_list_of_outcomes_has_every_fault_of_the_simulator() -> None:
    assert set(EXPECTED) == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_camera_ends_in_its_named_outcome(
    damaged_camera: tuple[Path, Report], tmp_path: Path, fault: str
) -> None:
    root, report = damaged_camera
    stream = stream_of(root)
    everything = LocalSource().list(str(root), directories_to_list(stream, [DAY]))
    by_path = {os.fsdecode(entry.path): entry for entry in everything.entries}
    named = {"copied": "fetch"}
    found = [outcome_of(stream, by_path[path], tmp_path, everything.clock_ns) for path in report.faults[fault]]
    assert found == [named.get(outcome, outcome) for outcome in EXPECTED[fault]]


def test_a_day_with_every_fault_is_complete_and_its_counts_add_up(
    damaged_camera: tuple[Path, Report], tmp_path: Path
) -> None:
    root, simulated = damaged_camera
    report = Mirror(stream_of(root), tmp_path).run()
    (day,) = report.days
    outcomes = [outcome for outcomes in EXPECTED.values() for outcome in outcomes]
    refused = {o: outcomes.count(o) for o in outcomes if o not in ("copied", "unsettled", "unexpected")}
    assert {reason: count.total for reason, count in day.refused.items()} == refused
    assert day.copied == simulated.images + simulated.clips + outcomes.count("copied")
    assert (day.unsettled.total, day.unchanged) == (outcomes.count("unsettled"), 0)
    assert day.unsettled.first == simulated.faults["in-flight"]
    assert report.unexpected == simulated.others + outcomes.count("unexpected")
    assert adds_up(report)
    assert not_in(root, tmp_path / "raw" / "wxcam") == [], "all copies equal the source, byte by byte"
    copied = {str(p.relative_to(tmp_path / "raw" / "wxcam")) for p in (tmp_path / "raw" / "wxcam").rglob("*.*")}
    for fault, paths in simulated.faults.items():
        assert [path in copied for path in paths] == [outcome == "copied" for outcome in EXPECTED[fault]]
    assert left_over(tmp_path / "raw") == []


def test_refused_names_are_printable_in_a_table(damaged_camera: tuple[Path, Report], tmp_path: Path) -> None:
    (day,) = Mirror(stream_of(damaged_camera[0]), tmp_path).run().days
    rows = {reason: (count, first) for reason, count, first in describe_refused(day.refused)}
    assert rows["symlink"][0] == 2
    assert all(text.isprintable() for _, text in rows.values())
    assert "\\n" in rows["control character in the name"][1]


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        (image("FISH/20260305/12/HDR_20260305_120000.jpg"), "fetch"),
        (image("FISH/20260305/12/HDR_20260305_120000.JPG"), "fetch"),
        (image("FISH/20260305/12/AUTO_20260305_120000.jpg"), "unexpected"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", size=-1), "impossible size or mtime"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", mtime_ns=-1), "impossible size or mtime"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", mtime_ns=10**30), "impossible size or mtime"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", mtime_ns=CLOCK + 86_400 * SECOND), "unsettled"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", mtime_ns=CLOCK + 86_401 * SECOND),
         "impossible size or mtime"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", mtime_ns=CLOCK - 300 * SECOND), "fetch"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", mtime_ns=CLOCK - 300 * SECOND + 1), "unsettled"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", mtime_ns=0), "fetch"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", kind="?"), "not a regular file"),
        (image("FISH/20260305/12/HDR_20260305_120000.jpg", kind="l"), "symlink"),
        (image("FISH/20260305/12", kind="l"), "symlink"),
        (image("FISH/20260305/12", kind="d"), "passed over"),
        (image("FISH/20260305/12/HDR_20260399_120000.jpg"), "no day in its name"),
        (image("FISH/20260305/12/HDR_20991231_120000.jpg"), "dated in the future"),
        (image("FISH/20260305/12/HDR_20260306_000000.jpg"), "dated in the future"),
        (image("FISH/20260305/HDR_20260304_230000.mp4"), "passed over"),
        (image("FISH/20260304/HDR_20260305_000000.mp4"), "fetch"),
        (image("FISH/20260306/00/HDR_20260305_235959.jpg"), "fetch"),
        (image("FISH/20260304/12", kind="l"), "passed over"),
        (image("FISH/20260305/../../HDR_20260305_120000.jpg"), "'..' in the path"),
        (image("../x"), "'..' in the path"),
        (image("/etc/passwd"), "absolute path"),
    ],
)  # fmt: skip
def test_an_entry_has_one_outcome(tmp_path: Path, entry: ListedEntry, outcome: str) -> None:
    assert outcome_of(stream_of("/"), entry, tmp_path) == outcome


KINDS = st.sampled_from(["f", "f", "f", "d", "l", "?", "p"])
PARTS = st.sampled_from(["FISH", "PANO", "20260305", "20260304", "20260307", "12", "..", "", "elsewhere", "a\nb"])
FILES = st.sampled_from(
    ["HDR_20260305_120000.jpg", "HDR_20260306_120000.jpg", "HDR_2026", "HDR_99999999_1.mp4", ".", "x"]
)
ENTRIES = st.lists(
    st.builds(
        lambda kind, size, mtime, parts, file: ScannedEntry(
            "/".join([*parts, file]).encode(), FileVersion(size, mtime), kind
        ),
        KINDS, st.integers(-5, 10**20), st.integers(-(10**20), 10**20) | st.integers(NOON - SECOND, CLOCK + SECOND),
        st.lists(PARTS, max_size=4), FILES | st.text(max_size=3),
    )
    | st.builds(
        ScannedEntry, st.binary(max_size=30), st.builds(FileVersion, st.integers(), st.integers()), KINDS
    ),
    max_size=30,
)  # fmt: skip
STREAMS = st.sampled_from(
    [CAMERA, ANYTHING, {**CAMERA, "day_dirs": []}, {**ANYTHING, "settle": "0s"}, {**CAMERA, "day": "mtime"}]
)


@settings(few_examples, max_examples=200)
@given(ENTRIES, STREAMS, st.integers(1, 4), st.integers(0, 99_999_999_999))
def test_counts_add_up_and_only_safe_paths_are_fetched_for_any_listing(
    tmp_path_factory: pytest.TempPathFactory, entries: list[ListedEntry], stream: dict[str, Any], days: int, clock: int
) -> None:
    asked = [DAY + timedelta(days=n) for n in range(days)]
    plan = plan_of(stream_of("/", stream), entries, tmp_path_factory.getbasetemp() / "none", asked, clock * SECOND)
    for day in plan.days.values():
        outcomes = len(day.fetch) + len(day.unchanged) + day.unsettled.total + day.refused_count
        assert day.seen == outcomes
        assert all(safe_relative(file.path.encode()) == file.path for file in day.fetch)
        assert all(min(file.version) >= 0 for file in day.fetch)
    assert sum(day.seen for day in plan.days.values()) + plan.unexpected <= len(entries)


def day_of(plan: Plan, day: date) -> DayPlan:
    return plan.days[day]


def test_a_days_listing_includes_the_directories_of_its_neighbour_days() -> None:
    stream = stream_of("/")
    assert directories_to_list(stream, [date(2026, 3, 1)]) == [
        "FISH/20260228", "FISH/20260301", "FISH/20260302", "PANO/20260228", "PANO/20260301", "PANO/20260302",
    ]  # fmt: skip
    assert directories_to_list(stream_of("/", day_dirs=[]), [DAY]) == []
    assert directories_to_list(stream, [date(2026, 1, 12) + timedelta(days=n) for n in range(600)]) == [], (
        "the whole source"
    )


def test_entries_of_a_range_go_to_their_own_days(tmp_path: Path) -> None:
    days = [date(2026, 3, 4), DAY]
    entries = [
        image("FISH/20260304/23/HDR_20260304_235900.jpg"),
        image("FISH/20260304/HDR_20260305_000000.mp4"),
        image("FISH/20260305/00/HDR_20260305_000100.jpg"),
        image("FISH/20260305/00/link", kind="l"),
        image("FISH/20260303/23/HDR_20260303_235900.jpg"),
    ]
    plan = plan_of(stream_of("/"), entries, tmp_path, days)
    assert [[file.path for file in day_of(plan, d).fetch] for d in days] == [
        ["FISH/20260304/23/HDR_20260304_235900.jpg"],
        ["FISH/20260304/HDR_20260305_000000.mp4", "FISH/20260305/00/HDR_20260305_000100.jpg"],
    ]
    assert [day_of(plan, d).refused_count for d in days] == [0, 1]


def test_a_refused_entry_of_a_flat_source_is_counted_once_in_a_range(tmp_path: Path) -> None:
    stream = stream_of(
        "/", {**CAMERA, "day_dirs": [], "include": ["*.csv"], "day": r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})"}
    )
    entries = [
        image("20260303.csv", kind="l"),
        image("20260304.csv", kind="l"),
        image("20260305\n.csv"),
        image("no day.csv"),
        image("20990101.csv"),
    ]
    days = [date(2026, 3, 4), DAY]
    plan = plan_of(stream, entries, tmp_path, days)
    assert {d: {r: t.total for r, t in day_of(plan, d).refused.items()} for d in days} == {
        date(2026, 3, 4): {"symlink": 1},
        DAY: {"control character in the name": 1, "no day in its name": 1, "dated in the future": 1},
    }
    alone = plan_of(stream, entries, tmp_path, [DAY]).days[DAY]
    assert alone.refused_count == 3, "the symlink of another day is not counted"


@pytest.mark.parametrize("directory", ["Y2026/M03/D05", "Y2026/M03/D05/calibration"])
def test_a_directory_is_not_refused_if_a_stream_includes_every_name(tmp_path: Path, directory: str) -> None:
    stream = stream_of("/", ANYTHING, day=r"Y(?P<Y>\d{4})/M(?P<m>\d{2})/D(?P<d>\d{2})/", day_dirs=["Y%Y/M%m/D%d"])
    assert outcome_of(stream, image(directory, kind="d"), tmp_path) == "passed over"
    assert outcome_of(stream, image(f"{directory}/a.LV0"), tmp_path) == "fetch"
    assert outcome_of(stream, image(f"{directory}/a.LV0", kind="l"), tmp_path) == "symlink"


def test_days_that_share_a_directory_count_each_file_once(source_root: Path, tmp_path: Path) -> None:
    stream = stream_of(
        source_root, include=["**/*.dat"], day=r"_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})", day_dirs=["Y%Y/M%m"]
    )
    write(source_root, {f"Y2026/M03/x_2026030{day}.dat": b"x" * day for day in range(1, 9)})
    days = [date(2026, 3, day) for day in (4, 5, 6)]
    report = Mirror(stream, tmp_path).run(*days)
    assert [(day.seen, day.copied, day.bytes) for day in report.days] == [(1, 1, 4), (1, 1, 5), (1, 1, 6)]


def test_the_hosts_clock_decides_what_is_settled(source_root: Path, tmp_path: Path) -> None:
    write(source_root, {"FISH/20260305/12/HDR_20260305_120000.jpg": b"x"})
    mtime = (source_root / "FISH/20260305/12/HDR_20260305_120000.jpg").stat().st_mtime_ns
    mirror = Mirror(stream_of(source_root), tmp_path)
    just_written = mirror.run(source=LocalSource(lambda: mtime + 299 * SECOND))
    assert (just_written.unsettled, just_written.total("copied")) == (1, 0)
    ahead = mirror.run(source=LocalSource(lambda: mtime + 300 * SECOND))
    assert (ahead.unsettled, ahead.total("copied")) == (0, 1)


def test_a_stream_without_a_settle_time_copies_a_file_that_is_written_now(source_root: Path, tmp_path: Path) -> None:
    # The current file of a station is appended without pause and never settles, but is mirrored.
    write(source_root, {"FISH/20260305/12/HDR_20260305_120000.jpg": b"one line"}, at=datetime.now(UTC))
    mirror = Mirror(stream_of(source_root, settle="0s"), tmp_path)
    assert mirror.run().total("copied") == 1
    with (source_root / "FISH/20260305/12/HDR_20260305_120000.jpg").open("ab") as file:
        file.write(b", and another")
    assert mirror.run().total("copied") == 1
    assert (mirror.root / "FISH/20260305/12/HDR_20260305_120000.jpg").read_bytes() == b"one line, and another"


@pytest.mark.parametrize("where", ["FISH", "FISH/20260305", "FISH/20260305/12"])
@pytest.mark.parametrize("kind", ["link to a directory", "dangling link", "looping link", "file"])
def test_a_file_with_a_blocked_local_path_is_refused_and_nothing_is_written_elsewhere(
    source_root: Path, tmp_path: Path, where: str, kind: str
) -> None:
    write(
        source_root,
        {"FISH/20260305/12/HDR_20260305_120000.jpg": b"x", "PANO/20260305/HDR_20260305_120000_PANO.mp4": b"y"},
    )
    mirror, outside = Mirror(stream_of(source_root), tmp_path), tmp_path / "outside"
    outside.mkdir()
    obstacle = mirror.root / where
    obstacle.parent.mkdir(parents=True)
    targets = {"link to a directory": outside, "dangling link": outside / "x", "looping link": obstacle}
    if kind == "file":
        obstacle.write_text("keep me")
    else:
        obstacle.symlink_to(targets[kind])
    report = mirror.run()
    (day,) = report.days
    assert (day.seen, day.copied) == (2, 1)
    assert {r: t.total for r, t in day.refused.items()} == {
        "a local file or symlink stands where a directory is needed": 1
    }
    assert list(outside.iterdir()) == []
    assert obstacle.is_symlink() == (kind != "file")


@pytest.mark.parametrize("kind", ["symlink", "directory", "pipe"])
def test_a_file_whose_local_name_is_taken_is_refused(source_root: Path, tmp_path: Path, kind: str) -> None:
    name = "FISH/20260305/12/HDR_20260305_120000.jpg"
    write(source_root, {name: b"x"})
    mirror, outside = Mirror(stream_of(source_root), tmp_path), tmp_path / "outside"
    outside.write_text("keep me")
    (mirror.root / name).parent.mkdir(parents=True)
    {"symlink": lambda: (mirror.root / name).symlink_to(outside), "directory": (mirror.root / name).mkdir,
     "pipe": lambda: os.mkfifo(mirror.root / name)}[kind]()  # fmt: skip
    (day,) = mirror.run().days
    assert {r: t.total for r, t in day.refused.items()} == {
        "its local name is taken by a directory, symlink or special file": 1
    }
    assert outside.read_text() == "keep me"


@pytest.mark.parametrize(
    ("first_ns", "second_ns", "is_same"),
    [
        (5_000_000_001, 5_000_000_001, True),
        (5_000_000_001, 5_000_000_002, False),
        (5_000_000_000, 5_999_999_999, True),
        (5_999_999_999, 5_000_000_000, True),
        (5_000_000_000, 6_000_000_000, False),
    ],
)
def test_mtimes_are_compared_by_the_coarser_side(first_ns: int, second_ns: int, is_same: bool) -> None:
    assert same_mtime(first_ns, second_ns) is is_same


def test_the_newest_file_is_the_newest_listed_file_of_the_stream(tmp_path: Path) -> None:
    entries = [
        image("FISH/20260304/23/HDR_20260304_235900.jpg", mtime_ns=NOON - 5),
        image("FISH/20260305/12/HDR_20260305_110000.jpg", mtime_ns=NOON),
        image("FISH/20260305/12/AUTO_20260305_110000.jpg", mtime_ns=NOON + 5),
        image("FISH/20260305/12/HDR_20260305_110001.jpg", mtime_ns=10**30),
    ]
    assert plan_of(stream_of("/"), entries, tmp_path).newest_ns == NOON
    assert plan_of(stream_of("/"), [], tmp_path).newest_ns is None


def test_the_log_line_counts_days_and_files_in_the_singular_and_the_plural(tmp_path: Path) -> None:
    entries = [image(f"FISH/20260305/12/HDR_20260305_12000{second}.jpg", size=10**6) for second in range(2)]
    days = [DAY, date(2026, 3, 6)]
    one, two = plan_of(stream_of("/"), entries[:1], tmp_path), plan_of(stream_of("/"), entries, tmp_path, days)
    assert one.summarize() == "listed 1 file of 1 day; to fetch: 1 file, 1.0 MB"
    assert two.summarize() == "listed 2 files of 2 days; to fetch: 2 files, 2.0 MB"


def test_refusals_are_counted_by_reason() -> None:
    day = DayPlan(DAY)
    for name, reason in ((b"b", "symlink"), (b"a", "symlink"), (b"\xff", "name is not UTF-8")):
        day.refuse(name, reason)
    assert describe_refused(day.refused) == [("name is not UTF-8", 1, "\\xff"), ("symlink", 2, "b, a")]
    assert isinstance(day.refused["symlink"], Count)


def test_planning_a_day_does_not_read_other_days_of_the_copy(source_root: Path, tmp_path: Path) -> None:
    write(source_root, {"FISH/20260305/12/HDR_20260305_120000.jpg": b"x"})
    mirror = Mirror(stream_of(source_root), tmp_path)
    mirror.run()
    before = (mirror.root / "FISH").stat().st_atime_ns
    time.sleep(0.01)
    mirror.run()
    assert (mirror.root / "FISH").stat().st_atime_ns == before


def test_a_file_in_the_directory_of_a_distant_day_is_refused_and_not_ignored(tmp_path: Path) -> None:
    stream = stream_of("/camera")
    misfiled = "FISH/20260305/12/HDR_20250101_000000.jpg"  # a camera whose clock was reset
    listing = Listing(CLOCK, iter([ScannedEntry(misfiled.encode(), FileVersion(1, CLOCK - 10**13))]))
    day = make_plan(stream, [DAY], listing, tmp_path).days[DAY]
    assert day.seen == day.refused_count == 1
    assert day.refused["its directory and its name have different days"].first == [misfiled]
