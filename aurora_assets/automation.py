"""What starts runs without a person: the automation conditions that the UI shows with each asset, and who runs at all.

Part of the Dagster layer. What arrives in the live window starts one run for the whole day (``sensors/arrivals.py``).
The conditions are for everything else that changes the input of a day: a backfill of the mirror alone, a file that was
recovered late. :mod:`aurora_assets.policies` says which asset has which condition.
"""

from datetime import timedelta

from dagster import AutomationCondition, DefaultScheduleStatus, DefaultSensorStatus

from aurora_platform.config.site import Site

# Not Dagster's `any_deps_updated`: a mirror that ran again and found nothing new has the same data version, so nothing
# is to be made. The same holds for a run that makes both. (Dagster knows that of runs with an asset selection; a run
# of a whole job counts as in progress until both are made.)
_INPUT_CHANGED = AutomationCondition.any_deps_match(
    (AutomationCondition.data_version_changed() & ~AutomationCondition.executed_with_root_target())
    | AutomationCondition.will_be_requested()
)

_NOT_NOW = (
    ~AutomationCondition.any_deps_missing()
    & ~AutomationCondition.any_deps_in_progress()
    & ~AutomationCondition.in_progress()
)

# A request counts as handled even when its run failed; so a failure is tried again once an hour.
_FAILED = (AutomationCondition.cron_tick_passed("5 * * * *") & AutomationCondition.execution_failed()).with_label(
    "it failed, and an hour has passed"
)

WHEN_ITS_INPUT_CHANGED = ((_INPUT_CHANGED.since_last_handled() | _FAILED) & _NOT_NOW).with_label("its input changed")


def default_status[Status: (DefaultScheduleStatus, DefaultSensorStatus)](site: Site, kind: type[Status]) -> Status:
    """Whether schedules and sensors run from the start, as ``live.running`` of the site file says."""
    return kind.RUNNING if site.live.running else kind.STOPPED


def when_an_old_day_changed(lookback: timedelta) -> AutomationCondition:
    """For assets of which a schedule makes the live window: the condition is about older days alone."""
    window = lookback + timedelta(days=1)
    old = ~AutomationCondition.in_latest_time_window(window).with_label("in the live window")
    # The day must be old when the change comes: a change in the live window is not remembered until its day is old.
    changed = (old & _INPUT_CHANGED).since_last_handled() | (old & _FAILED)
    return (changed & _NOT_NOW).with_label("the input of an old day changed")
