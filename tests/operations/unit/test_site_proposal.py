"""From the names of its files alone, a stream gets rules that place every file as a hand-written site file does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aurora_platform.config.hosts import LocalHost, SshHost
from aurora_platform.config.site import Site, load_site, site_of_text
from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import DIRECTORY, FILE, SYMLINK, FileVersion, ScannedEntry
from aurora_platform.operations.name_days import DayRuleError
from aurora_platform.operations.site_draft import HostDraft, SiteDraft, StreamDraft, scalar, site_text, with_stream
from aurora_platform.operations.site_proposal import (
    Proposal,
    camera_proposal,
    likely_kinds,
    preview,
    propose,
    sort_entries,
)
from aurora_platform.operations.site_sample import take_sample
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.text import Count
from aurora_platform.transport.listing import ListedEntry, Listing
from aurora_simulator import INSTRUMENTS, InstrumentSpec
from aurora_simulator.instruments import unexpected_files
from aurora_simulator.spec import FISH, OTHER_EXPOSURES, PANO, clip_path, image_path

ROOT = Path(__file__).resolve().parents[3]
FIRST, DAYS = date(2026, 3, 30), 3  # over the end of a month
NOW = datetime(2026, 4, 3, 12, tzinfo=UTC)
SITES = {name: load_site(ROOT / "sites" / f"{name}.yaml") for name in ("gamb2le", "instruments")}
STREAMS = [(site, stream) for site in SITES for stream in SITES[site].streams]


def listed(path: str | bytes, written: datetime = NOW, kind: str = FILE) -> ListedEntry:
    raw = path.encode() if isinstance(path, str) else path
    return ScannedEntry(raw, FileVersion(5, int(written.timestamp()) * 10**9), kind)


@cache
def simulated(stream: str, until: datetime = NOW) -> list[ListedEntry]:
    """What lies in a stream's directory, also of other streams and of none, as the simulator names it."""
    if stream == "wxcam":
        return simulated_camera()
    spec = InstrumentSpec(Path("host"), FIRST, days=DAYS, unexpected=True)
    top = INSTRUMENTS[stream].directory
    instruments = [one for one in INSTRUMENTS.values() if one.directory == top]
    files = [
        file for one in instruments for file in spec.files(one, spec.start, min(until, spec.start + timedelta(DAYS)))
    ]
    entries = [listed(file.path.removeprefix(f"{top}/"), min(file.whole_at, until)) for file in files]
    strange = [path for path in unexpected_files(spec) if path.startswith(f"{top}/")]
    return entries + [listed(path.removeprefix(f"{top}/"), spec.start) for path in strange]


def simulated_camera() -> list[ListedEntry]:
    found = []
    for hour in range(0, DAYS * 24, 3):
        at = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(hours=hour)
        for view in (FISH, PANO):
            images = [image_path(at + timedelta(minutes=20 * n), view) for n in range(3)]
            others = [image_path(at, view, exposure) for exposure in OTHER_EXPOSURES]
            found += [listed(path, at + timedelta(hours=1)) for path in (*images, *others, clip_path(at, view))]
    return found


def stream_of(proposal: Proposal) -> Stream:
    return Stream(host="any", path="/", raw="any", **proposal.settings())


def days_by(stream: Stream, entries: Sequence[ListedEntry]) -> dict[bytes, date | None]:
    """The day of each file by a stream's rules, as the mirror classifies it; None where it may not be used."""
    asked = sorted({day for one in entries if (day := stream.day_of(one.path.decode(), one.version.mtime_ns))})
    classify = Classifier(stream, Directories(stream, asked), int(NOW.timestamp()) * 10**9)
    return {one.path: found.day if (found := classify(one)).file else None for one in entries}


def proposed(
    entries: Iterable[ListedEntry], is_ours: Callable[[str], bool] = lambda path: True, now: datetime = NOW
) -> list[Proposal]:
    """What is proposed where an operator picks the kinds with files of the stream."""
    kinds = sort_entries(entries).kinds
    ours = [kind for kind in kinds if any(is_ours(file.path) for file in kind.files)]
    return propose(ours, [kind for kind in kinds if kind not in ours], now)


@pytest.mark.parametrize(("site", "name"), STREAMS)
def test_every_file_has_the_day_that_the_sites_own_rules_give_it_and_no_other_file_is_taken(
    site: str, name: str
) -> None:
    by_hand, entries = SITES[site].streams[name], simulated(name)

    def is_ours(path: str) -> bool:
        return by_hand.includes(path) and by_hand.day_of(path, 0) is not None

    [proposal] = proposed(entries, is_ours)
    expected = days_by(by_hand, entries)
    assert days_by(stream_of(proposal), entries) == expected
    assert len([day for day in expected.values() if day]) > DAYS - 1, "the oracle takes files"
    assert proposal.start == FIRST


@pytest.mark.parametrize("name", SITES["gamb2le"].streams)
def test_a_run_for_one_day_lists_by_directories_or_names_where_the_sites_own_rules_do(name: str) -> None:
    by_hand, entries = SITES["gamb2le"].streams[name], simulated(name)
    [proposal] = proposed(entries, lambda path: by_hand.includes(path) and by_hand.day_of(path, 0) is not None)
    day = FIRST + timedelta(days=1)
    mine, theirs = (Directories(one, [day]) for one in (stream_of(proposal), by_hand))
    assert (bool(mine.below), bool(mine.name_patterns)) == (bool(theirs.below), bool(theirs.name_patterns))
    files = [one for one, at in days_by(by_hand, entries).items() if at == day]
    assert files
    for path in files:
        assert mine.is_listed(listed(path))
        assert mine.is_in_day_dirs(path.decode(), day)


def test_the_camera_has_the_rules_of_the_demo_and_the_day_of_its_first_image() -> None:
    entries = simulated_camera()
    proposal = camera_proposal(entries, NOW)
    assert proposal is not None
    assert days_by(stream_of(proposal), entries) == days_by(SITES["gamb2le"].streams["wxcam"], entries)
    assert proposal.start == FIRST


def test_a_tree_without_a_single_name_of_wxcam_is_not_that_camera() -> None:
    assert camera_proposal(simulated("cl61"), NOW) is None


@pytest.mark.parametrize(
    ("name", "every"),
    [("cl61", "5m"), ("radar", "1h"), ("hatpro", "1h"), ("asfs_logger", "1h"), ("vaisalamet", "1d"), ("power", "1d")],
)
def test_the_interval_of_files_is_that_of_the_instruments_documentation(name: str, every: str) -> None:
    by_hand = SITES["gamb2le"].streams[name]
    [proposal] = proposed(simulated(name), lambda path: by_hand.includes(path) and by_hand.day_of(path, 0) is not None)
    assert proposal.every == every


@pytest.mark.parametrize("name", ["vaisalamet", "power"])
def test_a_daily_file_that_is_there_before_its_day_is_over_grows_all_day(name: str) -> None:
    noon = datetime.combine(FIRST + timedelta(days=DAYS - 1), datetime.min.time(), UTC) + timedelta(hours=12)
    by_hand = SITES["gamb2le"].streams[name]
    [proposal] = proposed(simulated(name, noon), by_hand.includes, noon)
    assert (proposal.settle, proposal.append) == ("0s", True)
    assert "rewritten" in proposal.notes[-1]
    [later] = proposed(simulated(name), by_hand.includes)
    assert (later.settle, later.append) == ("5m", None), "no day is open any more, so nothing shows that it grows"


def test_a_streams_name_picks_its_kind_and_where_it_does_not_nothing_is_picked() -> None:
    kinds = sort_entries(simulated("asfs_logger")).kinds
    assert [str(one) for one in likely_kinds(kinds, "asfs_fast_sonic", NOW.date())] == [
        "aurora_asfs_data_fast_sonic_*.dat"
    ]
    assert likely_kinds(kinds, "asfs_logger", NOW.date()) == []
    assert [str(one) for one in likely_kinds(sort_entries(simulated("power")).kinds, "other", NOW.date())] == [
        "power_data_*.csv"
    ]


# Each with what stands before, between and behind the parts of a date.
FORMATS = {
    "YYYYMMDD": "%Y%m%d",
    "YYYYMMDDHHMMSS": "%Y%m%d123456",
    "YYYYMMDD and a number": "%Y%m%d0000123",
    "YYYYMMDD_HHMMSS": "%Y%m%d_101112",
    "YYYYMMDDTHHMMSSZ": "%Y%m%dT101112Z",
    "YYYY-MM-DD": "%Y-%m-%d",
    "YYYY-MM-DDTHH-MM": "%Y-%m-%dT10-12",
    "YYYY_MM_DD": "%Y_%m_%d",
    "YYYY.MM.DD": "%Y.%m.%d",
    "YYYY/MM/DD": "%Y/%m/%d/data",
    "yYYYY/mMM/dDD": "Y%Y/M%m/D%d/data",
    "YYYY/MM and DD": "%Y/%m/data_%d",
    "YYYYMMDD/HH": "%Y%m%d/10/data",
    "directory and name": "%Y%m%d/data_%Y%m%d",
    "YYMMDD": "%y%m%d",
    "YYMMDDHHMM": "%y%m%d1011",
    "YYYYDDD": "%Y%j",
    "YYYYDDDHHMM": "%Y%j1011",
    "YYYY/DDD": "%Y/%j/data",
    "YYYY_DDD": "%Y_%j",
    "DD-MM-YYYY": "%d-%m-%Y",
    "DDMMYYYY": "%d%m%Y",
}
PREFIX = st.text(st.sampled_from("abcXYZ_-. +(){}[]^$|#:'\"%&!@=,;~äλ"), max_size=8).filter(
    lambda text: not text.startswith((".", "~")) and not text.endswith("~")
)
ENDING = st.sampled_from(["", ".nc", ".NC", ".csv", ".tar.gz", ".JPG", ".h5"])


@settings(deadline=None, max_examples=40)
@given(
    format_=st.sampled_from(list(FORMATS)),
    prefix=PREFIX,
    ending=ENDING,
    first=st.dates(date(2001, 1, 1), NOW.date() - timedelta(days=70)),
    days=st.lists(st.integers(0, 60), min_size=3, max_size=20, unique=True),
)
@example("YYYYMMDD", "ceilo[A]*$", ".nc", date(2026, 1, 1), [0, 1, 2])
def test_the_expression_reads_back_the_days_that_the_names_were_made_from(
    format_: str, prefix: str, ending: str, first: date, days: list[int]
) -> None:
    made = {f"{prefix}{day:{FORMATS[format_]}}{ending}": day for n in days for day in [first + timedelta(days=n)]}
    entries = [listed(path, datetime.combine(day, datetime.max.time(), UTC)) for path, day in made.items()]
    found = proposed(entries)
    right = [one for one in found if all(stream_of(one).day_of(path, 0) == day for path, day in made.items())]
    assert right, f"{found[0].day} does not read {made}"
    assert right[0] is found[0] or len(found) > 1, "where it is not the first, the operator chooses"
    if "\\" not in prefix:
        assert days_by(stream_of(right[0]), entries) == {path.encode(): day for path, day in made.items()}


LONG_BEFORE = date(2026, 1, 10)


def made_of(template: str, count: int = 8, first: date = FIRST) -> list[ListedEntry]:
    days = [first + timedelta(days=n) for n in range(count)]
    return [listed(f"{day:{template}}", datetime.combine(day, datetime.max.time(), UTC)) for day in days]


def test_a_serial_number_or_an_earlier_date_in_the_name_is_not_the_day() -> None:
    for template in ("SN12345678_%Y%m%d.csv", "SN20190304_%y%m%d.csv", "cal20190304_v2_%Y%m%d_000123.csv"):
        entries = made_of(template, 4)
        [proposal] = proposed(entries)
        assert days_by(stream_of(proposal), entries) == {
            one.path: FIRST + timedelta(days=n) for n, one in enumerate(entries)
        }, template


def test_of_two_days_in_a_path_that_of_the_base_name_counts_and_directories_are_only_listed_by_theirs() -> None:
    day = datetime(2026, 3, 30, 23, 30, tzinfo=UTC)
    entries = [
        listed(f"{at - timedelta(hours=1):%Y%m%d}/clip_{at:%Y%m%d_%H%M}.mp4", at)
        for at in (day + timedelta(hours=n) for n in range(30))
    ]
    [proposal] = proposed(entries)
    assert proposal.day_dirs == ("%Y%m%d",)
    assert days_by(stream_of(proposal), entries) == {
        one.path: datetime.fromtimestamp(one.version.mtime_ns / 1e9, UTC).date() for one in entries
    }


@pytest.mark.parametrize("step", [1, 1000])
def test_unix_times_and_names_without_a_day_are_placed_by_their_mtime(step: int) -> None:
    stamps = [int((NOW - timedelta(hours=5 * n)).timestamp()) for n in range(9)]
    entries = [listed(f"log-{stamp * step}.bin", datetime.fromtimestamp(stamp, UTC)) for stamp in stamps]
    [proposal] = proposed(entries)
    assert (proposal.day, proposal.day_names) == ("mtime", ())
    assert "UNIX" in proposal.notes[0]
    [nameless] = proposed([listed(f"flight{n}.log", NOW - timedelta(days=n)) for n in range(5)])
    assert (nameless.day, nameless.start) == ("mtime", NOW.date() - timedelta(days=4))


def test_where_two_readings_fit_equally_both_are_proposed_and_mtimes_may_decide() -> None:
    # 10 March to 12 March 2011, or years later: nothing in these names tells.
    long_ago = datetime(1999, 1, 1, tzinfo=UTC)
    entries = [listed(f"a_{number:06}.dat", long_ago) for number in (100311, 110310, 120312)]
    found = proposed(entries)
    days = {stream_of(one).day_of("a_100311.dat", 0) for one in found}
    assert {date(2010, 3, 11), date(2011, 3, 10)} <= days
    evenings = {"a_100311.dat": 10, "a_110311.dat": 11}  # of March 2011, by the mtimes
    decided = [listed(name, datetime(2011, 3, day, 23, tzinfo=UTC)) for name, day in evenings.items()]
    [proposal] = proposed(decided)
    assert stream_of(proposal).day_of("a_100311.dat", 0) == date(2011, 3, 10)


def test_day_366_is_a_day_of_leap_years_alone() -> None:
    [proposal] = proposed([listed(f"a_2024{n:03}.nc", datetime(2024, 12, 31, tzinfo=UTC)) for n in (364, 365, 366)])
    stream = stream_of(proposal)
    assert stream.day_of("a_2024366.nc", 0) == date(2024, 12, 31)
    assert [stream.day_of(f"a_{text}.nc", 0) for text in ("2025366", "2024000", "2024367", "0000001")] == [None] * 4


def test_the_days_are_plausible_in_all_files_from_1990_to_tomorrow_or_there_is_no_day() -> None:
    tomorrow = NOW.date() + timedelta(days=1)
    [one] = proposed([listed("a_19900101.nc"), listed(f"a_{tomorrow:%Y%m%d}.nc")])
    assert one.day != "mtime"
    for strange in ("a_19891231.nc", f"a_{tomorrow + timedelta(days=1):%Y%m%d}.nc", "a_20260230.nc"):
        [one] = proposed([listed("a_20260101.nc"), listed(strange)])
        assert one.day == "mtime", strange


def test_a_few_files_of_a_clock_that_was_reset_are_named_and_the_operator_chooses() -> None:
    entries = [*made_of("a_%Y%m%d_000000.nc", 40, date(2026, 2, 1)), listed("a_19700101_000010.nc")]
    by_name, by_mtime = proposed(entries)
    assert by_mtime.day == "mtime"
    assert by_name.start == date(2026, 2, 1)
    assert "1 file with an impossible day" in by_name.notes[-1]
    assert "a_19700101_000010.nc" in by_name.notes[-1]
    days = days_by(stream_of(by_name), entries[:-1])
    assert list(days.values()) == [date(2026, 2, 1) + timedelta(days=n) for n in range(40)]


def test_kinds_that_name_their_days_in_different_orders_are_refused_with_what_to_do() -> None:
    entries = [*made_of("a_%Y%m%d.csv", first=LONG_BEFORE), *made_of("b_%d-%m-%Y.csv", first=LONG_BEFORE)]
    with pytest.raises(DayRuleError, match="make a stream of each"):
        proposed(entries)


def test_kinds_that_divide_their_dates_differently_get_one_expression_for_both() -> None:
    entries = [*made_of("a_%Y%m%d.csv", first=LONG_BEFORE), *made_of("north/b-%Y-%m-%d.csv", first=LONG_BEFORE)]
    [proposal] = proposed(entries)
    assert None not in days_by(stream_of(proposal), entries).values()


def test_a_counter_beside_stamped_files_is_another_kind_and_one_that_grows_is_one_kind() -> None:
    entries = [*made_of("a_%Y%m%d.nc", 4), *(listed(f"a_{n}.nc") for n in (7, 98, 10123))]
    assert [len(kind.files) for kind in sort_entries(entries).kinds] == [4, 3]
    [proposal] = proposed(entries, lambda path: "2026" in path)
    stream = stream_of(proposal)
    assert [stream.includes(one.path.decode()) for one in entries] == [True] * 4 + [False] * 3


def test_a_thumbnail_beside_an_image_is_not_taken_with_it() -> None:
    entries = [*made_of("img_%Y%m%d.jpg", 4), *made_of("img_%Y%m%d_thumb.jpg", 4)]
    [proposal] = proposed(entries, lambda path: "thumb" not in path)
    stream = stream_of(proposal)
    assert {one.path for one in entries if stream.includes(one.path.decode())} == {
        one.path for one in entries if b"thumb" not in one.path
    }


def test_endings_in_either_case_are_one_pattern() -> None:
    entries = [*made_of("a_%Y%m%d.JPG", 3), *made_of("a_%Y%m%d.jpg", 4)]
    [proposal] = proposed(entries)
    assert proposal.include == ("a_*.jpg",)


NAMES = st.binary(min_size=1, max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))
HOSTILE = [
    *(b"", b"-rf", b"../../etc/passwd", b"/etc/passwd", b"a\nb: c", b"\x1b[2J", b"\xff\xfe", b"# no", b"a: b", b"'\""),
    *(b"[*?](\\d+)", b"\\[", b"%Y%m%d", b"%%", b"a" * 240, b"{x}", b"&a *b !c", b"20260305", b"\xe2\x80\xae.txt"),
]


@settings(deadline=None, max_examples=20)
@given(st.lists(NAMES | st.sampled_from(HOSTILE), max_size=30), st.sampled_from([FILE, SYMLINK, DIRECTORY]))
@example(HOSTILE, FILE)
def test_hostile_names_never_raise_and_never_break_yaml(names: list[bytes], kind: str) -> None:
    entries = [listed(name, kind=kind) for name in names]
    found = sort_entries(entries)
    for one in found.kinds:
        for proposal in propose([one], [other for other in found.kinds if other is not one], NOW):
            text = site_text(site_draft(StreamDraft("s", "here", "/data", proposal.settings())))
            stream = site_of_text(text, Path("x.yaml"), Path("/")).streams["s"]
            assert stream == stream_of(proposal).model_copy(update={"host": "here", "path": "/data", "raw": "s"})
            shown = preview(stream, entries, int(NOW.timestamp()) * 10**9)
            counted = shown.dated + sum(c.total for c in (*shown.refused.values(), *shown.left.values()))
            assert counted == shown.files


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=50) | st.lists(st.text(max_size=20), max_size=3) | st.dates() | st.booleans())
def test_a_value_is_one_line_of_yaml_and_reads_back_as_it_was(value: object) -> None:
    text = scalar(value)
    assert len(text.splitlines()) == 1
    assert yaml.safe_load(f"key: {text}  # comment")["key"] == value


def test_unfinished_hidden_and_unusable_files_are_no_basis_for_rules_and_are_counted() -> None:
    entries = [
        *made_of("a_%Y%m%d.nc", 4),
        *(listed(name) for name in ("a_20260330.nc.tmp", ".hidden_20260330", "up/.x/a_20260330.nc", "a\x07")),
        listed("link", kind=SYMLINK),
        listed("directory", kind=DIRECTORY),
    ]
    found = sort_entries(entries)
    assert [str(kind) for kind in found.kinds] == ["a_*.nc"]
    assert {reason: count.total for reason, count in found.unusable.items()} == {
        "named like an unfinished file": 1,
        "a part of its path begins with a dot": 2,
        "control character in the name": 1,
        "symlink": 1,
    }


def test_a_preview_counts_every_file_once_and_names_the_newest_three_with_their_days() -> None:
    entries = [*simulated("power"), listed("link", kind=SYMLINK)]
    shown = preview(SITES["gamb2le"].streams["power"], entries, int(NOW.timestamp()) * 10**9)
    assert shown.taken == {"power_data_*.csv": DAYS}
    assert [day for _, day in shown.newest] == [FIRST + timedelta(days=n) for n in (2, 1, 0)]
    assert {reason: count.total for reason, count in shown.refused.items()} == {"symlink": 1}
    assert {reason: count.first for reason, count in shown.left.items()} == {
        "no pattern of include takes its name": ["notes.txt", "lost+found/#131074"],
        "named like an unfinished file": ["transfer.tmp", "power_data_20260330.csv.tmp"],
    }
    assert shown.files == len(entries)


class Endless:
    """A source without an end, whose listing tells when it was closed."""

    is_closed = False

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        def entries():  # type: ignore[no-untyped-def]
            try:
                while True:
                    yield listed("a_20260330.nc")
            finally:
                self.is_closed = True

        return Listing(1_000_000_000, entries(), Count())


def test_a_sample_ends_by_number_or_time_says_so_and_ends_the_listing() -> None:
    source = Endless()
    assert "first 10 entries" in take_sample(source, "/", seconds=1e9, most=10).why_cut
    assert source.is_closed
    ticks = iter(range(100))
    by_time = take_sample(source, "/", seconds=5, clock=lambda: next(ticks))
    assert (by_time.files, by_time.why_cut) == (6, "listed for 5 s")


def site_draft(stream: StreamDraft, contact: str | None = None) -> SiteDraft:
    host = HostDraft("here", LocalHost(kind="local"))
    return SiteDraft("trial", contact, Path("/srv/data"), host, stream)


def written(stream: str = "power", contact: str | None = None) -> str:
    by_hand = SITES["gamb2le"].streams[stream]
    [proposal] = proposed(simulated(stream), by_hand.includes)
    return site_text(site_draft(StreamDraft(stream, "here", "/data", proposal.settings()), contact))


def read(text: str) -> Site:
    return site_of_text(text, Path("trial.yaml"), Path("/"))


def test_every_key_that_is_written_has_a_comment() -> None:
    lines = written(contact="team:sky").splitlines()
    keys = [n for n, line in enumerate(lines) if re.match(r" *[a-z_]+:", line)]
    assert len(keys) > 12
    streams = lines.index("streams:")
    for n in keys:
        is_name_of_stream = lines[n] == "  power:"
        assert is_name_of_stream or "# " in lines[n] or lines[n - 1].lstrip().startswith("# "), lines[n]
    assert streams in keys


def test_the_examples_behind_comment_signs_are_valid_when_the_signs_are_removed() -> None:
    text = re.sub(r"^#(?=[a-z]|  )", "", written(), flags=re.MULTILINE)
    site = read(re.sub(r"^   (?=[a-z_]+: )", "    ", text, flags=re.MULTILINE))
    assert set(site.streams) == {"power", "weather"}
    assert site.archive is not None
    assert site.alerts is not None
    assert site.retention.raw
    assert site.live.running
    assert site.contact == "team:observatory"


NEW = StreamDraft("new", "ceilo", "/data/new", {"include": ["new_*"], "day": "mtime", "start": FIRST})
CEILO = HostDraft("ceilo", SshHost(address="192.0.2.7", user="aurora", auth="none"))


@pytest.mark.parametrize("name", ["gamb2le", "instruments", "demo"])
def test_one_more_stream_changes_no_line_that_was_there(name: str) -> None:
    file = ROOT / "sites" / f"{name}.yaml"
    before = file.read_text()
    after = with_stream(before, file, CEILO, NEW)
    assert after is not None
    left = iter(after.splitlines())
    assert all(line in left for line in before.splitlines()), "in the same order, comments too"
    site = site_of_text(after, file, file.parent)
    assert list(site.streams) == [*load_site(file).streams, "new"]
    assert site.hosts["ceilo"] == CEILO.host


def test_a_file_whose_streams_are_written_in_braces_is_not_edited() -> None:
    text = written()
    streams = yaml.safe_load(text)["streams"]
    flow = f"{text[: text.index('streams:')]}streams: {scalar(streams)}\n"
    assert read(flow).streams.keys() == streams.keys()
    assert with_stream(flow, Path("/x.yaml"), CEILO, NEW) is None


def test_a_large_directory_is_sorted_into_its_kinds_whatever_words_its_names_have() -> None:
    words = (f"{n * 7919 % 100_003:x}z" for n in range(10_000))
    entries = [listed(f"img_20260330_{word}.jpg") for word in islice(words, 2000)]
    [kind] = sort_entries(entries).kinds
    [proposal] = propose([kind], [], NOW)
    assert set(days_by(stream_of(proposal), entries).values()) == {date(2026, 3, 30)}
