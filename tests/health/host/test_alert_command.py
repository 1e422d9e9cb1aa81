"""``aurora alert`` shows ongoing alerts and since when, sends mails, and has an exit code for timers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aurora_cli.main import main
from aurora_platform.health.models import Platform, Run
from tests.health.relay import Relay, text_of
from tests.health.snapshots import disk, healthy_snapshot, stale
from tests.site_files import write_site


@pytest.fixture
def aurora(tmp_path: Path, relay: Relay) -> Callable[..., Result]:
    def change(data: dict[str, Any]) -> None:
        data["alerts"] = {
            "to": ["operator@example.org"],
            "sender": "aurora@example.org",
            "transport": "auto",
            "smtp": {"port": relay.port},
        }

    site = write_site(tmp_path, change)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--site", str(site), "alert", *arguments])

    return run


def write_latest(home: Path, name: str = "raw/ops_monitor/latest.json", **changes: Any) -> Path:
    file = home / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(healthy_snapshot(datetime.now(UTC), **changes).model_dump_json())
    return file


def everything(home: Path) -> set[Path]:
    return set((home / "products").rglob("*")) | set((home / "state").rglob("*"))


def test_where_nothing_is_wrong_it_says_so_and_ends_with_0(
    aurora: Callable[..., Result], relay: Relay, tmp_path: Path
) -> None:
    write_latest(tmp_path)
    done = aurora()
    assert (done.exit_code, done.stdout) == (0, "demo: no alert is active or pending\n")
    assert relay.mails == []


def test_ongoing_alerts_are_a_table_with_their_times_and_are_mailed_once(
    aurora: Callable[..., Result], relay: Relay, tmp_path: Path
) -> None:
    write_latest(tmp_path, filesystems=[disk("raw", 91)], freshness=stale("cl61"))
    done = aurora()
    assert done.exit_code == 1
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    rows = {key: line for line in done.stdout.splitlines() for key in ("disk raw", "source cl61") if f" {key} " in line}
    assert rows["disk raw"].count(today) == 3, "since when, when it began, when it was mailed"
    assert " pending " in rows["source cl61"]
    assert "STALE" in rows["source cl61"]
    assert "sent one mail to operator@example.org about disk raw, by smtp (127.0.0.1" in done.stdout
    again = aurora()
    assert again.exit_code == 1
    assert "one mail" not in again.stdout
    assert again.stdout.count(today) == 4
    write_latest(tmp_path)
    over = aurora()
    assert over.exit_code == 0
    assert "resolved: disk raw: 40 % in use" in over.stdout
    assert relay.subjects == ["[demo] 1 new: disk raw", "[demo] 1 resolved: disk raw"]


def test_a_mail_that_cannot_be_sent_waits_and_the_exit_code_is_2(
    aurora: Callable[..., Result], relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write_latest(tmp_path, filesystems=[disk("raw", 91)])
    relay.stop()
    done = aurora()
    assert done.exit_code == 2
    assert "disk raw" in done.stdout
    assert "could not send a mail about 1 event: no transport for mail" in done.stderr
    relay.start()
    assert aurora().exit_code == 1
    assert relay.subjects == ["[demo] 1 new: disk raw"]


def test_a_dry_run_shows_the_mail_and_writes_and_sends_nothing(
    aurora: Callable[..., Result], relay: Relay, tmp_path: Path
) -> None:
    file = write_latest(tmp_path, "copy/latest.json", filesystems=[disk("raw", 91)])
    before = everything(tmp_path)
    done = aurora("--dry-run", "--file", str(file))
    assert done.exit_code == 1
    assert "[demo] 1 new: disk raw" in done.stdout
    assert "See: df -h /raw" in done.stdout
    assert f"Transport: smtp (127.0.0.1:{relay.port} answers)" in done.stdout
    assert relay.mails == []
    assert everything(tmp_path) == before


def test_a_test_mail_is_sent_by_the_chosen_transport_which_is_named(
    aurora: Callable[..., Result], relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = aurora("--test", "--dry-run")
    assert (done.exit_code, relay.mails) == (0, [])
    done = aurora("--test")
    answers = f"smtp (127.0.0.1:{relay.port} answers)"
    assert done.stdout == f"sent a test mail to operator@example.org by {answers}\n"
    assert done.exit_code == 0
    assert answers in text_of(relay.mails[0])
    assert not (tmp_path / "products").exists(), "a test is no evaluation"
    monkeypatch.setenv("PATH", str(tmp_path))
    relay.stop()
    done = aurora("--test")
    assert done.exit_code == 2
    assert "could not send the test mail to operator@example.org: no transport for mail" in done.stderr


def test_a_missing_latest_json_is_pending_at_first(aurora: Callable[..., Result], tmp_path: Path) -> None:
    done = aurora()
    assert done.exit_code == 0
    assert "collector" in done.stdout
    assert "cannot be read: No such file or directory" in done.stdout


def test_a_corrupt_state_is_named(aurora: Callable[..., Result], tmp_path: Path) -> None:
    write_latest(tmp_path)
    aurora()
    (tmp_path / "products/ops_monitor/alerts/state.json").write_text("{")
    done = aurora()
    assert done.exit_code == 0
    assert "state.json.unreadable-" in done.stderr


def test_control_characters_in_names_do_not_reach_the_terminal(aurora: Callable[..., Result], tmp_path: Path) -> None:
    run = Run(run_id="1", job="x\033[31m\n[bold]", error="\033]0;title\007")
    write_latest(tmp_path, platform=Platform(failed_runs=[run]))
    done = aurora()
    assert done.exit_code == 1
    assert "\033" not in done.stdout + done.stderr
    assert "[bold]" in done.stdout


def test_a_site_without_the_key_alerts_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--site", str(write_site(tmp_path)), "alert"])
    assert done.exit_code == 1
    assert done.stderr == "Error: demo sends no mails: add the key `alerts` to the site file\n"


def test_an_old_file_shows_that_the_collector_has_stopped(aurora: Callable[..., Result], tmp_path: Path) -> None:
    file = write_latest(tmp_path, filesystems=[disk("raw", 91)])
    file.write_text(healthy_snapshot(datetime.now(UTC) - timedelta(minutes=20)).model_dump_json())
    done = aurora("--dry-run")
    assert "[demo] 1 new: collector" in done.stdout
    assert "20 min old" in done.stdout
