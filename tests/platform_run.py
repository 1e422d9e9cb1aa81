"""Runs the platform once on the site of AURORA_SITE, like a Dagster run worker: a program that tests kill.

It materializes a day or a range of days, then their hours, with Dagster.
"""

import sys

from dagster import DagsterInstance

from aurora_assets.definitions import defs
from aurora_assets.run_tags import range_tags


def main(first: str, last: str) -> None:
    with DagsterInstance.ephemeral() as instance:
        for job, tags in (
            ("wxcam_day", range_tags(first, last)),
            ("wxcam_hours", range_tags(f"{first}-00:00", f"{last}-23:00")),
        ):
            result = defs.resolve_job_def(job).execute_in_process(instance=instance, tags=tags, raise_on_error=False)
            if not result.success:
                sys.exit(f"{job} failed")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[-1])
