"""Two lanes for runs: what arrives now goes first, what is history takes what is left.

Part of the Dagster layer. The tags written here are what ``dagster.yaml`` limits and what the run launcher looks at.
"""

from collections.abc import Mapping

from dagster import MAX_RUNTIME_SECONDS_TAG
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

LANE = "aurora/lane"
LIVE, HISTORY = "live", "history"
PUSH, PUSH_SMALL, EVIDENCE, OPS = "push", "push_small", "evidence", "ops"
"""The archive's own lanes: what goes there, small products apart from all else, and the proof that it is there."""
PRIORITY = "dagster/priority"

STREAM = "aurora/stream"
WAY = "aurora/way"
"""Live runs on one stream wait for each other in the queue, where they take no place, and not for each other's lock."""
LISTING = "aurora/listing"
"""What a run was asked for: tells a request that failed before from a new one."""

# A live run moves a window's files and makes a day's products. One that has not ended by then hangs.
_LIVE_SECONDS = 2 * 3600


def live(stream: str, listing: str) -> dict[str, str]:
    """Tags of a run for what has just arrived."""
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

    ``old`` days go behind what has come now.
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


def is_polite(tags: Mapping[str, str]) -> bool:
    """Whether a run takes the CPU and the disks only where nobody else wants them."""
    return is_history(tags) or tags.get(LANE, "").startswith(EVIDENCE)


def is_history(tags: Mapping[str, str]) -> bool:
    """Whether a run is of reconciliation, late days, or a backfill from the UI: it takes what is left."""
    return tags.get(LANE) == HISTORY or "dagster/backfill" in tags
