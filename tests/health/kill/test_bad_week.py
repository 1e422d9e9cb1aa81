"""A bad week of a site, evaluation by evaluation with a simulated clock: exactly these mails and these levels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from aurora_platform.config.health import Health
from aurora_platform.health.alert_rules import SnapshotFile
from aurora_platform.health.alert_state import Moment
from aurora_platform.health.assessment import assess
from aurora_platform.health.models import Snapshot
from aurora_platform.transport.mail import Mailer
from tests.health.relay import Relay
from tests.health.snapshots import (
    START,
    STREAMS,
    alerting,
    disk,
    healthy_snapshot,
    manifest,
    offline,
    settings,
    stale,
)

EVERY = timedelta(minutes=10)


@dataclass(frozen=True)
class Trouble:
    """A problem and when it begins and ends, in days and hours of the week."""

    first: str
    last: str
    what: str
    thing: Any = None


WEEK = (
    # A source dies for 26 h.
    Trouble("0 06:00", "1 08:00", "stale", "cl61"),
    # A disk fills, and is cleaned up.
    Trouble("1 12:00", "1 18:00", "full", "raw"),
    # The manifests stop.
    Trouble("2 00:00", "2 02:00", "no manifests"),
    # A day arrives late: for two hours its files are local and not yet in the archive.
    Trouble("2 10:00", "2 12:00", "gaps", "cl61"),
    # The camera is off, as planned.
    Trouble("3 00:00", "4 00:00", "offline", "wxcam"),
    # The clock is 13 h ahead for a while, then 2 h behind, with a disk full all the time.
    Trouble("4 00:00", "4 13:00", "full", "products"),
    Trouble("4 06:00", "4 06:30", "clock", timedelta(hours=13)),
    Trouble("4 15:00", "4 16:00", "clock", timedelta(hours=-2)),
    # The relay fails; meanwhile one alert begins, and another begins and is over.
    Trouble("5 00:00", "5 06:00", "no relay"),
    Trouble("5 01:00", "5 08:00", "full", "raw"),
    Trouble("5 02:00", "5 05:30", "stale", "wxcam"),
    # The collector itself stops for an hour.
    Trouble("6 03:00", "6 04:00", "no collector"),
    # Two sources at once.
    Trouble("6 12:00", "6 16:00", "stale", "cl61"),
    Trouble("6 12:00", "6 16:00", "stale", "wxcam"),
)
MAILS = [
    ("0 09:00", "[demo] 1 new: source cl61"),
    ("0 21:00", "[demo] 1 ongoing: source cl61"),
    ("1 08:00", "[demo] 1 resolved: source cl61"),
    ("1 12:00", "[demo] 1 new: disk raw"),
    ("1 18:00", "[demo] 1 resolved: disk raw"),
    ("2 00:40", "[demo] 1 new: manifests"),
    ("2 02:00", "[demo] 1 resolved: manifests"),
    ("4 00:00", "[demo] 1 new: disk products"),
    ("4 12:00", "[demo] 1 ongoing: disk products"),
    ("4 13:00", "[demo] 1 resolved: disk products"),
    ("5 06:00", "[demo] 2 new, 1 resolved: disk raw, source wxcam"),
    ("5 08:00", "[demo] 1 resolved: disk raw"),
    ("6 03:10", "[demo] 1 new: collector"),
    ("6 04:00", "[demo] 1 resolved: collector"),
    ("6 15:00", "[demo] 2 new: source cl61, source wxcam"),
    ("6 16:00", "[demo] 2 resolved: source cl61, source wxcam"),
]
LEVELS = [
    ("0 00:00", "green"),
    ("0 06:00", "red"),
    ("1 08:00", "green"),
    ("1 12:00", "amber"),
    ("1 18:00", "green"),
    ("2 00:40", "amber"),
    ("2 02:00", "green"),
    ("2 10:00", "red"),
    ("2 12:00", "green"),
    ("4 00:00", "amber"),
    # By a clock that is 13 h ahead the manifests are older than 3 h; no mail is sent about that.
    ("4 06:00", "red"),
    ("4 06:30", "amber"),
    ("4 13:00", "green"),
    ("5 01:00", "amber"),
    ("5 02:00", "red"),
    ("5 05:30", "amber"),
    ("5 08:00", "green"),
    ("6 12:00", "red"),
    ("6 16:00", "green"),
]


class Week:
    """The site at each evaluation."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.latest: Snapshot | None = None

    def observe(self, n: int) -> tuple[Moment, Snapshot]:
        """Return the snapshot that the ``n``-th evaluation of the alerts reads."""
        real = n * EVERY
        present = [trouble for trouble in WEEK if since(trouble.first) <= real < since(trouble.last)]
        by = {
            kind: [trouble.thing for trouble in present if trouble.what == kind]
            for kind in {trouble.what for trouble in WEEK}
        }
        ahead = sum(by["clock"], timedelta(0))
        now = START + real + ahead
        self._switch_relay(is_down=bool(by["no relay"]))
        if self.latest is None or not by["no collector"]:
            manifests_age = real - since("2 00:00") if by["no manifests"] else timedelta(minutes=5)
            self.latest = healthy_snapshot(
                now,
                filesystems=[disk(name, 85 if name in by["full"] else 40) for name in ("raw", "products")],
                freshness=self._freshness(by["stale"], by["offline"]),
                # Their times are from the clock before it was set.
                manifests=[
                    manifest(stream, manifests_age + max(ahead, timedelta(0)), 12 if stream in by["gaps"] else 0)
                    for stream in STREAMS
                ],
            )
        return Moment(now, "boot", real.total_seconds()), self.latest

    def _freshness(self, dead: list[str], off: list[str]) -> list[Any]:
        freshness = [entry for entry in stale(*dead) if entry.stream not in off]
        return freshness + [entry for stream in off for entry in offline(stream)]

    def _switch_relay(self, *, is_down: bool) -> None:
        if is_down == self.relay.is_running:
            (self.relay.stop if is_down else self.relay.start)()


def since(text: str) -> timedelta:
    """``1 08:00``: the second day of the week, at eight."""
    day, _, time = text.partition(" ")
    hours, _, minutes = time.partition(":")
    return timedelta(days=int(day), hours=int(hours), minutes=int(minutes))


def when(n: int) -> str:
    minutes = n * EVERY // timedelta(minutes=1)
    return f"{minutes // 1440} {minutes // 60 % 24:02}:{minutes % 60:02}"


def test_a_bad_week_causes_exactly_these_mails_and_these_levels(relay: Relay, tmp_path: Path) -> None:
    week, chosen = Week(relay), settings(relay.port)
    mails: list[tuple[str, str]] = []
    levels: list[tuple[str, str]] = []
    for n in range(timedelta(days=7) // EVERY):
        moment, snapshot = week.observe(n)
        # Each time like a program that was just started: its only memory is state.json.
        alerting(tmp_path, chosen).evaluate(SnapshotFile("latest.json", snapshot), Mailer(chosen), at=moment)
        mails += [(when(n), subject) for subject in relay.subjects[len(mails) :]]
        level = assess(snapshot, Health(), {}).overall_level.value
        if not levels or levels[-1][1] != level:
            levels.append((when(n), level))
    assert mails == MAILS
    assert levels == LEVELS
    assert len({mail["Message-ID"] for mail in relay.mails}) == len(MAILS)
