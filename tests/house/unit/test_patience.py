"""The factor for bounds in seconds: measured within its limits, or set by a variable."""

from datetime import UTC, datetime, timedelta

import pytest

from tests import patience


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (patience.GIVEN, patience._MEASURED):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("seconds", "factor"), [(0.01, 1), (0.5, 1), (0.51, 2), (1.0, 2), (2.3, 5), (4.9, 10), (5.1, 10), (600, 10)]
)
def test_the_factor_is_the_time_of_a_round_over_that_of_a_quiet_machine_within_limits(
    monkeypatch: pytest.MonkeyPatch, seconds: float, factor: int
) -> None:
    monkeypatch.setattr(patience, "_measure_round", lambda: seconds)
    monkeypatch.setattr(patience, "QUIET", 0.5)
    assert patience.measure() == factor
    assert (patience.patient(1.5), patience.in_site_file(3)) == (1.5 * factor, f"{3 * factor}s")


def test_the_worst_round_counts_and_it_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([0.1, 1.4, 0.1])
    monkeypatch.setattr(patience, "_measure_round", lambda: next(rounds))
    monkeypatch.setattr(patience, "QUIET", 0.5)
    assert [patience.measure(), patience.measure()] == [3, 3]


def test_a_given_factor_is_used_without_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_measure_round", lambda: pytest.fail("it was measured"))
    monkeypatch.setenv(patience.GIVEN, "25")
    assert (patience.measure(), patience.patient(2)) == (25, 50)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "much"])
def test_a_wrong_factor_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(patience.GIVEN, text)
    with pytest.raises(ValueError, match=r"AURORA_PATIENCE=.* a whole number from 1 on"):
        patience.measure()


def test_a_measurement_takes_some_time() -> None:
    assert patience._measure_round() > 0


@pytest.mark.parametrize(
    ("now", "seconds"),
    [("2026-11-30T12:00:00", 0), ("2026-11-30T23:53:59", 0), ("2026-11-30T23:54:00", 361), ("2026-11-30T23:59:59", 2)],
)
def test_a_run_that_would_pass_midnight_begins_after_it(now: str, seconds: int) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert patience.over_midnight(moment, timedelta(minutes=6)) == seconds
