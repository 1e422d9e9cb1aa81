"""A pass that ends in published evidence: verify some days of a stream, then publish what is known of all of them."""

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
        Where evidence is kept and published.
    name, days
        The stream and the UTC days to verify.
    places
        The ways to source, local copy and archive.
    full
        Read every file again.
    accept_loss
        Believe a source that is empty, or has lost most of what it had (:mod:`aurora_platform.archive.absence`).
    """
    with records.verification(name, places, log, accept_loss=accept_loss) as verification:
        report = verification.verify_days(days, full=full)
        now = datetime.now(UTC)
        stream, known = verification.stream, verification.evidence
        plan = plan_prune(name, stream, records.archive, known, now)
        summary = summarize(name, plan, known, max(days))
        others = {other: one for other, one in records.site.streams.items() if other != name}
        stale = {o: why for o, s in others.items() if (why := staleness(o, s, records.archive, known, now))}
        publication = records.publication()
        gone = set(publication.summary().get("streams", {})) - set(records.site.streams)
        stale |= dict.fromkeys(gone, "no stream of the site file any more")
        aside = publication.publish(name, summary, known, plan.candidates, stale)
    if aside is not None:
        log(aside.summary())
    return VerifyOutcome(report, plan, summary, aside.summary() if aside is not None else "")
