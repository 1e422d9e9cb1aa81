"""Alerts as a relay gets them: begin, repeat, recovery. Whatever fails, no mail is lost or mailed twice as new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from aurora_platform.errors import BusyError, MailError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.health.alert_rules import SnapshotFile, evaluate_conditions, read_snapshot
from aurora_platform.health.alert_state import Moment, State
from aurora_platform.health.alerts import Alerting, Outcome
from aurora_platform.health.models import Daemon, Level, Platform, Run, Tick
from aurora_platform.transport.mail import Mailer
from tests.health.relay import Relay, text_of
from tests.health.snapshots import (
    HOURS,
    MINUTES,
    START,
    alerting,
    disk,
    fresh,
    healthy_file,
    healthy_snapshot,
    manifest,
    offline,
    settings,
    stale,
)

ROOT = Path(__file__).resolve().parents[3]
NAIVE = healthy_snapshot(START).model_dump_json().replace('0Z"', '0"').encode()
FULL = {"filesystems": [disk("raw", 91), disk("products", 50)]}


class Site:
    """Evaluates like a schedule: each time as a program that was just started."""

    def __init__(self, home: Path, relay: Relay) -> None:
        self.home = home
        self.settings = settings(relay.port)

    def at(self, when: datetime, file: SnapshotFile | None = None, *, failed: Sequence[Run] = (), **changes) -> Outcome:
        file = file or healthy_file(when, **changes)
        return alerting(self.home, self.settings).evaluate(file, Mailer(self.settings), failed=failed, at=Moment(when))

    @property
    def state(self) -> State:
        return State.model_validate_json((self.home / "alerts/state.json").read_bytes())

    @property
    def log(self) -> list[dict]:
        return [json.loads(line) for line in (self.home / "alerts/alerts.jsonl").read_text().splitlines()]


@pytest.fixture
def site(tmp_path: Path, relay: Relay) -> Site:
    return Site(tmp_path, relay)


def test_a_full_disk_is_mailed_when_it_begins_after_every_twelve_hours_and_when_it_is_over(
    site: Site, relay: Relay
) -> None:
    for n in range(25 * 12):
        site.at(START + n * 5 * MINUTES, **FULL)
    site.at(START + 25 * HOURS)
    site.at(START + 26 * HOURS)
    assert relay.subjects == [
        "[demo] 1 new: disk raw",
        "[demo] 1 ongoing: disk raw",
        "[demo] 1 ongoing: disk raw",
        "[demo] 1 resolved: disk raw",
    ]
    assert [mail["Date"].datetime - START for mail in relay.mails] == [0 * HOURS, 12 * HOURS, 24 * HOURS, 25 * HOURS]
    assert len({mail["Message-ID"] for mail in relay.mails}) == 4
    assert "91 % in use" in text_of(relay.mails[0])
    assert "See: df -h /raw" in text_of(relay.mails[0])
    assert site.state.alerts == {}
    assert [line["kind"] for line in site.log] == [
        *("begins", "mail_sent", "lasts", "mail_sent", "lasts", "mail_sent", "recovered", "mail_sent")
    ]


def test_a_stale_source_is_mailed_after_three_hours(site: Site, relay: Relay) -> None:
    for n in range(36):
        site.at(START + n * 5 * MINUTES, freshness=stale("cl61"))
    assert relay.mails == []
    site.at(START + 3 * HOURS, freshness=stale("cl61"))
    assert relay.subjects == ["[demo] 1 new: source cl61"]
    assert "since 2026-03-02 00:00:00 UTC" in text_of(relay.mails[0])


def test_a_source_that_recovers_within_three_hours_is_not_mailed_and_is_counted_from_zero_again(
    site: Site, relay: Relay
) -> None:
    for hours, streams in ((0, ["cl61"]), (2, ["cl61"]), (2.5, []), (2.9, ["cl61"]), (5.5, ["cl61"])):
        site.at(START + hours * HOURS, freshness=stale(*streams))
    assert relay.mails == []
    site.at(START + 6 * HOURS, freshness=stale("cl61"))
    assert len(relay.mails) == 1


def test_two_streams_at_once_are_in_one_mail(site: Site, relay: Relay) -> None:
    for hours in (0, 3):
        site.at(START + hours * HOURS, freshness=stale("cl61", "wxcam"))
    assert relay.subjects == ["[demo] 2 new: source cl61, source wxcam"]
    site.at(START + 4 * HOURS, freshness=stale("wxcam"), **FULL)
    assert relay.subjects[1:] == ["[demo] 1 new, 1 resolved: disk raw, source cl61"]
    assert "Also ongoing" in text_of(relay.mails[1])


def test_a_relay_that_is_down_loses_no_event_and_the_state_holds_the_reason(site: Site, relay: Relay) -> None:
    relay.stop()
    first = site.at(START, **FULL)
    assert "Connection refused" in str(first.error)
    assert [event.key for event in site.state.unsent] == ["disk raw"]
    assert "Connection refused" in str(site.state.last_error)
    for n in range(1, 30):
        site.at(START + n * HOURS, freshness=stale("cl61"), **FULL)
    relay.start()
    site.at(START + 30 * HOURS, freshness=stale("cl61"), **FULL)
    assert relay.subjects == ["[demo] 2 new: disk raw, source cl61"]
    assert site.state.unsent == ()
    assert site.state.last_error is None
    site.at(START + 41 * HOURS, freshness=stale("cl61"), **FULL)
    assert len(relay.mails) == 1
    site.at(START + 42 * HOURS, freshness=stale("cl61"), **FULL)
    assert len(relay.mails) == 2
    assert [line["kind"] for line in site.log].count("mail_waits") == 1


def test_an_alert_that_began_and_ended_while_the_relay_was_down_is_one_mail(site: Site, relay: Relay) -> None:
    relay.refusal = "451 later"
    site.at(START, **FULL)
    site.at(START + HOURS)
    assert "451 later" in str(site.state.last_error)
    relay.refusal = None
    site.at(START + 2 * HOURS)
    assert relay.subjects == ["[demo] 1 new, 1 resolved: disk raw"]
    site.at(START + 3 * HOURS)
    assert len(relay.mails) == 1


def test_a_repeat_that_waits_for_the_relay_is_mailed_once(site: Site, relay: Relay) -> None:
    site.at(START, **FULL)
    relay.refusal = "451 later"
    for hours in range(12, 40):
        site.at(START + hours * HOURS, **FULL)
    relay.refusal = None
    site.at(START + 40 * HOURS, **FULL)
    assert relay.subjects == ["[demo] 1 new: disk raw", "[demo] 1 ongoing: disk raw"]


KILLED = """
import os, signal, sys
from pathlib import Path
from aurora_platform.health.alert_state import Moment
from aurora_platform.transport.mail import Mailer
from tests.health.snapshots import START, alerting, disk, healthy_file, settings

class Killed(Mailer):
    def send(self, message):
        if sys.argv[3] == "after":
            super().send(message)
        os.kill(os.getpid(), signal.SIGKILL)

chosen = settings(int(sys.argv[2]))
alerting(Path(sys.argv[1]), chosen).evaluate(
    healthy_file(START, filesystems=[disk("raw", 91)]), Killed(chosen), at=Moment(START)
)
"""


def kill(site: Site, relay: Relay, when: str) -> None:
    """Run an evaluation that is killed before or after the relay has the mail."""
    argv = [sys.executable, "-c", KILLED, str(site.home), str(relay.port), when]
    assert subprocess.run(argv, cwd=ROOT, check=False).returncode == -signal.SIGKILL


def test_after_a_kill_before_the_relay_has_the_mail_the_next_evaluation_sends_it(site: Site, relay: Relay) -> None:
    kill(site, relay, "before")
    assert relay.mails == []
    for minutes in (5, 10):
        site.at(START + minutes * MINUTES, **FULL)
    assert relay.subjects == ["[demo] 1 new: disk raw"]


def test_after_a_kill_between_relay_and_state_the_same_mail_is_sent_again(site: Site, relay: Relay) -> None:
    kill(site, relay, "after")
    assert len(relay.mails) == 1
    # The relay is down meanwhile: it stays unknown whether that mail has left.
    relay.stop()
    site.at(START + 5 * MINUTES, freshness=stale("cl61"), **FULL)
    relay.start()
    site.at(START + 10 * MINUTES, filesystems=[disk("raw", 91), disk("products", 95)])
    assert relay.mails[1].as_bytes() == relay.mails[0].as_bytes(), "with its Message-ID, so that one can be dropped"
    site.at(START + 15 * MINUTES, filesystems=[disk("raw", 91), disk("products", 95)])
    site.at(START + 20 * MINUTES, filesystems=[disk("raw", 91), disk("products", 95)])
    assert relay.subjects[2:] == ["[demo] 1 new: disk products"]


def test_a_mail_that_may_have_left_is_sent_again_unchanged(site: Site) -> None:
    taken: list[EmailMessage] = []

    class Doubtful:
        def send(self, message: EmailMessage) -> str:
            taken.append(message)
            raise MailError("no answer", may_have_left=True)

    alerts = alerting(site.home, site.settings)
    for n in range(2):
        alerts.evaluate(healthy_file(START + n * HOURS, **FULL), Doubtful(), at=Moment(START + n * HOURS))
    assert taken[0].as_bytes() == taken[1].as_bytes()
    assert [event.key for event in site.state.waiting] == ["disk raw"]


def test_a_corrupt_state_is_moved_aside_and_named_and_the_alerts_start_again(site: Site, relay: Relay) -> None:
    site.at(START, **FULL)
    (site.home / "alerts/state.json").write_text('{"alerts": {"disk raw": 3')
    outcome = site.at(START + HOURS, **FULL)
    assert "state.json.unreadable-20260302T010000Z" in str(outcome.note)
    assert (site.home / "alerts/state.json.unreadable-20260302T010000Z").exists()
    assert len(relay.mails) == 2
    assert site.log[2]["kind"] == "state_moved_aside"
    assert site.at(START + 2 * HOURS, **FULL).note is None
    assert len(relay.mails) == 2


def test_a_half_written_line_of_the_log_is_ended_before_the_next(site: Site) -> None:
    site.at(START, **FULL)
    file = site.home / "alerts/alerts.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    site.at(START + HOURS)
    lines = file.read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines[2:]] == ["recovered", "mail_sent"]


def test_a_state_of_the_first_version_still_validates() -> None:
    state = State.model_validate_json((Path(__file__).parents[1] / "old/alerts_state_v1.json").read_bytes())
    assert state.alerts["source cl61"].held_s == 10800.0
    assert state.sending is not None


def test_a_clock_that_is_set_ahead_and_back_neither_begins_nor_repeats_nor_ends_anything(
    site: Site, relay: Relay
) -> None:
    """The uptime goes on, so that a jump is not taken for a pause."""
    alerts, mailer = alerting(site.home, site.settings), Mailer(site.settings)

    def evaluate(minutes: int, ahead: timedelta, manifests_age: timedelta = 5 * MINUTES) -> None:
        now = START + minutes * MINUTES + ahead
        manifests = [manifest("cl61", manifests_age)]
        file = healthy_file(now, freshness=stale("cl61"), manifests=manifests, **FULL)
        alerts.evaluate(file, mailer, at=Moment(now, "boot", 60.0 * minutes))

    evaluate(0, 0 * HOURS)
    for minutes, ahead in ((5, 13 * HOURS), (10, 13 * HOURS)):
        evaluate(minutes, ahead, 5 * MINUTES + ahead)
    for minutes in range(15, 180, 5):
        evaluate(minutes, -2 * HOURS)
    assert relay.subjects == ["[demo] 1 new: disk raw"]
    evaluate(180, -2 * HOURS)
    assert relay.subjects[1:] == ["[demo] 1 new: source cl61"]
    evaluate(719, -2 * HOURS)
    assert len(relay.mails) == 2
    evaluate(720, -2 * HOURS)
    assert relay.subjects[2:] == ["[demo] 1 ongoing: disk raw"]


def test_times_in_the_future_are_clamped_if_there_is_no_uptime(site: Site, relay: Relay) -> None:
    site.at(START, freshness=stale("cl61"))
    site.at(START - 5 * HOURS, freshness=stale("cl61"))
    assert site.state.alerts["source cl61"].first_seen == START - 5 * HOURS
    site.at(START - 2 * HOURS, freshness=stale("cl61"))
    assert relay.subjects == ["[demo] 1 new: source cl61"]


def test_a_stream_that_is_planned_offline_neither_begins_nor_ends_nor_repeats_an_alert(
    site: Site, relay: Relay
) -> None:
    site.at(START, freshness=stale("cl61"))
    site.at(START + 3 * HOURS, freshness=stale("cl61"))
    planned = [*offline("cl61"), *offline("wxcam")]
    for hours in range(4, 40):
        site.at(START + hours * HOURS, freshness=planned)
    assert len(relay.mails) == 1
    assert [*site.state.alerts] == ["source cl61"]
    site.at(START + 40 * HOURS)
    assert relay.subjects[1:] == ["[demo] 1 resolved: source cl61"]


def test_an_unknown_source_is_mailed_after_three_hours_too(site: Site, relay: Relay) -> None:
    unknown = [*stale(rest=["wxcam"]), fresh("cl61", "source", Level.GRAY, START, "unknown since 00:00: no route")]
    for hours in (0, 3):
        site.at(START + hours * HOURS, freshness=unknown)
    assert relay.subjects == ["[demo] 1 new: source cl61"]
    assert "no route" in text_of(relay.mails[0])


def test_the_alert_of_a_disk_whose_host_is_down_stays_unchanged(site: Site, relay: Relay) -> None:
    site.at(START, **FULL)
    for hours in range(1, 20):
        site.at(START + hours * HOURS, filesystems=[disk("raw", None, None)])
    assert len(relay.mails) == 1
    site.at(START + 20 * HOURS, **FULL)
    assert relay.subjects[1:] == ["[demo] 1 ongoing: disk raw"]


def test_a_disk_at_its_limit_does_not_cause_a_mail_per_evaluation(site: Site, relay: Relay) -> None:
    for n, percent in enumerate((79.9, 80.0, 79.9, 80.0, 79.1, 80.2, 78.9, 79.5)):
        site.at(START + n * 5 * MINUTES, filesystems=[disk("raw", percent)])
    assert relay.subjects == ["[demo] 1 new: disk raw", "[demo] 1 resolved: disk raw"]


def test_inodes_fill_a_disk_as_bytes_do(site: Site, relay: Relay) -> None:
    site.at(START, filesystems=[disk("raw", 10, 99)])
    assert "99 % of inodes" in text_of(relay.mails[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"manifests": [manifest("cl61", missing=2), manifest("wxcam")]},
        {
            "freshness": [
                fresh("cl61", "source", Level.GREEN),
                fresh("cl61", "archive", Level.RED),
                fresh("wxcam", "archive", Level.GREEN),
            ]
        },
    ],
    ids=["files are missing in the archive", "the newest data in the archive is old"],
)
def test_a_red_archive_is_mailed_after_three_hours(site: Site, relay: Relay, changes: dict) -> None:
    for hours in (0, 2.9):
        site.at(START + hours * HOURS, **changes)
    assert relay.mails == []
    site.at(START + 3 * HOURS, **changes)
    site.at(START + 4 * HOURS)
    assert relay.subjects == ["[demo] 1 new: archive cl61", "[demo] 1 resolved: archive cl61"]


def test_manifests_are_mailed_when_the_newest_of_all_streams_are_too_old(site: Site, relay: Relay) -> None:
    site.at(START, manifests=[manifest("cl61", 2 * HOURS), manifest("wxcam", 30 * MINUTES)])
    assert relay.mails == []
    site.at(START + HOURS, manifests=[manifest("cl61", 3 * HOURS), manifest("wxcam", 31 * MINUTES)])
    site.at(START + 2 * HOURS, manifests=[])
    site.at(START + 3 * HOURS)
    assert relay.subjects == ["[demo] 1 new: manifests", "[demo] 1 resolved: manifests"]


def test_failed_runs_ticks_and_daemons_are_mailed_at_once(site: Site, relay: Relay) -> None:
    bad = Platform(
        failed_runs=[Run(run_id="1", job="cl61_day", partition="2026-03-01", error="no such host")],
        failing_ticks=[Tick(name="thumbnails", error="boom")],
        daemons=[Daemon(name="SCHEDULER", healthy=False)],
    )
    site.at(START, platform=bad)
    site.at(START + HOURS, platform=Platform(error="database is locked"))
    assert relay.subjects == ["[demo] 3 new: run cl61_day 2026-03-01, tick thumbnails, daemon SC..."]
    assert "- daemon SCHEDULER: NOT running, last heartbeat never" in text_of(relay.mails[0])
    site.at(START + 2 * HOURS)
    assert len(relay.mails) == 2
    assert site.state.alerts == {}


def test_a_failing_arrival_sensor_is_mailed_after_as_long_as_a_source(site: Site, relay: Relay) -> None:
    failing = Platform(failing_ticks=[Tick(name="arrivals_cl61", error="no answer")])
    for minutes in range(0, 180, 10):
        site.at(START + minutes * MINUTES, platform=failing)
    assert relay.mails == []
    site.at(START + 3 * HOURS, platform=failing)
    assert relay.subjects == ["[demo] 1 new: tick arrivals_cl61"]


def test_a_failed_run_that_a_cut_list_leaves_out_is_not_over(site: Site, relay: Relay) -> None:
    runs = [Run(run_id=str(day), job="cl61_day", partition=f"2026-03-0{day}", error="no") for day in (1, 2)]
    site.at(START, platform=Platform(failed_runs=runs[:1]))
    site.at(START + HOURS, platform=Platform(failed_runs=runs[1:], more_failed_runs=True))
    assert relay.subjects == ["[demo] 1 new: run cl61_day 2026-03-01", "[demo] 1 new: run cl61_day 2026-03-02"]
    site.at(START + 2 * HOURS)
    assert relay.subjects[2:] == ["[demo] 2 resolved: run cl61_day 2026-03-01, run cl61_day 2026-03-02"]


def test_an_older_snapshot_does_not_end_the_alert_of_a_run_that_the_sensor_reported(site: Site, relay: Relay) -> None:
    run = Run(run_id="1", job="cl61_day", partition="2026-03-01", error="no such host")
    site.at(START + MINUTES, healthy_file(START), failed=[run])
    site.at(START + 2 * MINUTES, healthy_file(START))
    assert relay.subjects == ["[demo] 1 new: run cl61_day 2026-03-01"]
    site.at(START + 6 * MINUTES, healthy_file(START + 5 * MINUTES, platform=Platform(failed_runs=[run])))
    site.at(START + 11 * MINUTES, healthy_file(START + 10 * MINUTES))
    assert relay.subjects[1:] == ["[demo] 1 resolved: run cl61_day 2026-03-01"]


def test_an_old_file_proves_only_that_the_collector_has_stopped(site: Site, relay: Relay) -> None:
    site.at(START, **FULL)
    old = healthy_file(START, **FULL)
    for minutes in (5, 10, 14):
        site.at(START + minutes * MINUTES, old)
    assert len(relay.mails) == 1
    for minutes in (15, 20, 11 * 60):
        site.at(START + minutes * MINUTES, old)
    assert relay.subjects[1:] == ["[demo] 1 new: collector"]
    site.at(START + 11 * HOURS + 5 * MINUTES)
    assert relay.subjects[2:] == ["[demo] 2 resolved: disk raw, collector"]


def test_a_snapshot_from_the_future_ages_from_when_it_was_first_read(site: Site, relay: Relay) -> None:
    future = healthy_file(START + 5 * HOURS)
    for minutes in (0, 5, 10):
        site.at(START + minutes * MINUTES, future)
    assert relay.mails == []
    site.at(START + 15 * MINUTES, future)
    assert relay.subjects == ["[demo] 1 new: collector"]


@pytest.mark.parametrize("content", [None, b"{", b'{"schema_version": 2}', b"\xff\xfe", NAIVE])
def test_an_unreadable_file_is_mailed_after_a_quarter_of_an_hour(
    site: Site, relay: Relay, content: bytes | None
) -> None:
    path = site.home / "latest.json"
    if content is not None:
        path.write_bytes(content)
    for minutes in (0, 5, 10):
        site.at(START + minutes * MINUTES, read_snapshot(path))
    assert relay.mails == []
    site.at(START + 15 * MINUTES, read_snapshot(path))
    assert relay.subjects == ["[demo] 1 new: collector"]


def test_a_snapshot_that_the_collector_wrote_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    path.write_text(healthy_snapshot(START).model_dump_json())
    conditions = evaluate_conditions(read_snapshot(path), settings(), START, START)
    assert {condition.verdict for condition in conditions.values()} == {"well"}
    assert [*conditions] == [
        *("collector", "disk raw", "disk products", "manifests"),
        *("source cl61", "source wxcam", "archive cl61", "archive wxcam", "daemon SCHEDULER"),
    ]


def test_a_preview_writes_and_sends_nothing(site: Site, relay: Relay) -> None:
    outcome, message = alerting(site.home, site.settings).preview(healthy_file(START, **FULL), Moment(START))
    assert message is not None
    assert message["Subject"] == "[demo] 1 new: disk raw"
    assert [alert.key for alert in outcome.going_on] == ["disk raw"]
    assert relay.mails == []
    assert not (site.home / "alerts").exists()


def test_two_evaluations_exclude_each_other(site: Site) -> None:
    alerts = alerting(site.home, site.settings, lock_slack=timedelta(seconds=0.1) - site.settings.within)
    with hold_lock(site.home / "locks", "alerts", timedelta(0)), pytest.raises(BusyError):
        alerts.evaluate(healthy_file(START), Mailer(site.settings), at=Moment(START))


def test_the_state_is_replaced_whole_and_nothing_is_left_beside_it(site: Site) -> None:
    site.at(START, **FULL)
    before = os.stat(site.home / "alerts/state.json").st_ino
    site.at(START + HOURS, **FULL)
    assert os.stat(site.home / "alerts/state.json").st_ino != before
    assert {path.name for path in (site.home / "alerts").rglob("*")} == {".staging", "alerts.jsonl", "state.json"}
    assert isinstance(alerting(site.home, site.settings), Alerting)
