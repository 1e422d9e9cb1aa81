"""How a simulation is shown in a terminal: a bar while it runs, one line of what it wrote."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aurora_simulator.camera import Report
from aurora_simulator.instruments import InstrumentReport
from aurora_simulator.live import BEHIND, LiveReport


def with_bar(run: Callable[[Callable[[int, int], None]], Report]) -> Report:
    """Run with a progress bar on stderr; without one when that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("camera"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("hours of a view"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("camera", total=None)
        return run(lambda done, total: bar.update(task, completed=done, total=total))


def summary(report: Report, seconds: float) -> str:
    """One line: files, bytes, seconds."""
    parts = f"{report.images} images, {report.clips} clips, {report.others} other"
    if report.faults:
        parts += f", {sum(len(paths) for paths in report.faults.values())} of {len(report.faults)} faults"
    return total(report, parts, seconds)


def live_summary(report: LiveReport, seconds: float) -> str:
    """One line: files, bytes, seconds, and what is not whole."""
    parts = f"{report.images} images, {report.clips} clips, {report.others} other, {report.late} late"
    behind = f", {report.lag:.1f} s late at most" if report.lag > BEHIND else ""
    return f"{total(report, parts, seconds)}{behind}, {len(report.unfinished)} left half written"


def instruments_summary(report: InstrumentReport, seconds: float) -> str:
    """One line: new files of each stream, what else was written, bytes, seconds."""
    parts = ", ".join(f"{count} {stream}" for stream, count in report.new.items()) or "nothing new"
    return total(report, f"{parts}; {report.appended} appends, {report.rewritten} rewrites", seconds)


def total(report: Report | LiveReport | InstrumentReport, parts: str, seconds: float) -> str:
    """Files, bytes and seconds."""
    return f"{report.files} files ({parts}), {report.bytes} bytes ({report.bytes / 1e6:.1f} MB), {seconds:.1f} s"
