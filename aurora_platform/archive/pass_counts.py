"""The state file with the counts of a stream after its newest verification, which may be newer than ``latest/``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from aurora_platform.archive.reports import StreamSummary
from aurora_platform.fs.atomic import publish_text


def write_pass_counts(path: Path, summary: StreamSummary) -> None:
    """Replace the state file of a stream; the caller holds the lock of the stream's verification."""
    publish_text(json.dumps(asdict(summary)) + "\n", path)
