"""Scan of a source: its counts are right and add up, it finds only files that a pass would fetch, and it ends."""

import itertools
import os
import random
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_platform.errors import HostError
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.mirror.plan import make_plan
from aurora_platform.mirror.scan import DaySurvey, Survey, scan, scan_outside
from aurora_platform.streams.classify import directories_to_list
from aurora_platform.streams.state import DayAtSource
from aurora_platform.transport.listing import ListedEntry, Listing, LocalSource
from aurora_simulator.ssh_server import SshServer, make_readable
from tests.mirror.parts import (
    ANYTHING,
    CAMERA,
    DAY,
    SETTLED,
    Mirror,
    RecordingSource,
    host_of,
    stream_of,
    write,
)
from tests.mirror.trees import (
    CLOCK,
    COUNTS,
    DAYS,
    EVERYTHING,
    SECOND,
    START,
    TREES,
    ScriptedSource,
    Tree,
    counts,
    file,
    image,
    scripted,
    tree_of,
)
from tests.patience import patient, until

few_examples = settings.get_profile("mirror")


def check_whole(survey: Survey, tree: Tree) -> None:
    """Compare a survey of the whole source with the counts of the tree."""
    assert counts(survey) == {day: {c: tree.days[day][c] for c in (*COUNTS, "bytes")} for day in tree.days}
    assert [day.day for day in survey.behind] == sorted((d for d in tree.days if tree.days[d]["missing"]), reverse=True)
    assert (survey.files, survey.bytes) == (tree.total["files"], tree.total["bytes"])
    assert (survey.unsettled, survey.unexpected) == (tree.total["unsettled"], tree.total["unexpected"])
    assert survey.refusals == tree.total["refused"] + tree.total["refused, no day"]
    assert survey.refused.total == tree.total["refused, no day"]
    assert survey.newest_ns == (tree.newest_ns or None)
    assert survey.is_whole


@settings(few_examples)
@given(TREES)
def test_every_file_of_a_whole_source_is_counted_once_in_its_column(content: list[tuple[str, date]]) -> None:
    with tempfile.TemporaryDirectory() as home:
        tree = tree_of(content, Path(home, "source"), Path(home, "local"))
        stream = stream_of(tree.source_root, start=START)
        check_whole(scan(stream, LocalSource(lambda: CLOCK), tree.local_root, None), tree)


def test_over_ssh_a_whole_source_is_counted_the_same(source_root: Path, tmp_path: Path, server: SshServer) -> None:
    mirror = Mirror(stream_of(source_root, start=START), tmp_path, host_of(server))
    # Unsettled files stay unsettled for minutes, also on a slow machine.
    tree = tree_of(EVERYTHING, source_root, mirror.root, time.time_ns() + 200 * SECOND)
    for directory in (p for p in source_root.rglob("*") if p.is_dir()):
        make_readable(directory)
    began = time.monotonic()
    survey = mirror.scan()
    took = time.monotonic() - began
    check_whole(survey, tree)
    local = mirror.but(host=Mirror.host).scan()
    assert counts(local) == counts(survey)
    assert [day.fingerprint for day in local.behind] == [day.fingerprint for day in survey.behind]
    assert 0 < survey.seconds <= took


@settings(few_examples, max_examples=30)
@given(TREES)
def test_a_requested_day_has_the_counts_of_the_whole_source_and_of_a_plan(
    content: list[tuple[str, date]],
) -> None:
    with tempfile.TemporaryDirectory() as home:
        # Some entries are counted differently in the whole source: by the day of their directory, or not listed at all.
        content = [(k, day) for k, day in content if k not in ("in a distant day's directory", "dated in the future")]
        tree = tree_of(content, Path(home, "source"), Path(home, "local"))
        stream, source = stream_of(tree.source_root, start=START), LocalSource(lambda: CLOCK)
        survey = scan(stream, source, tree.local_root, DAYS)
        assert counts(survey) == {day: {c: tree.days[day][c] for c in (*COUNTS, "bytes")} for day in DAYS}
        plan = make_plan(stream, DAYS, source.list(stream.path, directories_to_list(stream, DAYS)), tree.local_root)
        for day in survey.days.values():
            assert isinstance(day, DaySurvey)
            planned = plan.days[day.day]
            assert (day.missing, day.present) == (len(planned.fetch), len(planned.unchanged))
            assert (day.unsettled, day.refused) == (planned.unsettled, planned.refused)


@settings(few_examples, max_examples=8)
@given(TREES.filter(bool))
def test_passes_copy_exactly_the_files_that_a_scan_finds_missing(
    content: list[tuple[str, date]],
) -> None:
    with tempfile.TemporaryDirectory() as home:
        mirror = Mirror(stream_of(Path(home, "source"), start=START), Path(home))
        tree = tree_of(content, Path(home, "source"), mirror.root)
        source = LocalSource(lambda: CLOCK)
        behind = mirror.scan(source=source).behind
        for day in behind:
            assert mirror.run(day.day, source=source).total("copied") == day.missing
        after = mirror.scan(source=source)
        assert after.behind == []
        assert after.refusals == tree.total["refused"] + tree.total["refused, no day"]


# -- scripted listings -------------------------------------------------------------------------------------------------


def survey_of(entries: Sequence[ListedEntry], local_root: Path, **changes: Any) -> Survey:
    return scan(stream_of("/", **changes), scripted(entries), local_root, None)


def fingerprint(entries: Sequence[ListedEntry], local_root: Path) -> str:
    """The fingerprint of ``DAY``."""
    (day,) = scan(stream_of("/"), scripted(entries), local_root, [DAY]).days.values()
    assert isinstance(day, DaySurvey)
    return day.fingerprint


def test_the_fingerprint_does_not_depend_on_the_order_of_a_listing(tmp_path: Path) -> None:
    entries = [image(DAY, number) for number in range(30)]
    chance = random.Random(5)
    shuffled = [chance.sample(entries, len(entries)) for _ in range(20)]
    assert len({fingerprint(order, tmp_path) for order in [entries, *shuffled]}) == 1


def test_no_two_sets_of_missing_files_have_the_same_fingerprint(tmp_path: Path) -> None:
    entries = [image(DAY, number) for number in range(7)]
    sets = [some for size in range(8) for some in itertools.combinations(entries, size)]
    assert len({fingerprint(some, tmp_path) for some in sets}) == len(sets) == 2**7


def test_the_fingerprint_differs_between_versions_of_a_file(tmp_path: Path) -> None:
    first, second = image(DAY, 1), image(DAY, 2)
    versions = [
        first,
        first._replace(version=first.version._replace(size=8)),
        first._replace(version=first.version._replace(mtime_ns=first.version.mtime_ns + 1)),
        first._replace(path=first.path.replace(b"/10/", b"/11/")),
    ]
    assert len({fingerprint([version, second], tmp_path) for version in versions}) == len(versions)


def test_the_fingerprint_depends_only_on_missing_files(source_root: Path, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(source_root), tmp_path)
    names = [f"FISH/{DAY:%Y%m%d}/10/HDR_{DAY:%Y%m%d}_10{minute:02}00.jpg" for minute in range(3)]
    write(source_root, dict.fromkeys(names[:2], b"x"))
    before = mirror.scan(DAY).behind[0].fingerprint
    mirror.run()
    assert mirror.scan(DAY).behind == []
    write(source_root, {names[2]: b"x", names[2].replace("HDR_", "AUTO_"): b"x"})
    alone = mirror.scan(DAY).behind[0]
    assert (alone.missing, alone.present) == (1, 2)
    assert alone.fingerprint != before
    (source_root / names[0]).unlink()
    assert mirror.scan(DAY).behind[0].fingerprint == alone.fingerprint, (
        "files with a local copy do not count, nor files deleted at the source"
    )


def test_a_day_before_the_start_is_counted_only_if_it_is_requested(tmp_path: Path) -> None:
    days = [START + timedelta(days=n) for n in (-400, -1, 0, 1)]
    entries = [image(day, 1) for day in days]
    whole = survey_of(entries, tmp_path, start=START)
    assert [day.day for day in whole.behind] == [START + timedelta(days=1), START]
    assert (whole.files, whole.refusals) == (4, 0)
    asked = scan(stream_of("/", start=START), scripted(entries), tmp_path, days[:2])
    assert [(day.day, day.missing) for day in asked.behind] == [(days[1], 1), (days[0], 1)]


HOSTILE = st.lists(
    st.builds(
        lambda kind, size, mtime, directory, day, odd: ScannedEntry(
            os.fsencode(f"FISH/{directory:%Y%m%d}/{odd}HDR_{day:%Y%m%d}_1.jpg"), FileVersion(size, mtime), kind
        ),
        st.sampled_from("fffdl?"), st.integers(-2, 10**20), st.integers(-(10**10), 10**20) | st.just(CLOCK),
        st.dates(), st.dates() | st.sampled_from(DAYS), st.sampled_from(["", "10/", "../", "/", "\n", "\x7f/"]),
    )
    | st.builds(
        ScannedEntry, st.binary(max_size=30), st.builds(FileVersion, st.integers(), st.integers()),
        st.sampled_from("fdl?"),
    ),
    max_size=25,
)  # fmt: skip


@settings(few_examples, max_examples=150)
@given(HOSTILE, st.sampled_from([CAMERA, ANYTHING, {**CAMERA, "day_dirs": []}, {**CAMERA, "day": "mtime"}]))
def test_counts_add_up_for_any_listing(
    tmp_path_factory: pytest.TempPathFactory, entries: list[ListedEntry], settings: dict[str, Any]
) -> None:
    stream = stream_of("/", {**settings, "start": START})
    survey = scan(stream, scripted(entries), tmp_path_factory.getbasetemp() / "none", None)
    found = counts(survey)
    assert all(START <= day <= date(2026, 3, 9) for day in found), "no day before the start, and none of the future"
    assert sum(day["seen"] for day in found.values()) + survey.refused.total + survey.unexpected <= len(entries)
    assert all(day.missing_bytes >= 0 for day in survey.behind)
    assert survey.summary().isprintable()


def test_a_file_in_another_days_directory_is_refused_and_no_reconciliation_requests_it(
    source_root: Path, tmp_path: Path
) -> None:
    misfiled = f"FISH/20260225/10/HDR_{DAY:%Y%m%d}_100000.jpg"
    write(source_root, {misfiled: b"x", f"FISH/20260306/00/HDR_{DAY:%Y%m%d}_235900.jpg": b"of a neighbour"})
    mirror = Mirror(stream_of(source_root), tmp_path)
    for _ in range(2):
        (behind,) = mirror.scan().behind
        assert (behind.day, behind.missing, behind.refused_count) == (DAY, 1, 1)
        assert behind.refused["its directory and its name have different days"].first == [misfiled]
        mirror.run(DAY)
        assert mirror.scan().behind == []
        assert mirror.scan(date(2026, 2, 25)).refusals == 1, "the day of its directory reports it as well"
        (mirror.root / f"FISH/20260306/00/HDR_{DAY:%Y%m%d}_235900.jpg").unlink()


# -- the summary, and the recorded state -------------------------------------------------------------------------------


def test_the_summary_line_for_the_operator(tmp_path: Path) -> None:
    noon = int(SETTLED.timestamp()) * SECOND
    none = "0 files listed (0 B); no file of this stream on these days"
    assert survey_of([], tmp_path).summary() == none
    entries = [file("FISH/20260305/12/HDR_20260305_115900.jpg", 2_340_000, noon + 999_999_999)]
    assert survey_of(entries, tmp_path).summary() == (
        "1 file listed (2.3 MB); newest 2026-03-05 12:00:00 UTC, 4.0 days old"
    )
    entries += [
        file("FISH/20260309/11/HDR_20260309_115800.jpg", 1_000_000, CLOCK - 90 * SECOND),
        ScannedEntry(b"FISH/20260305/link", FileVersion(1, noon), "l"),
        file("FISH/20260305/12/HDR_20990101_000000.jpg"),
    ]
    assert survey_of(entries, tmp_path).summary() == (
        "2 files listed (3.3 MB); newest 2026-03-09 11:58:30 UTC, 90 s old; 1 unsettled; 2 refused"
    )


def test_a_file_written_during_the_listing_has_age_zero(tmp_path: Path) -> None:
    # A host's clock is read before its files, in whole seconds; a file that grows without pause is newer.
    survey = survey_of([file("a.dat", 5, CLOCK + 700_000_000)], tmp_path, include=["*.dat"], day="mtime", day_dirs=[])
    assert survey.age == timedelta(0)
    assert survey.summary().endswith("newest 2026-03-09 12:00:00 UTC, 0 s old; 1 unsettled")


def test_a_file_from_the_future_is_reported_as_ahead_of_the_hosts_clock(tmp_path: Path) -> None:
    survey = survey_of([file("a.dat", 5, CLOCK + 3600 * SECOND)], tmp_path, include=["*.dat"], day="mtime", day_dirs=[])
    assert survey.ahead == timedelta(hours=1)
    assert "newest 2026-03-09 13:00:00 UTC, 60 min ahead of the host's clock; 1 unsettled" in survey.summary()


def test_the_summary_reports_if_the_stream_includes_no_listed_file(tmp_path: Path) -> None:
    entries = [file(f"b{number}.nc") for number in range(5)]
    survey = survey_of(entries, tmp_path, include=["*.dat"], day="mtime", day_dirs=[])
    assert survey.unmatched == 5
    assert "5 files listed, none matches include" in survey.summary()
    for included in (file("a.dat"), ScannedEntry(b"a.dat", FileVersion(1, CLOCK), "l"), file("c.dat", mtime_ns=-1)):
        survey = survey_of([*entries, included], tmp_path, include=["*.dat"], day="mtime", day_dirs=[])
        assert (survey.unmatched, "include" in survey.summary()) == (0, False), "the stream includes one entry"


def test_the_first_missing_names_are_sorted(tmp_path: Path) -> None:
    names = [f"{chr(97 + number)}.dat" for number in range(26)]
    random.Random(3).shuffle(names)
    survey = survey_of([file(name) for name in names], tmp_path, include=["*.dat"], day="mtime", day_dirs=[])
    (day,) = survey.behind
    assert day.first_missing == [f"{letter}.dat" for letter in "abcdefghij"]


def test_an_unreadable_directory_is_reported(source_root: Path, tmp_path: Path, server: SshServer) -> None:
    if server.auth != "none":
        pytest.skip("root reads everything; the test needs the user without a key")
    write(source_root, {f"FISH/{DAY:%Y%m%d}/{hour}/HDR_{DAY:%Y%m%d}_{hour}0000.jpg": b"x" for hour in (10, 11)})
    for path in ("FISH", f"FISH/{DAY:%Y%m%d}", f"FISH/{DAY:%Y%m%d}/11"):
        make_readable(source_root / path)
    (source_root / f"FISH/{DAY:%Y%m%d}/10").chmod(0o700)
    survey = Mirror(stream_of(source_root), tmp_path, host_of(server)).scan(DAY)
    assert (survey.files, survey.unreadable.total) == (1, 1)
    assert survey.summary().endswith("; 1 directory not readable")


def test_a_scan_gives_a_state_for_every_requested_day(tmp_path: Path) -> None:
    today = date(2026, 3, 9)
    entries = [image(DAY, 1), image(DAY, 2), file("FISH/20260309/11/HDR_20260309_115800.jpg", 1, CLOCK - 60 * SECOND)]
    survey = scan(stream_of("/"), scripted(entries), tmp_path, [DAY, date(2026, 3, 8), today])
    assert survey.days_at_source() == {
        DAY: DayAtSource(CLOCK, 2, 0),
        date(2026, 3, 8): DayAtSource(CLOCK, 0, 0),
        today: DayAtSource(CLOCK, 0, 1),
    }


# -- time limits -------------------------------------------------------------------------------------------------------


def endless() -> Generator[ListedEntry]:
    for number in itertools.count():
        yield image(DAYS[number % 5], number)


def test_a_scan_over_its_time_limit_returns_the_files_until_then_and_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def one_per_second() -> Generator[ListedEntry]:
        nonlocal count
        for entry in endless():
            count += 1
            yield entry

    source = ScriptedSource(one_per_second)
    with monkeypatch.context() as patched:
        patched.setattr("aurora_platform.mirror.scan.time.monotonic", lambda: float(count))
        survey = scan(stream_of("/", start=START), source, tmp_path, None, timedelta(seconds=300))
    assert (count, survey.files, survey.seconds) == (301, 301, 301)
    assert not survey.is_whole
    assert source.is_closed
    # The listed files are the first of the source, and their counts are right.
    first = list(itertools.islice(endless(), survey.files))
    expected = scan(stream_of("/", start=START), scripted(first), tmp_path, None)
    assert counts(survey) == counts(expected)
    assert [day.fingerprint for day in survey.behind] == [day.fingerprint for day in expected.behind]


def test_a_scan_within_its_time_limit_is_whole_and_closes_its_listing(tmp_path: Path) -> None:
    source = scripted([image(DAY, 1)])
    assert scan(stream_of("/"), source, tmp_path, None, timedelta(seconds=patient(30))).is_whole
    assert source.is_closed


@pytest.mark.parametrize("way", ["local", "remote"])
@pytest.mark.parametrize("template", ["Y%Y/M%m/D%d", "100%%/[x]*?/%Y%j", "a\\\\b$(id)/%y%m%d", "-%b/%d"])
def test_scan_outside_refuses_files_outside_of_all_days_directories_and_lists_no_day(
    source_root: Path, tmp_path: Path, server: SshServer, way: str, template: str
) -> None:
    inside = [f"{(DAY + timedelta(days=n)).strftime(template)}/good {n}" for n in range(-40, 40, 8)]
    strays = ["top.LV0", "Y2026/between.LV0", "Y2026/M03/D051/five digits.LV0", "old/Y2026/M03/D05/in a copy.LV0"]
    write(source_root, dict.fromkeys([*inside, *strays], b"x"))
    make_readable(source_root)
    stream = stream_of(
        source_root, ANYTHING, day=r"(^|/)Y(?P<Y>\d{4})/M(?P<m>\d{2})/D(?P<d>\d{2})/", day_dirs=[template]
    )
    mirror = Mirror(stream, tmp_path, host_of(server)) if way == "remote" else Mirror(stream, tmp_path)
    survey = scan_outside(stream, mirror.source, tmp_path, [DAY])
    assert sorted(survey.refused.first) == sorted(strays)
    assert (survey.refusals, survey.unexpected, survey.is_whole) == (len(strays), 0, True)
    flat = stream_of(source_root, ANYTHING)
    assert scan_outside(flat, mirror.source, tmp_path, [DAY]).refusals == 0, "every scan lists all of it"


def working_in(directory: Path) -> set[int]:
    """The processes with this working directory: those of a listing over SSH."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == directory:
                found.add(int(process.name))
    return found


@pytest.fixture
def large(source_root: Path) -> Path:
    """A source whose listing is larger than the network buffers, so that it blocks until it is read."""
    directory = source_root / "FISH/20260305/10"
    directory.mkdir(parents=True)
    handle = os.open(directory, os.O_RDONLY)
    for number in range(20_000):
        os.mknod(f"HDR_20260305_{number:06}{'x' * 200}.jpg", 0o644, dir_fd=handle)
    os.close(handle)
    return source_root


def test_a_scan_cut_off_over_ssh_leaves_no_session_and_no_find(
    large: Path, tmp_path: Path, own_server: SshServer
) -> None:
    mirror = Mirror(stream_of(large), tmp_path, host_of(own_server))
    sessions: list[set[int]] = []

    class Watched(RecordingSource):
        def list(self, root: str, below: Sequence[str]) -> Listing:
            listing = super().list(root, below)
            first = next(listing.entries)
            time.sleep(0.2)
            sessions.append(working_in(large))
            return replace(listing, entries=_with(first, listing.entries))

    survey = mirror.scan(source=Watched(mirror.source), within=timedelta(seconds=0.1))
    assert sessions[0], "the find was running at the time limit"
    assert (survey.is_whole, survey.files) == (False, 0)
    until(lambda: not working_in(large))
    until(lambda: "Close session" in own_server.log())
    assert mirror.scan(within=timedelta(seconds=patient(30))).files == 20_000


def _with(first: ListedEntry, rest: Generator[ListedEntry]) -> Generator[ListedEntry]:
    try:
        yield first
        yield from rest
    finally:
        rest.close()


def test_a_host_that_goes_down_during_a_scan_is_an_error_and_no_partial_survey(
    large: Path, tmp_path: Path, own_server: SshServer
) -> None:
    mirror = Mirror(stream_of(large), tmp_path, host_of(own_server))

    class Ended(RecordingSource):
        def list(self, root: str, below: Sequence[str]) -> Listing:
            listing = super().list(root, below)
            own_server.stop()
            return listing

    with pytest.raises(HostError, match=r"^127\.0\.0\.2: the listing"):
        mirror.scan(source=Ended(mirror.source))
