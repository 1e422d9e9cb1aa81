"""The rule about changed files of finalized days, for any changes and any earlier decisions."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aurora_platform.archive.change_rule import (
    MOST_OF_DAY,
    MOST_OF_STREAM,
    MOST_SHARE_OF_DAY,
    Change,
    ChangeState,
    Decision,
    decide,
)
from aurora_platform.fs.versions import FileVersion

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(4)]
VERSIONS = st.builds(FileVersion, st.integers(0, 3), st.integers(1, 3))
CHANGES = st.lists(
    st.builds(Change, st.sampled_from([f"{n}.csv" for n in range(70)]), st.sampled_from(DAYS), VERSIONS, st.booleans()),
    max_size=70,
    unique_by=lambda change: change.path,
)
EARLIER = CHANGES.flatmap(
    lambda changes: st.tuples(
        *(st.builds(Decision, st.just(change), st.sampled_from(ChangeState), st.just("stored")) for change in changes)
    )
)
REVISED = st.dictionaries(st.sampled_from([f"{n}.csv" for n in range(90)]), st.sampled_from(DAYS), max_size=60)
FINALIZED = st.fixed_dictionaries({day: st.integers(1, 200) for day in DAYS})


@given(CHANGES, EARLIER, FINALIZED, st.sampled_from(DAYS), REVISED)
def test_many_changes_are_held_back_and_only_what_was_accepted_counts_as_accepted(
    changes: list[Change],
    stored: tuple[Decision, ...],
    finalized: dict[date, int],
    first_revisable: date,
    revised: dict[str, date],
) -> None:
    earlier = {decision.change.path: decision for decision in stored}
    decided = decide(changes, earlier, finalized, first_revisable, revised)
    decisions = {decision.change.path: decision for decision in decided}
    assert {change.path for change in changes} <= decisions.keys()
    after = earlier | decisions
    accepted = {path for path, decision in after.items() if decision.state is ChangeState.ACCEPTED}
    for path in accepted:
        assert earlier[path].state is ChangeState.ACCEPTED
        assert earlier[path].change.version == after[path].change.version
    revisions = [d.change for path, d in after.items() if d.state is ChangeState.REVISION]
    per_day = Counter(decision.change.day for path, decision in after.items() if path not in accepted)
    assert not revisions or per_day.total() <= MOST_OF_STREAM
    per_day.update(day for path, day in revised.items() if path not in after)
    for change in revisions:
        assert per_day[change.day] <= max(MOST_OF_DAY, MOST_SHARE_OF_DAY * finalized[change.day])
        assert not change.is_same_version
        is_earlier = earlier.get(change.path) is not None and earlier[change.path].change.version == change.version
        assert change.day >= first_revisable or is_earlier
    again = {d.change.path: d for d in decide(changes, after, finalized, first_revisable, revised)}
    assert again.items() <= after.items(), "stable"
