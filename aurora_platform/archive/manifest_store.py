"""Publishes ``latest/`` and ``history/``: the manifests, counts and prune candidates of all streams, replaced together.

A reader of ``<manifests>/latest`` sees the manifests of one publication or of the next, never a mixture. A new
directory is written beside it, with hard links to the files of streams that have not changed, and is exchanged with the
old one in one step. Where the old one has unreadable entries (from another system, for example), it is moved aside.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aurora_platform.archive import manifest
from aurora_platform.archive.moved_aside import MovedAside
from aurora_platform.archive.stream_content import Published, StreamContent
from aurora_platform.archive.stream_manifests import (
    CANDIDATES_HEADER,
    MissingDayError,
    link_days,
    stream_files,
    write_candidates,
    write_stream,
)
from aurora_platform.fs.atomic import flush, remove
from aurora_platform.fs.links import link_or_copy, link_or_copy_tree
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.trees import publish_tree
from aurora_platform.layout import CANDIDATES, SUMMARY, ManifestLayout
from aurora_platform.text import printable

_STAMP = "%Y%m%dT%H%M%SZ"
_TRIES = 5  # to read a stream's days while a pass replaces some

ReadContent = Callable[[str, Published], StreamContent | None]
"""Reads what to publish of a stream, by its name and what the last publication has of it."""


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

    def is_older_than(self, age: timedelta, now: datetime) -> bool:
        """Whether ``latest/`` is that old, or is missing, or has no valid time."""
        try:
            summary = self.summary()
            made = datetime.fromisoformat(summary.get("generated_at_utc") or summary["generated_at"])
            return not timedelta(0) <= now - made < age
        except (KeyError, TypeError, ValueError):
            return True

    def publish(
        self,
        streams: Sequence[str],
        read_content: ReadContent,
        stale: Mapping[str, str],
        min_age: timedelta = timedelta(0),
        log: Callable[[str], None] = lambda text: None,
    ) -> MovedAside | None:
        """Publish the manifests of all streams.

        Returns the entries that were moved aside, because they are not part of a publication; None without any.

        Parameters
        ----------
        streams, read_content
            The streams of the site, and a function that reads what to publish of one; it is called under the lock of
            ``latest/``. A stream without content keeps the files that it has there.
        stale
            Other streams of ``latest/`` whose evidence is not valid, with the reason: they lose their candidates.
        min_age
            Where another process has published a younger one meanwhile, nothing is done.
        """
        # The same name for all streams: it is also the lock of this directory.
        with self.staging.claim("latest") as staged, self.staging.claim("latest.history") as copy:
            now = datetime.now(UTC)
            if min_age and not self.is_older_than(min_age, now):
                return None
            staged.mkdir()
            copy.mkdir()
            aside = MovedAside(self.layout.aside / f"{now:%Y%m%dT%H%M%S.%fZ}")
            earlier = self._read_earlier(aside)
            entries = {}
            for name in streams:
                if (entry := self._add_stream(name, read_content, earlier.get(name), staged, copy, log)) is not None:
                    entries[name] = entry
                    aside.names.pop(name, None)  # its files are replaced
            for name in earlier.keys() - entries.keys():
                entries[name] = self._carry(name, earlier[name], staged, copy, stale.get(name))
            data = {"generated_at_utc": now.isoformat(timespec="seconds"), "streams": dict(sorted(entries.items()))}
            _write(staged / SUMMARY, json.dumps(data, indent=2) + "\n")
            link_or_copy(staged / SUMMARY, copy / SUMMARY)
            flush(staged)
            self._add_to_history(copy, now)
            publish_tree(staged, self.latest)
            if aside.names:
                # publish_tree has exchanged the two: ``staged`` is the earlier directory now.
                aside.move(staged, fallback=self.latest.with_name(f"{self.latest.name}.{aside.path.name}"))
        return aside if aside.names else None

    def _read_earlier(self, aside: MovedAside) -> dict[str, dict[str, Any]]:
        """Return the entry of ``summary.json`` of each stream with readable files; notes what cannot be read."""
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
        found = {}
        for entry in entries:
            if entry.name == SUMMARY:
                continue
            if why := _why_not_carried(entry, summaries.get(entry.name)):
                aside.names[entry.name] = why
            else:
                found[entry.name] = dict(summaries[entry.name])
        for name in summaries.keys() - found.keys() - aside.names.keys():
            aside.names[name] = "in summary.json, but without manifests"
        return found

    def _add_stream(
        self,
        name: str,
        read_content: ReadContent,
        earlier: dict[str, Any] | None,
        staged: Path,
        copy: Path,
        log: Callable[[str], None],
    ) -> dict[str, Any] | None:
        """Write the files of a stream; returns its entry for ``summary.json``, None where its days cannot be read."""
        for attempt in range(_TRIES):
            content = read_content(name, Published.of(earlier))
            if content is None:
                return None
            try:
                link_days(self.layout, content, copy / name)
            except MissingDayError as error:
                remove(copy / name)
                if attempt == _TRIES - 1:  # not by a pass: it is gone
                    content.evidence.days.mark_changed(name, error.day)
                    log(f"{name} is published as before: {error}")
                continue
            written = write_stream(content, copy / name, staged / name, self.latest / name if earlier else None)
            link_or_copy(staged / name / CANDIDATES, copy / name / CANDIDATES)
            return content.entry(written)
        return None

    def _carry(self, name: str, summary: dict[str, Any], staged: Path, copy: Path, stale: str | None) -> dict[str, Any]:
        """Link the files of a stream without new content; where its evidence is stale, it loses its candidates."""
        (staged / name).mkdir()
        for file in stream_files():
            link_or_copy(self.latest / name / file, staged / name / file)
        if stale is not None and summary.get("prune_candidate_count"):
            no_candidates = {"prune_ready": False, "prune_candidate_count": 0, "prune_candidate_bytes": 0}
            summary |= {"prune_why": stale, **no_candidates}
            (staged / name / CANDIDATES).unlink()
            write_candidates(staged / name / CANDIDATES, ())
        flush(staged / name)
        link_or_copy_tree(staged / name, copy / name)
        return summary

    def _add_to_history(self, copy: Path, now: datetime) -> None:
        """Add an entry to ``history`` under its time; publications within a short time share one entry."""
        history = self.layout.history
        history.mkdir(parents=True, exist_ok=True)
        kept = stamps(history)
        newest = kept[-1] if kept else None
        name = now.strftime(_STAMP)
        if newest and now - _time_of(newest) < self.history_every:
            name = newest
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
    for name in stream_files():
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


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    flush(path)
