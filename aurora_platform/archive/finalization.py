"""One finalization, as its file on disk says it: whether a day or a list is complete, and the name of its manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import yaml

from aurora_platform.layout import FinalizedKey, read_finalized_key

MAX_BYTES = 1 << 22
"""Of a finalization; a manifest may be larger."""
DAMAGE = (
    *(yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError),
    OSError,
)
"""The errors of reading a file that another program wrote, or that a disk damaged."""


@dataclass(frozen=True, slots=True)
class Finalization:
    """The finalization of one day, or of a list of its own, as read from its file."""

    complete: bool
    manifest_sha256: str
    files: int
    revision: int
    lost: int = 0
    """Files of the source whose loss an operator has accepted; the manifest names them."""
    why: str = ""
    since: str = ""
    """When it was finalized, or withdrawn; ISO 8601, UTC. It comes from a file, and may be no time."""

    @property
    def since_utc(self) -> datetime | None:
        """:attr:`since` as a time; None where it is none."""
        try:
            time = datetime.fromisoformat(self.since)
        except ValueError:
            return None
        return time if time.tzinfo is not None else None

    def is_younger(self, age: timedelta, now: datetime) -> bool:
        """Whether it has changed within ``age`` before ``now``; False where its time is damaged or in the future."""
        since = self.since_utc
        return since is not None and timedelta(0) <= now - since < age


def parse_finalization(text: bytes) -> Finalization:
    """Read the bytes of a finalization; any of several errors where they are damaged."""
    data = yaml.safe_load(text)
    return Finalization(
        complete=bool(data["complete"]),
        manifest_sha256=str(data["manifest_sha256"]),
        files=int(data["files"]),
        revision=int(data["revision"]),
        lost=int(data.get("lost", 0)),
        why=str(data.get("why", "")),
        since=str(data.get("finalized_at" if data["complete"] else "withdrawn_at", "")),
    )


def newest_revisions(stream: str, paths: Iterable[str]) -> dict[FinalizedKey, int]:
    """Return the newest revision of each finalization of which some paths are manifests; ignores other paths."""
    name, found = re.compile(rf"([^/]+)_{re.escape(stream)}_manifest_r([0-9]{{1,9}})\.tsv$"), dict[FinalizedKey, int]()
    for match in filter(None, (name.search(path) for path in paths)):
        with suppress(ValueError):
            key = read_finalized_key(match[1])
            found[key] = max(found.get(key, 0), int(match[2]))
    return found
