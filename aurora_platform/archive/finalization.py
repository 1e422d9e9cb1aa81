"""One finalization, as its file on disk says it: whether a day or a list is complete, and the name of its manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from aurora_platform.layout import FinalizedKey, read_finalized_key

MAX_BYTES = 1 << 22
"""Of a finalization; a manifest may be larger."""
MOST = 10**9
"""Of revisions, and of files."""
_MAX_WHY = 20_000
_SHA256 = re.compile("[0-9a-f]{64}")
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
            return time.astimezone(UTC) if time.tzinfo is not None else None
        except (ValueError, OverflowError):
            return None

    def is_younger(self, age: timedelta, now: datetime) -> bool:
        """Whether it has changed within ``age`` before ``now``; False where its time is damaged or in the future."""
        since = self.since_utc
        return since is not None and timedelta(0) <= now - since < age


class _Loader(yaml.SafeLoader):
    """Refuses aliases: a few hundred bytes of them can stand for more than memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def parse_finalization(text: bytes) -> Finalization:
    """Read the bytes of a finalization; one of :data:`DAMAGE` where they are none."""
    loader = _Loader(text)
    try:
        data = loader.get_single_data()
    finally:
        loader.dispose()
    sha256 = data["manifest_sha256"]
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError("manifest_sha256 is no SHA-256")
    return Finalization(
        complete=data["complete"] is True,
        manifest_sha256=sha256,
        files=_number(data, "files"),
        revision=_number(data, "revision", least=1),
        lost=_number(data, "lost") if "lost" in data else 0,
        why=str(data.get("why", ""))[:_MAX_WHY],
        since=str(data.get("finalized_at" if data["complete"] else "withdrawn_at", ""))[:_MAX_WHY],
    )


def _number(data: Mapping[str, Any], key: str, least: int = 0) -> int:
    value = data[key]
    if type(value) is not int or not least <= value < MOST:
        raise ValueError(f"{key} is not a number from {least} to {MOST - 1}")
    return value


def newest_revisions(stream: str, paths: Iterable[str]) -> dict[FinalizedKey, int]:
    """Return the newest revision of each finalization of which some paths are manifests; ignores other paths."""
    name, found = re.compile(rf"([^/]+)_{re.escape(stream)}_manifest_r([0-9]{{1,9}})\.tsv$"), dict[FinalizedKey, int]()
    for match in filter(None, (name.search(path) for path in paths)):
        with suppress(ValueError):
            key = read_finalized_key(match[1])
            found[key] = max(found.get(key, 0), int(match[2]))
    return found
