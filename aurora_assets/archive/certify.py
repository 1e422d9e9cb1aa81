"""A pass that ends in published evidence: verify some days of a stream, then publish what is known of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from aurora_assets.archive import evidence, ledger
from aurora_assets.archive.evidence import Evidence
from aurora_assets.archive.finalize import Finalizations
from aurora_assets.archive.known import Side
from aurora_assets.archive.ledger import Ledger
from aurora_assets.archive.prune import PrunePlan, plan_pruning, staleness, summarize
from aurora_assets.archive.publish import Publication, StreamSummary
from aurora_assets.archive.settings import Archive
from aurora_assets.archive.verify import Place, Verification, VerifyReport
from aurora_assets.files import Staging, exclusive
from aurora_assets.site import Site

_HISTORY_EVERY = timedelta(minutes=10)


@dataclass(frozen=True)
class Certified:
    """What a pass found, what may be pruned on its host, and the stream's line in ``summary.json``."""

    report: VerifyReport
    plan: PrunePlan
    summary: StreamSummary
    moved_aside: str = ""
    """What lay among the published manifests and does not read, and where it is now."""


class Records:
    """Where the evidence of a site is: databases in ``paths.state``, what is published in ``paths.manifests``."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.staging = Staging(site.paths.manifests / ".staging", site.paths.locks, site.limits.lock)

    @property
    def archive(self) -> Archive:
        assert self.site.archive is not None  # without it there are no assets and no commands
        return self.site.archive

    def ledger(self) -> Ledger:
        return Ledger(self.site.paths.state / ledger.FILE_NAME)

    def evidence(self) -> Evidence:
        return Evidence(self.site.paths.state / evidence.FILE_NAME)

    def finalizations(self, stream: str) -> Finalizations:
        there = f"{self.archive.raw}/{self.site.streams[stream].raw}"
        return Finalizations(self.site.paths.manifests, stream, self.site.name, there, self.staging)

    def publication(self) -> Publication:
        return Publication(self.site.paths.manifests, self.staging, self.archive.keep_history, _HISTORY_EVERY)

    @contextmanager
    def verification(
        self,
        name: str,
        places: dict[Side, Sequence[Place]],
        tell: Callable[[str], None] = lambda text: None,
        *,
        accept_loss: bool = False,
    ) -> Iterator[Verification]:
        """The verification of a stream, for as long as nobody else verifies it."""
        with (
            exclusive(self.site.paths.locks, f"verify.{name}", self.site.limits.lock),
            self.evidence() as evidence,
            self.ledger() as ledger,
        ):
            yield Verification(
                name,
                self.site.streams[name],
                self.archive,
                places,
                evidence,
                self.finalizations(name),
                ledger,
                tell,
                accept_loss,
            )


def certify(
    records: Records,
    name: str,
    days: Sequence[date],
    places: dict[Side, Sequence[Place]],
    *,
    full: bool = False,
    accept_loss: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Certified:
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
        Believe a source that is empty, or has lost most of what it had (:mod:`aurora_assets.archive.absence`).
    """
    with records.verification(name, places, tell, accept_loss=accept_loss) as verification:
        report = verification.verify_days(days, full=full)
        now = datetime.now(UTC)
        stream, known = verification.stream, verification.evidence
        plan = plan_pruning(name, stream, records.archive, known, now)
        summary = summarize(name, plan, known, max(days))
        others = {other: one for other, one in records.site.streams.items() if other != name}
        stale = {o: why for o, s in others.items() if (why := staleness(o, s, records.archive, known, now))}
        publication = records.publication()
        gone = set(publication.summary().get("streams", {})) - set(records.site.streams)
        stale |= dict.fromkeys(gone, "no stream of the site file any more")
        aside = publication.publish(name, summary, known, plan.candidates, stale)
    if aside is not None:
        tell(aside.summary())
    return Certified(report, plan, summary, aside.summary() if aside is not None else "")
