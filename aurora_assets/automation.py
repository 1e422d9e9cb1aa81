"""When a product is brought up to date without anyone asking: the conditions that the UI shows with each asset.

Part of the Dagster layer. What arrives in the live window starts one run for the whole day (``sensors/arrivals.py``).
The conditions here are for all else that changes a day's input: a backfill of the mirror alone, a file recovered late.
"""

from datetime import timedelta

from dagster import AutomationCondition, FreshnessPolicy

# Not the version of Dagster's `any_deps_updated`: a mirror that was run again and found nothing new has the same data
# version, and asks for nothing. Nor does a run that makes both.
# (Dagster knows that of runs with an asset selection; one of a whole job counts as in progress until both are made.)
_INPUT_CHANGED = AutomationCondition.any_deps_match(
    (AutomationCondition.data_version_changed() & ~AutomationCondition.executed_with_root_target())
    | AutomationCondition.will_be_requested()
)

_A_DAY = timedelta(days=1)

_NOT_NOW = (
    ~AutomationCondition.any_deps_missing()
    & ~AutomationCondition.any_deps_in_progress()
    & ~AutomationCondition.in_progress()
)

# What was asked for counts as handled, also when its run failed; so a failure is tried again once an hour.
_FAILED = (AutomationCondition.cron_tick_passed("5 * * * *") & AutomationCondition.execution_failed()).with_label(
    "it failed, and an hour has passed"
)

WHEN_ITS_INPUT_CHANGED = ((_INPUT_CHANGED.since_last_handled() | _FAILED) & _NOT_NOW).with_label("its input changed")


def last_made(stale_after: timedelta) -> FreshnessPolicy:
    """Dagster's own freshness: how long ago the last materialization was, whatever day that was about.

    It stands beside our checks of the data's age (:mod:`aurora_assets.health.checks`), which a backfill does not fool.
    """
    return FreshnessPolicy.time_window(fail_window=_A_DAY + stale_after, warn_window=stale_after)


def when_an_old_day_changed(lookback: timedelta) -> AutomationCondition:
    """For hours: the schedule sees to those of the live window, so only older ones follow their day here."""
    window = lookback + timedelta(days=1)
    old = ~AutomationCondition.in_latest_time_window(window).with_label("in the live window")
    # Old when the change comes: what changed in the live window is not remembered until its hour is old.
    changed = (old & _INPUT_CHANGED).since_last_handled() | (old & _FAILED)
    return (changed & _NOT_NOW).with_label("the input of an old day changed")
