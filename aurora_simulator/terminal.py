"""Shows a simulation in a terminal: a progress bar, and a line with its result."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aurora_simulator.camera import Report
from aurora_simulator.instruments import InstrumentReport
from aurora_simulator.live import LAG_LIMIT, LiveReport


def with_bar(run: Callable[[Callable[[int, int], None]], Report]) -> Report:
    """Run with a progress bar on stderr; without it when stderr is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("camera"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("hours of both views"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("camera", total=None)
        return run(lambda done, total: bar.update(task, completed=done, total=total))


def summary(report: Report, seconds: float) -> str:
    """Return one line: files, bytes, seconds."""
    parts = f"{report.images} images, {report.clips} clips, {report.others} single exposures"
    if report.faults:
        faulty = sum(len(paths) for paths in report.faults.values())
        parts += f", {faulty} faulty (kinds of fault: {len(report.faults)})"
    return total(report, parts, seconds)


def live_summary(report: LiveReport, seconds: float) -> str:
    """Return one line: files, bytes, seconds, and half-written files."""
    parts = f"{report.images} images, {report.clips} clips, {report.others} single exposures, {report.late} late"
    behind = f", {report.lag:.1f} s late at most" if report.lag > LAG_LIMIT else ""
    return f"{total(report, parts, seconds)}{behind}, {len(report.unfinished)} left half written"


def instruments_summary(report: InstrumentReport, seconds: float) -> str:
    """Return one line: new files per stream, other writes, bytes, seconds."""
    parts = ", ".join(f"{count} {stream}" for stream, count in report.new.items()) or "nothing new"
    return total(report, f"{parts}; {report.appended} appends, {report.rewritten} rewrites", seconds)


def total(report: Report | LiveReport | InstrumentReport, parts: str, seconds: float) -> str:
    """Return files, bytes and seconds as text."""
    return f"{report.files} files ({parts}), {report.bytes} bytes ({report.bytes / 1e6:.1f} MB), {seconds:.1f} s"
