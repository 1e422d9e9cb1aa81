"""Reads the verdicts of days from the evidence; a damaged verdict is the error of its day."""

from __future__ import annotations

from aurora_platform.archive.compare import Verdict


def read_verdict(text: str) -> Verdict | None:
    """Return a verdict from its JSON; None where it is damaged: the day then counts as not compared."""
    try:
        verdict = Verdict.from_json(text)
        counts = (verdict.files, verdict.source, verdict.local, verdict.gws, verdict.proved, verdict.problem_count)
        # A damaged JSON may still be valid; what is read here are numbers.
        return verdict if all(type(count) is int and count >= 0 for count in counts) else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
