"""What to do about an asset check that failed: one line per check name. ``docs/operating.md`` says more.

Every check of the code location has its line here and its entry in the runbook; a test verifies that.
"""

from __future__ import annotations

from aurora_platform.health.models import FailedCheck
from aurora_platform.layout import IS_FRESH, NOTHING_IS_RED

REPORTED_BY_MANIFESTS = frozenset({"no_settled_gap", "every_place_was_seen"})
"""The manifests of the stream report the same problem, with their own line and their own alert."""
REPORTED_BY_SOURCE = frozenset({"matches_source", "nothing_refused"})
"""Fail also while the source is unreachable, which has its own line and its own alert."""
NEVER_MAILED = frozenset({"mail_can_leave"})
"""A mail cannot report that mails cannot be sent; the waiting mail reports its events once it is sent."""

NEXT_STEPS = {
    IS_FRESH: "run aurora status; read the ticks of arrivals_{stream} in the UI",
    NOTHING_IS_RED: "run aurora health",
    "matches_source": "run aurora sync {stream} to copy the missing files; then execute the check again",
    "nothing_refused": "the check's table lists each entry and the reason; correct it on the host, or change `include`",
    "nothing_foreign": "move the files listed in the check's table out of the raw directory",
    "no_file_in_the_future": "check the clocks of the instrument and of its host; run aurora audit",
    "no_gap": "did the instrument write at that time? run aurora status; list the files on the host",
    "matches_raw_day": "materialize {asset} for that day; if the check fails again, run aurora audit",
    "no_unreadable_media": "the check's table lists each file; if a file is intact on the host, run touch on it there",
    "plays": "delete the video that the check names and materialize {asset} for that day",
    "every_closed_hour_has_one": "materialize wxcam/catalog for that day, then {asset} for the hours",
    "times_match_catalog": "delete that day's directory below wxcam.zarr and materialize {asset} for that day",
    "nothing_parked": "run aurora ledger: it lists files and reasons; remove the cause, then run aurora ledger --retry",
    "copies_can_be_read_back": "run aurora audit; tell the owner of the archive which files came back with other bytes",
    "a_day_can_be_restored": "run aurora drill for the stream and day of the check; then aurora repair for that day",
    "finalized_files_stay": "compare both versions: the check names the path of the earlier one; docs/archive.md",
    "products_are_proved": "run aurora repair core_products, wxcam_products or registered, as the check's table says",
    "every_product_place_was_seen": "run aurora audit: is the products' disk mounted, and can the archive be reached?",
    "no_settled_gap": "run aurora repair {stream} --day D: it shows what is wrong and how to repair it",
    "no_change_is_held_back": "run aurora accept {stream} --day D: it shows both versions; is the host all right?",
    "every_place_was_seen": "run aurora audit: can the host and the archive be reached, listed and read?",
    "mail_can_leave": "run aurora alert --test: it shows why no mail can be sent",
}
_DEFAULT_STEP = "read the check's table in the UI"


def next_step(check: FailedCheck) -> str:
    """Return what to do about a failed check."""
    step = NEXT_STEPS.get(check.name, _DEFAULT_STEP)
    return step.format(stream=check.stream or "STREAM", asset=check.asset)


def failed_check_details(check: FailedCheck) -> str:
    """Return the stage, the next step, and the entry of the runbook."""
    return f"Stage: check. Next: {next_step(check)}. Runbook: `{check.name}` fails"


def failed_check_message(check: FailedCheck) -> str:
    """Return since when the check fails, for which partitions, and its sentence."""
    since = f" since {check.since_utc:%Y-%m-%d %H:%M:%S} UTC" if check.since_utc else ""
    partitions = f", partition {check.partition}" if check.partition else ""
    if check.partitions_count > 1:
        partitions = f", {check.partitions_count} partitions ({check.partition})"
    return f"failed{since}{partitions}: {check.sentence}"
