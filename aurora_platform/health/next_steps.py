"""What to do about an asset check that failed: one line for each check name. ``docs/operating.md`` says more.

Every check of the code location has its line here and its entry in the runbook; a test holds that.
"""

from __future__ import annotations

from aurora_platform.health.models import FailedCheck
from aurora_platform.layout import IS_FRESH, NOTHING_IS_RED

TOLD_BY_MANIFESTS = frozenset({"no_settled_gap", "every_place_was_seen"})
"""What the manifests of a stream say too, with their own line and their own alert."""
TOLD_BY_SOURCE = frozenset({"matches_source", "nothing_refused"})
"""Fail also where the source cannot be seen, which has its own line and its own alert."""
TOLD_BY_MAIL = frozenset({"mail_can_leave"})
"""That no mail can leave is nothing to mail: what waits says it itself once it arrives."""

NEXT_STEPS = {
    IS_FRESH: "aurora status; the ticks of arrivals_{stream}",
    NOTHING_IS_RED: "aurora health",
    "matches_source": "aurora sync {stream} brings over what is missing; then execute the check again",
    "nothing_refused": "the table of the check names each entry and the reason; correct it on the host, or `include`",
    "nothing_foreign": "move what the table names out of the raw directory",
    "no_file_in_the_future": "the clock of the instrument and of its host; aurora audit",
    "no_gap": "did the instrument write then? aurora status; the files on the host",
    "matches_raw_day": "materialize {asset} for that day; aurora audit where it fails again",
    "no_unreadable_media": "the table names each file; touch it on the host if it is whole there",
    "plays": "delete the video that the check names and materialize {asset} for that day",
    "every_closed_hour_has_one": "materialize wxcam/catalog for that day, then the hours of {asset}",
    "times_match_catalog": "delete that day's directory below wxcam.zarr and materialize {asset} for it",
    "nothing_parked": "aurora ledger shows the files and why; aurora repair {stream} --day D",
    "finalized_files_stay": "compare both versions: the check names where the earlier one is kept; docs/archive.md",
    "no_settled_gap": "aurora repair {stream} --day D shows what is wrong and how it is made right",
    "every_place_was_seen": "aurora audit: can the host and the archive be reached, listed and read?",
    "mail_can_leave": "aurora alert --test says why no mail can leave",
}
_OF_ANY = "the check's table in the UI"


def next_step(check: FailedCheck) -> str:
    """What to look at, or do, where it failed."""
    step = NEXT_STEPS.get(check.name, _OF_ANY)
    return step.format(stream=check.stream or "STREAM", asset=check.asset)


def details_of(check: FailedCheck) -> str:
    """The stage, what to do, and where more is said."""
    return f"Stage: check. See: {next_step(check)}. Runbook: `{check.name}` fails"


def said_of(check: FailedCheck) -> str:
    """Since when it fails, of what, and what it says."""
    since = f" since {check.since_utc:%Y-%m-%d %H:%M:%S} UTC" if check.since_utc else ""
    of = f", partition {check.partition}" if check.partition else ""
    if check.partitions_count > 1:
        of = f", {check.partitions_count} partitions ({check.partition})"
    return f"failed{since}{of}: {check.sentence}"
