"""The automation conditions, which start runs without a person; and whether sensors and schedules run from the start.

New files in the live window start one run for the whole day (``sensors/arrivals.py``). The conditions are for all other
changes to the input of a day: a backfill of the mirror alone, a file that was recovered late.
:mod:`aurora_assets.policies` has the table of assets and their conditions; the UI shows them with each asset.
"""

from datetime import timedelta

from dagster import AutomationCondition, DefaultScheduleStatus, DefaultSensorStatus

from aurora_platform.config.site import Site

# Not Dagster's `any_deps_updated`: a mirror that ran again without new files has the same data version, so nothing must
# be made. The same holds for a run that makes both assets. (Dagster detects that for runs with an asset selection; a
# run of a whole job counts as in progress until both are made.)
_INPUT_CHANGED = AutomationCondition.any_deps_match(
    (AutomationCondition.data_version_changed() & ~AutomationCondition.executed_with_root_target())
    | AutomationCondition.will_be_requested()
)

_INPUTS_READY = (
    ~AutomationCondition.any_deps_missing()
    & ~AutomationCondition.any_deps_in_progress()
    & ~AutomationCondition.in_progress()
)

# Dagster counts a request as handled even if its run failed; so a failed run is tried again once an hour.
_FAILED = (AutomationCondition.cron_tick_passed("5 * * * *") & AutomationCondition.execution_failed()).with_label(
    "failed an hour ago or earlier"
)

WHEN_ITS_INPUT_CHANGED = ((_INPUT_CHANGED.since_last_handled() | _FAILED) & _INPUTS_READY).with_label(
    "when its input changes"
)


def default_status[Status: (DefaultScheduleStatus, DefaultSensorStatus)](site: Site, kind: type[Status]) -> Status:
    """Whether schedules and sensors run from the start: ``live.running`` of the site file."""
    return kind.RUNNING if site.live.running else kind.STOPPED


def when_an_old_day_changed(lookback: timedelta) -> AutomationCondition:
    """The condition of assets whose live window is made by a schedule: it requests only older days."""
    window = lookback + timedelta(days=1)
    old = ~AutomationCondition.in_latest_time_window(window).with_label("in the live window")
    # The day must be old when it changes: a change in the live window does not count later, when the day is old.
    changed = (old & _INPUT_CHANGED).since_last_handled() | (old & _FAILED)
    return (changed & _INPUTS_READY).with_label("when an old day's input changes")
