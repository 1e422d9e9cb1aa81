"""``latest/`` and ``history/``: the manifests of all streams, their counts, and what may be pruned; replaced as one.

A reader of ``<manifests>/latest`` sees the manifests of one publication or of the next, never some of each: a new
directory is written beside it, with hard links to the files of streams that have not changed, and changes places with
the old one in one step. Where something lies in the old one that does not read (another system may have left it), the
old one is put aside.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aurora_platform.archive import manifest
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.reports import StreamSummary
from aurora_platform.archive.set_aside import Aside
from aurora_platform.fs.atomic import Staging, flush, publish_tree
from aurora_platform.layout import CANDIDATES, SIDES, SUMMARY, ManifestLayout, side_manifest
from aurora_platform.text import printable

CANDIDATES_HEADER = "relpath\n"
_STAMP = "%Y%m%dT%H%M%SZ"


class Publication:
    """``<manifests>/latest`` and ``history`` of one site."""

    def __init__(self, layout: ManifestLayout, staging: Staging, keep: int, history_every: timedelta) -> None:
        self.layout = layout
        self.staging = staging
        self.keep = keep
        self.history_every = history_every

    @property
    def latest(self) -> Path:
        return self.layout.latest

    def summary(self) -> dict[str, Any]:
        """``latest/summary.json``; empty where nothing was published, or what lies there is none."""
        try:
            data = json.loads(self.layout.summary.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) and isinstance(data.get("streams"), dict) else {}

    def publish(
        self,
        stream: str,
        summary: StreamSummary,
        evidence: Evidence,
        candidates: Sequence[str],
        stale: Mapping[str, str],
    ) -> Aside | None:
        """Publish a stream's manifests; those of the others stay as they are.

        Returns what was left behind, because it is no part of a publication and does not read; None where nothing was.

        Parameters
        ----------
        stream, summary, evidence, candidates
            The stream, its counts, what is known of its files, and which may be pruned on the host.
        stale
            Other streams whose evidence has become too old, and in what way: they lose their candidates.
        """
        now = datetime.now(UTC)
        # One name for all streams: it is also the lock of this directory.
        with self.staging.claim("latest") as place, self.staging.claim("latest.history") as copy:
            place.mkdir()
            aside = Aside(self.layout.aside / f"{now:%Y%m%dT%H%M%S.%fZ}")
            streams = self._carry_over(stream, place, stale, aside)
            self._write_stream(place / stream, stream, evidence, candidates)
            streams[stream] = asdict(summary)
            data = {"generated_at_utc": now.isoformat(timespec="seconds"), "streams": dict(sorted(streams.items()))}
            _write(place / SUMMARY, json.dumps(data, indent=2) + "\n")
            flush(place)
            self._remember(place, copy, now)
            publish_tree(place, self.latest)
            if aside.names:
                aside.put(place, instead=self.latest.with_name(f"{self.latest.name}.{aside.place.name}"))
        return aside if aside.names else None

    def _carry_over(self, stream: str, place: Path, stale: Mapping[str, str], aside: Aside) -> dict[str, Any]:
        """Link what other streams have, and note what does not read; returns their summaries."""
        try:
            entries = sorted(self.latest.iterdir())
        except FileNotFoundError:
            if self.latest.is_symlink():
                aside.names[self.latest.name] = "a link that leads nowhere"
            return {}
        except OSError as error:
            aside.names[self.latest.name] = error.strerror or "cannot be read"
            return {}
        known = self.summary().get("streams", {})
        if not known and os.path.lexists(self.layout.summary):
            aside.names[SUMMARY] = "not a summary of streams"
        streams = {}
        for entry in entries:
            if entry.name in (stream, SUMMARY):
                continue
            summary = known.get(entry.name)
            if why := _why_not_carried(entry, summary):
                aside.names[entry.name] = why
                continue
            streams[entry.name] = self._carry(entry, place / entry.name, dict(summary), stale.get(entry.name))
        for name in known.keys() - streams.keys() - aside.names.keys() - {stream}:
            aside.names[name] = "a line in summary.json, and no manifests"
        return streams

    def _carry(self, there: Path, place: Path, summary: dict[str, Any], stale: str | None) -> dict[str, Any]:
        """Link the manifests of another stream; where its evidence is stale, it loses its candidates."""
        place.mkdir()
        for name in _names():
            _link(there / name, place / name)
        if stale is not None and summary.get("prune_candidate_count"):
            nothing = {"prune_ready": False, "prune_candidate_count": 0, "prune_candidate_bytes": 0}
            summary |= {"prune_why": stale, **nothing}
            (place / CANDIDATES).unlink()
            _write(place / CANDIDATES, CANDIDATES_HEADER)
        flush(place)
        return summary

    def _write_stream(self, place: Path, stream: str, evidence: Evidence, candidates: Sequence[str]) -> None:
        place.mkdir()
        for side in SIDES:
            manifest.write(place / side_manifest(side), evidence.side(stream, side))
            flush(place / side_manifest(side))
        _write(place / CANDIDATES, CANDIDATES_HEADER + "".join(f"{path}\n" for path in candidates))
        flush(place)

    def _remember(self, place: Path, copy: Path, now: datetime) -> None:
        """Put the same into ``history``, under the time; several streams within a short time share one entry."""
        history = self.layout.history
        history.mkdir(parents=True, exist_ok=True)
        kept = stamps(history)
        newest = kept[-1] if kept else None
        name = now.strftime(_STAMP)
        if newest and now - _time_of(newest) < self.history_every:
            name = newest
        shutil.copytree(place, copy, copy_function=os.link)
        publish_tree(copy, history / name)
        for old in stamps(history)[: -self.keep]:
            shutil.rmtree(history / old)


def _why_not_carried(entry: Path, summary: object) -> str | None:
    """Why what lies in ``latest`` is not another stream's manifests; None where it is."""
    if entry.is_symlink() or not entry.is_dir():
        return "not a directory"
    if not isinstance(summary, dict):
        return "not in summary.json"
    if isinstance(error := summary.get("error"), str):
        return f"summary.json says of it: {printable(error)}"
    for name in _names():
        header = CANDIDATES_HEADER if name == CANDIDATES else manifest.HEADER
        try:
            if (entry / name).is_symlink() or not (entry / name).is_file():
                return f"{name} is missing, or no file"
            with (entry / name).open("rb") as file:
                if file.read(len(header)) != header.encode():
                    return f"{name} does not begin with {header.strip()!r}"
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    return f"{name} was cut off in a line"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


def _link(there: Path, place: Path) -> None:
    """Link a file; where ``latest`` is a link to another file system, copy it."""
    try:
        os.link(there, place)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        shutil.copy2(there, place)
        flush(place)


def stamps(history: Path) -> list[str]:
    """The entries of a history, oldest first."""
    return sorted(entry.name for entry in history.iterdir() if _is_stamp(entry.name))


def _is_stamp(name: str) -> bool:
    try:
        _time_of(name)
    except ValueError:
        return False
    return True


def _time_of(stamp: str) -> datetime:
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


def _names() -> Iterator[str]:
    yield from map(side_manifest, SIDES)
    yield CANDIDATES


def _write(place: Path, text: str) -> None:
    place.write_text(text)
    flush(place)
