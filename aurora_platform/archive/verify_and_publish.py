"""Verifies some days of a stream, then publishes the manifests of all its days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from aurora_platform.archive.prune_plan import plan_prune, staleness, summarize
from aurora_platform.archive.reports import VerifyOutcome
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_days import Place
from aurora_platform.layout import Side


def verify_and_publish(
    records: Records,
    name: str,
    days: Sequence[date],
    places: dict[Side, Sequence[Place]],
    *,
    full: bool = False,
    accept_loss: bool = False,
    log: Callable[[str], None] = lambda text: None,
) -> VerifyOutcome:
    """Verify some days of a stream and publish its manifests.

    Parameters
    ----------
    records
        The records of the site.
    name, days
        The stream and the UTC days to verify.
    places
        The places of source, local tree and archive.
    full
        Read every file again.
    accept_loss
        Trust a source that is empty, or has lost most of its files (:mod:`aurora_platform.archive.absence`).
    """
    with records.verification(name, places, log, accept_loss=accept_loss) as verification:
        report = verification.verify_days(days, full=full)
        now = datetime.now(UTC)
        stream, evidence = verification.stream, verification.evidence
        plan = plan_prune(name, stream, records.archive, evidence, now)
        summary = summarize(name, plan, evidence, max(days))
        others = {other: settings for other, settings in records.site.streams.items() if other != name}
        stale = {
            other: why
            for other, settings in others.items()
            if (why := staleness(other, settings, records.archive, evidence, now))
        }
        publication = records.publication()
        gone = set(publication.summary().get("streams", {})) - set(records.site.streams)
        stale |= dict.fromkeys(gone, "not in the site file any more")
        aside = publication.publish(name, summary, evidence, plan.candidates, stale)
    if aside is not None:
        log(aside.summary())
    return VerifyOutcome(report, plan, summary, aside.summary() if aside is not None else "")
