"""Dagster accepts every schedule that a site file may hold."""

from dagster._utils.schedules import is_valid_cron_string, schedule_execution_time_iterator
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aurora_platform.config.site import Site
from tests.config.unit.test_site import CRON_FIELDS, changed


@settings(max_examples=200)
@given(st.lists(CRON_FIELDS | st.just("*"), min_size=5, max_size=5))
@example(["*/0", "*", "*", "*", "*"])
@example(["0", "0", "0", "*", "*"])
@example(["59-0", "23-1", "28", "2", "7-1"])
@example(["0", "0", "29", "2", "*"])
@example(["0", "0", "30", "2", "1"])
@example(["0", "0", "31", "4,6", "*"])
def test_dagster_accepts_every_schedule_that_a_site_file_may_hold(fields: list[str]) -> None:
    value = " ".join(fields)
    try:
        site = Site.model_validate(changed("live.reconcile", value))
    except ValidationError:
        return
    assert is_valid_cron_string(site.live.reconcile)
    next(schedule_execution_time_iterator(0, site.live.reconcile, "UTC"))  # there is such a date
