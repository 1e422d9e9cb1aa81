"""One run of the platform on the site that AURORA_SITE names: what a Dagster run worker does, as a program to kill.

Prints ``ready`` when everything is imported, then materializes a day, then its hours, through Dagster.
"""

import sys

from dagster import DagsterInstance

from aurora_assets.definitions import defs


def main(day: str) -> None:
    print("ready", flush=True)
    with DagsterInstance.ephemeral() as instance:
        for job, tags in (
            ("wxcam_day", {"dagster/partition": day}),
            (
                "wxcam_hours",
                {
                    "dagster/asset_partition_range_start": f"{day}-00:00",
                    "dagster/asset_partition_range_end": f"{day}-23:00",
                },
            ),
        ):
            result = defs.resolve_job_def(job).execute_in_process(instance=instance, tags=tags, raise_on_error=False)
            if not result.success:
                sys.exit(f"{job} failed")


if __name__ == "__main__":
    main(sys.argv[1])
