"""What keeps the platform from going on, as the last health snapshot found it: it changes what "next" means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aurora_platform.health.alert_rules import STOPPED_AFTER
from aurora_platform.health.models import HostState
from aurora_platform.operations.explain_answer import Context, written
from aurora_platform.text import format_age, printable


def halts_of(context: Context, name: str | None) -> Iterator[str]:
    """Yield a sentence for each thing that a stream (or what is in the archive) waits for."""
    snapshot = context.snapshot
    if snapshot is None:
        return  # asset health/snapshot and `aurora health` are about that
    old = context.now - snapshot.generated_at_utc
    if old >= STOPPED_AFTER:
        if context.site.live.running:
            yield (
                f"NOTHING HAPPENS BY ITSELF: the schedule health ran last {format_age(old.total_seconds())} ago, so "
                "Dagster's daemon is not running (start it: make ui, or the service of docs/operating.md)"
            )
        return  # an old snapshot says nothing about the hosts of now
    at = written(snapshot.generated_at_utc)
    archive = [host for host in snapshot.hosts if host.name.startswith("archive ")]
    if archive and not any(host.reachable for host in archive):
        yield f"the archive does not answer, at {at}: nothing is copied to it or verified in it ({_errors(archive)})"
    if name in context.site.streams and context.site.streams[str(name)].enabled:
        source = [host for host in snapshot.hosts if host.name == context.site.streams[str(name)].host]
        if any(not host.reachable for host in source):
            yield f"host {source[0].name} does not answer, at {at}: nothing is copied from it ({_errors(source)})"


def _errors(hosts: Sequence[HostState]) -> str:
    return "; ".join(printable(host.error or host.address) for host in hosts)
