"""The framework of the benchmarks: it measures methods, refuses wrong answers and reports targets."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import __main__ as command
from benchmarks import listing, report
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.subject import Bench, Figure, Result, Row, at_least, at_most, times_faster, times_longer
from tests.patience import patient

MEGABYTE = 1 << 20


def append(log: Path, name: str) -> str:
    with log.open("a") as file:
        file.write(f"{name}\n")
    return name


def prepare(log: Path, name: str) -> None:
    append(log, f"before {name}")


def take(megabytes: int) -> int:
    return len(bytearray(megabytes * MEGABYTE).replace(b"\0", b"\1"))


def sleep_for(seconds: float) -> None:
    time.sleep(seconds)


def grow(log: Path) -> int:
    append(log, "x")
    return len(log.read_text())


def fail(_: Path) -> None:
    raise OSError("the disk is gone")


class UnpicklableError(Exception):
    def __init__(self, text: str, more: int) -> None:
        super().__init__(f"{text} {more}")


def fail_unpicklably(_: Path) -> None:
    raise UnpicklableError("the disk is gone", 5)


def accept(answers: Any) -> None:
    assert answers


def test_methods_alternate_and_are_prepared_before_each_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    methods = {name: Method(append, (log, name), prepare) for name in ("a", "b")}
    found = alternately(methods, accept, rounds=2)
    assert log.read_text().split("\n")[:-1] == ["before a", "a", "before b", "b"] * 3
    assert [len(measured.seconds) for measured in found.values()] == [2, 2]


def test_clock_time_cpu_time_and_memory_are_those_of_the_work(tmp_path: Path) -> None:
    found = alternately(
        {"sleep_for": Method(sleep_for, (0.2,)), "small": Method(take, (1,)), "large": Method(take, (60,))},
        accept,
        rounds=1,
    )
    assert 0.2 <= found["sleep_for"].median < patient(10)
    assert found["sleep_for"].cores < 0.1
    assert found["large"].peak_mb - found["small"].peak_mb > 50


def test_a_wrong_answer_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def check(answers: Any) -> None:
        raise WrongAnswerError("nothing was completed")

    with pytest.raises(WrongAnswerError, match="nothing was completed"):
        alternately({"a": Method(append, (log, "a"))}, check, rounds=3)
    assert log.read_text() == "a\n"


def test_the_files_of_the_last_round_are_checked_too(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def check(_: Any) -> None:
        if log.read_text().count("a\n") > 1:
            raise WrongAnswerError("the files are wrong")

    with pytest.raises(WrongAnswerError, match="the files are wrong"):
        alternately({"a": Method(append, (log, "a"))}, check, rounds=2)
    assert log.read_text() == "a\n" * 3


def test_an_answer_that_changes_from_round_to_round_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongAnswerError, match="answered 4, but 2 before"):
        alternately({"a": Method(grow, (tmp_path / "log",))}, accept, rounds=3)


def test_a_method_that_fails_ends_the_benchmark_with_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        alternately({"a": Method(fail, (tmp_path,))}, accept)


def test_an_error_that_cannot_be_pickled_arrives_as_text(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="UnpicklableError: the disk is gone 5"):
        alternately({"a": Method(fail_unpicklably, (tmp_path,))}, accept)


def test_an_answer_is_summarized_outside_of_the_measurement(tmp_path: Path) -> None:
    def check(answers: Any) -> None:
        assert answers == {"a": 3}

    alternately({"a": Method(bytes, (3,), summarize=len)}, check, rounds=1)


@pytest.mark.parametrize(
    ("row", "text", "verdict"),
    [
        (times_faster("x", Figure((10.0, 12.0, 11.0)), Figure((1.0, 2.0, 1.1)), 10), "10x", "reached"),
        (times_faster("x", Figure((10.0,)), Figure((1.01,)), 10), "9.901x", "not reached"),
        (times_longer("x", Figure((10.0,)), Figure((13.0,)), 1.3), "1.3x", "reached"),
        (times_longer("x", Figure((10.0,)), Figure((13.1,)), 1.3), "1.31x", "not reached"),
        (times_longer("x", Figure((1.0, 1.0, 1.0)), Figure((1.0, 1.0, 4.0), by_mean=True), 2), "2x", "reached"),
        (Row("x", Figure((46.0,), "dB"), 46.0, at_least(45, "dB")), "46 dB", "reached"),
        (Row("x", Figure((26.0,), "%"), 26.0, at_most(25, "%")), "26%", "not reached"),
    ],
)
def test_a_row_shows_its_value_and_its_verdict(row: Row, text: str, verdict: str) -> None:
    assert (row.result_text, row.verdict) == (text, verdict)


@pytest.mark.parametrize(
    ("row", "position"),
    [
        (times_faster("x", Figure((10.0,)), Figure((1.0,)), 5), 2.0),
        (times_longer("x", Figure((10.0,)), Figure((13.0,)), 1.5), 15.0),
        (Row("x", Figure((154.0,), "frames/s"), 28.0, at_least(25), Figure((5.5,), "frames/s")), 137.5),
        (Row("x", Figure((88.0,), "MB"), 88.0, at_most(300, "MB")), 300.0),
    ],
)
def test_the_line_of_the_target_is_where_our_figure_just_reaches_it(row: Row, position: float) -> None:
    assert report._target_position(row) == pytest.approx(position)


def test_a_figure_with_bursts_is_shown_as_a_mean() -> None:
    assert report.spread(Figure((1.0, 1.0, 4.0), "%", by_mean=True)) == "mean 2 % (1 to 4)"
    assert report.spread(Figure((1.0, 1.0, 4.0), "%")) == "1 % (1 to 4)"


def result(seconds: float) -> Result:
    row = times_faster("in use today", Figure((10.0, 11.0, 12.0)), Figure((seconds,), peak_mb=55.0), 10)
    return Result("listing", "A subject", [row], ["An explanation."])


def test_a_result_is_saved_as_json_a_plot_and_a_page(tmp_path: Path) -> None:
    machine = report.Machine.this()
    report.save(result(1.0), machine, tmp_path)
    saved = json.loads((tmp_path / "listing.json").read_text())
    assert saved["machine"]["versions"].keys() >= {"dagster", "zarr", "sqlite"}
    (row,) = saved["rows"]
    assert (row["value"], row["verdict"]) == (11.0, "reached")
    assert (row["theirs"]["median"], row["theirs"]["min"], row["theirs"]["max"]) == (11.0, 10.0, 12.0)
    assert row["ours"]["peak_mb"] == 55.0
    with Image.open(tmp_path / "listing.png") as picture:
        assert picture.width > 500
    page = (tmp_path / "README.md").read_text()
    assert "| in use today | 11 s (10 to 12) | 1 s | 11x | at least 10x | reached |" in page


def test_the_published_page_matches_the_json_files() -> None:
    assert (report.RESULTS / "README.md").read_text() == report.overview(report.RESULTS)
    assert {path.stem for path in report.RESULTS.glob("*.json")} == set(command.SUBJECTS)


@pytest.mark.parametrize(
    ("seconds", "code", "message"), [(1.0, 0, "every target is reached"), (5.0, 1, "not reached: ")]
)
def test_the_command_exits_with_1_if_a_target_is_not_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, code: int, message: str
) -> None:
    def run(bench: Bench) -> Result:
        assert bench.rounds == 2
        return result(seconds)

    monkeypatch.setattr(listing, "run", run)
    completed = CliRunner().invoke(command.main, ["listing", "--rounds", "2", "--out", str(tmp_path)])
    assert completed.exit_code == code, completed.output
    assert message in completed.output
    assert (tmp_path / "listing.json").is_file()


@pytest.mark.parametrize("is_right", [True, False])
def test_a_short_run_checks_the_answers_and_not_the_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_right: bool
) -> None:
    def run(bench: Bench) -> Result:
        assert (bench.rounds, bench.is_short, listing.FILES) == (1, True, 300)
        if not is_right:
            raise WrongAnswerError("listed and planned nothing")
        return result(5.0)

    monkeypatch.setattr(listing, "run", run)
    monkeypatch.setattr(listing, "FILES", 100_000)
    monkeypatch.setenv("AURORA_BENCH_SHORT", "")
    completed = CliRunner().invoke(command.main, ["listing", "--short", "--out", str(tmp_path)])
    assert (completed.exit_code == 0) == is_right, completed.output
    assert isinstance(completed.exception, WrongAnswerError) == (not is_right)
    assert list(tmp_path.iterdir()) == []


def files() -> int:
    return listing.FILES


def test_child_processes_of_a_short_run_use_small_sizes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURORA_BENCH_SHORT", "1")
    answers = []
    alternately({"a": Method(files)}, answers.append, rounds=1)
    assert answers == [{"a": 300}] * 2


def test_every_subject_is_a_module_with_run_and_a_docstring() -> None:
    from importlib import import_module

    for name in command.SUBJECTS:
        module = import_module(f"benchmarks.{name}")
        assert callable(module.run)
        assert module.__doc__
