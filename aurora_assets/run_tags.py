"""The tags of runs: lanes and priorities. Runs for new files go first; history runs use the capacity that is left.

``dagster.yaml`` limits the number of runs by these tags, and the run launcher reads them.
"""

from collections.abc import Mapping

from dagster import MAX_RUNTIME_SECONDS_TAG
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

LANE = "aurora/lane"
LIVE, HISTORY = "live", "history"
PUSH, PUSH_SMALL, EVIDENCE, OPS = "push", "push_small", "evidence", "ops"
"""The lanes of the archive: pushes, pushes of small products, verification; and the lane of health runs."""
PRIORITY = "dagster/priority"

STREAM = "aurora/stream"
WAY = "aurora/way"
"""Runs with the same value wait for each other in the queue, where they take no slot, and not for each other's lock."""
LISTING = "aurora/listing"
"""The fingerprint of the missing files that a run was requested for: a repeated request has the same one."""

# A live run copies the files of the live window and makes a day's products. A longer run hangs.
_LIVE_SECONDS = 2 * 3600


def live(stream: str, listing: str) -> dict[str, str]:
    """Tags of a run for new files."""
    return {
        LANE: LIVE,
        PRIORITY: "10",
        STREAM: stream,
        WAY: f"{stream}/{LIVE}",
        LISTING: listing,
        MAX_RUNTIME_SECONDS_TAG: str(_LIVE_SECONDS),
    }


def history(stream: str) -> dict[str, str]:
    """Tags of a run for old days."""
    return {LANE: HISTORY, PRIORITY: "-10", STREAM: stream}


def archive(lane: str, way: str, stream: str, *, old: bool = False) -> dict[str, str]:
    """Tags of a run that pushes (``PUSH``, ``PUSH_SMALL``) or verifies (``EVIDENCE``).

    Runs for ``old`` days have a lower priority.
    """
    return {
        LANE: f"{lane}_history" if old else lane,
        PRIORITY: "-5" if old else "0",
        STREAM: stream,
        WAY: f"{way}/{lane}{'_history' if old else ''}",
    }


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags that make one run of a range of partitions."""
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}


def has_low_priority(tags: Mapping[str, str]) -> bool:
    """Whether a run uses CPU and disks only while no other process needs them."""
    return is_history(tags) or tags.get(LANE, "").startswith(EVIDENCE)


def is_history(tags: Mapping[str, str]) -> bool:
    """Whether a run belongs to a reconciliation, to late days, or to a backfill from the UI."""
    return tags.get(LANE) == HISTORY or "dagster/backfill" in tags
