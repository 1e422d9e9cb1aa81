"""Finds the days whose last comparison still holds, so that a pass need not compare each of their files again.

A day is taken over only if it was complete and finalized, every place was listed and read, and neither its fixity
records, nor its finalization, nor what the ledger should know of it has changed since. All other days are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from aurora_platform.archive.compare import Verdict
from aurora_platform.archive.day_records import DayState
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.verdicts import read_verdict


def unchanged_verdicts(
    stream: str,
    days: Sequence[date],
    evidence: Evidence,
    finalizations: Finalizations,
    to_compare: Collection[date],
) -> dict[date, Verdict]:
    """Return the verdicts of the days of a pass that need not be compared again.

    ``to_compare`` are days that must be compared for another reason.
    """
    excluded = evidence.days.changed(stream) | set(to_compare)
    found = {}
    for day, state in evidence.days.states(stream, days).items():
        if day not in excluded and (verdict := _still_valid(day, state, finalizations)) is not None:
            found[day] = verdict
    return found


def _still_valid(day: date, state: DayState, finalizations: Finalizations) -> Verdict | None:
    verdict = read_verdict(state.verdict)
    if verdict is None or not (verdict.is_final and verdict.is_whole and verdict.has_all):
        return None
    return verdict if state.finalization and state.finalization == finalizations.fingerprint(day) else None
