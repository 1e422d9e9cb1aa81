"""Verifies some days of a stream, writes their manifests, and publishes ``latest/`` where it is old enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from aurora_platform.archive.archived_finalizations import learn_finalizations
from aurora_platform.archive.day_manifests import DayManifests
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.moved_aside import MovedAside
from aurora_platform.archive.pass_counts import write_pass_counts
from aurora_platform.archive.prune_plan import staleness, summarize
from aurora_platform.archive.reports import StreamSummary, VerifyOutcome
from aurora_platform.archive.stores import Records
from aurora_platform.archive.stream_content import Published, content_of
from aurora_platform.archive.verify_days import Place, Verification
from aurora_platform.layout import Side


def verify_and_publish(
    records: Records,
    name: str,
    days: Sequence[date],
    places: dict[Side, Sequence[Place]],
    *,
    full: bool = False,
    accept_loss: bool = False,
    publish_now: bool = False,
    log: Callable[[str], None] = lambda text: None,
) -> VerifyOutcome:
    """Verify some days of a stream, and write the manifests of those that have changed.

    The manifests of all streams are published where ``latest/`` is older than ``archive.publish_every``.

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
    publish_now
        Publish however young ``latest/`` is.
    """
    with records.verification(name, places, log, accept_loss=accept_loss) as verification:
        _learn(records, verification, log)
        report, evidence = verification.verify_days(days, full=full), verification.evidence
        manifests = DayManifests(records.layout.finalizations, records.staging, name, evidence)
        uncompared = [day.day for day in report.days if day.error]
        written = manifests.update(verification.finalizations, report.compared_days, uncompared)
        # The files of a day that was not compared may be all that is left of an earlier evidence database.
        manifests.sweep({*days, *written} - {*uncompared})
        summary = _write_counts(records, name, evidence)
        publish_every, aside = records.archive.publish_every, None
        is_published = publish_now or records.publication().is_older_than(publish_every, datetime.now(UTC))
        if is_published:
            aside = publish(records, evidence, timedelta(0) if publish_now else publish_every, log)
            summary = _write_counts(records, name, evidence)  # with the new number of candidates
    if aside is not None:
        log(aside.summary())
    return VerifyOutcome(report, summary, is_published, aside.summary() if aside is not None else "")


def _learn(records: Records, verification: Verification, log: Callable[[str], None]) -> None:
    """Learn which finalizations the archive has; where that cannot be, no day is finalized."""
    sources = {place.host: place.source for place in verification.places["gws"]}
    learned = learn_finalizations(records, verification.ledger, sources, verification.name, log)
    if learned.error:
        verification.why_unlisted = learned.error
        log(learned.error)


def publish(
    records: Records,
    evidence: Evidence,
    min_age: timedelta = timedelta(0),
    log: Callable[[str], None] = lambda text: None,
) -> MovedAside | None:
    """Publish the manifests of all streams, by their last passes, unless ``latest/`` is younger than ``min_age``."""
    site, archive, now = records.site, records.archive, datetime.now(UTC)
    publication = records.publication()
    stale = {
        name: why
        for name, stream in site.streams.items()
        if (why := staleness(name, stream, archive, evidence, now)) is not None
    }
    gone = set(publication.summary().get("streams", {})) - set(site.streams)
    stale |= dict.fromkeys(gone, "not in the site file any more")
    return publication.publish(
        list(site.streams),
        lambda name, earlier: content_of(name, site.streams[name], archive, evidence, now, earlier),
        stale,
        min_age,
        log,
    )


def _write_counts(records: Records, name: str, evidence: Evidence) -> StreamSummary:
    """Write the state file with the counts of a stream; returns the counts."""
    entry = records.publication().summary().get("streams", {}).get(name)
    days = evidence.days.of_stream(name)
    summary = summarize(name, days, Published.of(entry).prune, evidence)
    write_pass_counts(records.layout.pass_counts(name), summary)
    return summary
