"""A file that is passed over early, because it is of another day, is one that no wanted day would have or report."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import DIRECTORY, FILE, SYMLINK, FileVersion, ScannedEntry
from aurora_platform.streams.classify import Classifier, Directories

TODAY = date(2026, 8, 18)
CLOCK_NS = int(datetime(2026, 8, 18, 12, tzinfo=UTC).timestamp()) * 10**9
WANTED = [TODAY - timedelta(days=1), TODAY]
FLAT = {
    "host": "here",
    "path": "/data",
    "raw": "met",
    "include": ["met_*.csv"],
    "day": r"_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
    "day_names": ["met_%Y%m%d_*"],
    "start": "2026-01-01",
}
DAYS = st.integers(-3, 3).map(lambda n: f"{TODAY + timedelta(days=n):%Y%m%d}")
NAMES = st.one_of(
    st.builds("met_{}_{}.csv".format, DAYS, st.text("01\\[*\t", max_size=3)),
    st.builds("met_{}_{}.csv".format, DAYS, DAYS),
    st.builds("{}/met_{}.csv".format, st.sampled_from(["a", "..", ".x", ""]), DAYS),
    st.builds("other_{}".format, DAYS),
    st.text("met_2026081.csv", max_size=24),
)
KINDS = st.sampled_from([FILE, DIRECTORY, SYMLINK, "p"])
MTIMES = st.sampled_from([0, -1, CLOCK_NS - 10**9, CLOCK_NS + 2 * 86400 * 10**9])


@given(name=NAMES, kind=KINDS, mtime_ns=MTIMES, size=st.sampled_from([-1, 0, 5]))
def test_a_file_that_is_passed_over_has_no_day_that_is_wanted(name: str, kind: str, mtime_ns: int, size: int) -> None:
    stream = Stream.model_validate(FLAT)
    classifier = Classifier(stream, Directories(stream, WANTED), CLOCK_NS)
    entry = ScannedEntry(name.encode(), FileVersion(size, mtime_ns), kind)
    if classifier.is_of_another_day(entry, set(WANTED)):
        assert classifier(entry).day not in WANTED


@pytest.mark.parametrize(("name", "is_passed_over"), [("met_20260801_1.csv", True), ("met_20260818_1.csv", False)])
def test_a_usual_file_is_passed_over_exactly_where_its_day_is_not_wanted(name: str, is_passed_over: bool) -> None:
    stream = Stream.model_validate(FLAT)
    classifier = Classifier(stream, Directories(stream, WANTED), CLOCK_NS)
    entry = ScannedEntry(name.encode(), FileVersion(5, CLOCK_NS - 10**9), FILE)
    assert classifier.is_of_another_day(entry, set(WANTED)) is is_passed_over
