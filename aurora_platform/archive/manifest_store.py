"""Publishes ``latest/`` and ``history/``: the manifests, counts and prune candidates of all streams, replaced together.

A reader of ``<manifests>/latest`` sees the manifests of one publication or of the next, never a mixture. A new
directory is written beside it, with hard links to the files of streams that have not changed, and is exchanged with the
old one in one step. Where the old one has unreadable entries (from another system, for example), it is moved aside.
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
from aurora_platform.archive.moved_aside import MovedAside
from aurora_platform.archive.reports import StreamSummary
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
        """Read ``latest/summary.json``; empty where it does not exist or is not a summary."""
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
    ) -> MovedAside | None:
        """Publish a stream's manifests; those of the other streams stay unchanged.

        Returns the entries that were moved aside, because they are not part of a publication; None without any.

        Parameters
        ----------
        stream, summary, evidence, candidates
            The stream, its counts, its evidence, and the files that may be pruned on the host.
        stale
            Other streams whose evidence is too old, with the reason: they lose their candidates.
        """
        now = datetime.now(UTC)
        # The same name for all streams: it is also the lock of this directory.
        with self.staging.claim("latest") as staged, self.staging.claim("latest.history") as copy:
            staged.mkdir()
            aside = MovedAside(self.layout.aside / f"{now:%Y%m%dT%H%M%S.%fZ}")
            streams = self._carry_over(stream, staged, stale, aside)
            self._write_stream(staged / stream, stream, evidence, candidates)
            streams[stream] = asdict(summary)
            data = {"generated_at_utc": now.isoformat(timespec="seconds"), "streams": dict(sorted(streams.items()))}
            _write(staged / SUMMARY, json.dumps(data, indent=2) + "\n")
            flush(staged)
            self._add_to_history(staged, copy, now)
            publish_tree(staged, self.latest)
            if aside.names:
                # publish_tree has exchanged the two: ``staged`` is the earlier directory now.
                aside.move(staged, fallback=self.latest.with_name(f"{self.latest.name}.{aside.path.name}"))
        return aside if aside.names else None

    def _carry_over(self, stream: str, staged: Path, stale: Mapping[str, str], aside: MovedAside) -> dict[str, Any]:
        """Link the manifests of other streams, and note entries that cannot be read; returns the streams' summaries."""
        try:
            entries = sorted(self.latest.iterdir())
        except FileNotFoundError:
            if self.latest.is_symlink():
                aside.names[self.latest.name] = "a broken symlink"
            return {}
        except OSError as error:
            aside.names[self.latest.name] = error.strerror or "cannot be read"
            return {}
        summaries = self.summary().get("streams", {})
        if not summaries and os.path.lexists(self.layout.summary):
            aside.names[SUMMARY] = "not a summary of streams"
        streams = {}
        for entry in entries:
            if entry.name in (stream, SUMMARY):
                continue
            summary = summaries.get(entry.name)
            if why := _why_not_carried(entry, summary):
                aside.names[entry.name] = why
                continue
            streams[entry.name] = self._carry(entry, staged / entry.name, dict(summary), stale.get(entry.name))
        for name in summaries.keys() - streams.keys() - aside.names.keys() - {stream}:
            aside.names[name] = "in summary.json, but without manifests"
        return streams

    def _carry(self, earlier: Path, staged: Path, summary: dict[str, Any], stale: str | None) -> dict[str, Any]:
        """Link the manifests of another stream; where its evidence is stale, it loses its candidates."""
        staged.mkdir()
        for name in _names():
            _link(earlier / name, staged / name)
        if stale is not None and summary.get("prune_candidate_count"):
            no_candidates = {"prune_ready": False, "prune_candidate_count": 0, "prune_candidate_bytes": 0}
            summary |= {"prune_why": stale, **no_candidates}
            (staged / CANDIDATES).unlink()
            _write(staged / CANDIDATES, CANDIDATES_HEADER)
        flush(staged)
        return summary

    def _write_stream(self, staged: Path, stream: str, evidence: Evidence, candidates: Sequence[str]) -> None:
        staged.mkdir()
        for side in SIDES:
            manifest.write(staged / side_manifest(side), evidence.records_on(stream, side))
            flush(staged / side_manifest(side))
        _write(staged / CANDIDATES, CANDIDATES_HEADER + "".join(f"{path}\n" for path in candidates))
        flush(staged)

    def _add_to_history(self, staged: Path, copy: Path, now: datetime) -> None:
        """Copy the publication into ``history`` under its time; publications within a short time share one entry."""
        history = self.layout.history
        history.mkdir(parents=True, exist_ok=True)
        kept = stamps(history)
        newest = kept[-1] if kept else None
        name = now.strftime(_STAMP)
        if newest and now - _time_of(newest) < self.history_every:
            name = newest
        shutil.copytree(staged, copy, copy_function=os.link)
        publish_tree(copy, history / name)
        for old in stamps(history)[: -self.keep]:
            shutil.rmtree(history / old)


def _why_not_carried(entry: Path, summary: object) -> str | None:
    """Why an entry of ``latest`` is not the manifests of a stream; None where it is."""
    if entry.is_symlink() or not entry.is_dir():
        return "not a directory"
    if not isinstance(summary, dict):
        return "not in summary.json"
    if isinstance(error := summary.get("error"), str):
        return f"summary.json has an error for it: {printable(error)}"
    for name in _names():
        header = CANDIDATES_HEADER if name == CANDIDATES else manifest.HEADER
        try:
            if (entry / name).is_symlink() or not (entry / name).is_file():
                return f"{name} is missing, or not a file"
            with (entry / name).open("rb") as file:
                if file.read(len(header)) != header.encode():
                    return f"{name} does not begin with {header.strip()!r}"
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    return f"{name} ends within a line"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


def _link(source: Path, target: Path) -> None:
    """Hard-link a file; copy it where ``latest`` is a symlink to another file system."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        shutil.copy2(source, target)
        flush(target)


def stamps(history: Path) -> list[str]:
    """Return the entries of a history, oldest first."""
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


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    flush(path)
