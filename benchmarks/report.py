"""Writes the result of a subject as a table, JSON and a plot, with the machine and the software versions."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from benchmarks.subject import Figure, Result, Row, Target, number

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
_PACKAGES = ("dagster", "zarr", "xarray", "pillow", "av", "imagecodecs", "numpy", "fabric", "paramiko")
_COLOURS = {"reached": "green", "not reached": "red"}


@dataclass(frozen=True)
class Machine:
    """The machine of the measurement, without host name and paths."""

    processor: str
    cores: int
    memory_gb: int
    system: str
    python: str
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def this(cls) -> Machine:
        cores = len(os.sched_getaffinity(0))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        versions = {name: version(name) for name in _PACKAGES} | {"sqlite": sqlite3.sqlite_version}
        kernel = f"{platform.system()} {platform.release().split('-')[0]}"
        return cls(_processor(), cores, round(memory / 1e9), kernel, platform.python_version(), versions)

    def __str__(self) -> str:
        return f"{self.cores} cores of {self.processor}, {self.memory_gb} GB; {self.system}; Python {self.python}"

    @property
    def packages(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in self.versions.items())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def as_table(result: Result) -> Table:
    """Return the table for a terminal: a row per comparison."""
    columns = (
        "compared with",
        "its median (min to max)",
        "this project",
        "result",
        "to reach",
        "peak MB, its / ours",
        "",
    )
    no_wrap = ("result", "")
    table = Table(*(Column(name, no_wrap=name in no_wrap) for name in columns), title=result.title, show_lines=True)
    for row in result.rows:
        verdict = f"[{_COLOURS[row.verdict]}]{row.verdict}[/]"
        theirs = spread(row.theirs) if row.theirs else "-"
        what = f"{row.what}\n[dim]{row.remark}[/]" if row.remark else row.what
        table.add_row(what, theirs, spread(row.ours), row.result_text, str(row.target), _peaks(row), verdict)
    if result.notes:
        table.caption = "\n".join(result.notes)
        table.caption_justify = "left"
    return table


def _peaks(row: Row) -> str:
    peaks = [figure.peak_mb if figure else None for figure in (row.theirs, row.ours)]
    return " / ".join("-" if peak is None else f"{peak:,.0f}" for peak in peaks)


def spread(figure: Figure) -> str:
    """Format a figure as ``median unit (min to max)``, in ms if it is short; a mean is labelled ``mean``."""
    factor, unit = (1e3, "ms") if figure.unit == "s" and figure.middle < 0.5 else (1.0, figure.unit)
    middle, low, high = (number(factor * v) for v in (figure.middle, min(figure.values), max(figure.values)))
    text = f"mean {middle} {unit}" if figure.by_mean else f"{middle} {unit}"
    return text if low == high else f"{text} ({low} to {high})"


def save(result: Result, machine: Machine, directory: Path) -> None:
    """Write ``<name>.json`` and ``<name>.png``, and the overview of all results in the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(result, machine), indent=1, ensure_ascii=False)
    (directory / f"{result.name}.json").write_text(f"{text}\n")
    plot(result, directory / f"{result.name}.png")
    (directory / "README.md").write_text(overview(directory))


_OVERVIEW = """# Side by side

The last results of `make bench` for each subject. It writes this page, the JSON files and the plots. Compare ratios
from one run; absolute times differ between machines. [Performance](../performance.md) explains the figures, what was
slow and why, and the next limit.

A *result* with "at least" is how many times as fast this project is, or its share of a limit's rate; a result with "at
most" is how many times as long it takes, or as much it uses. Without a comparison it is the figure itself. In the plots
the dashed line is the target.

`<subject>.json` has the machine and the versions; a row per comparison with `theirs` (null without a comparison) and
`ours`, each with every measured value, median, minimum, maximum, unit and peak memory (MB, including the interpreter
and its libraries); the `value` that `target` bounds; and the `verdict`.
"""


def overview(directory: Path) -> str:
    """Return the page with all results, from the JSON files in the directory."""
    results = [json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))]
    parts = [_OVERVIEW]
    for result in results:
        machine = result["machine"]
        parts.append(f"## {result['title']}\n")
        parts.append("| compared with | median (min to max) | this project | result | to reach | |")
        parts.append("| --- | --- | --- | --- | --- | --- |")
        for row in result["rows"]:
            parts.append(_line(row))
        parts.append("\n" + " ".join(result["notes"]))
        parts.append(
            f"\n{result['measured_at_utc'][:10]}, {machine['cores']} cores of {machine['processor']}; "
            f"`{result['subject']}.json`\n\n![{result['title']}]({result['subject']}.png)\n"
        )
    return "\n".join(parts)


def _line(row: dict[str, Any]) -> str:
    theirs, ours = (
        Figure(tuple(figure["values"]), figure["unit"], figure["peak_mb"], figure.get("by_mean", False))
        if figure
        else None
        for figure in (row["theirs"], row["ours"])
    )
    assert ours is not None  # every row has ours
    target = Target(**row["target"])
    comparison = Row(row["what"], ours, row["value"], target, theirs)
    verdict = comparison.verdict if comparison.verdict == "reached" else f"**{comparison.verdict}**"
    what = f"{row['what']} ({row['remark']})" if row["remark"] else row["what"]
    cells = (what, spread(theirs) if theirs else "-", spread(ours), comparison.result_text, str(target), verdict)
    return f"| {' | '.join(cells)} |"


def as_json(result: Result, machine: Machine) -> dict[str, Any]:
    """Return the content of the JSON file; the overview explains the keys."""
    return {
        "subject": result.name,
        "title": result.title,
        "measured_at_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": asdict(machine),
        "notes": result.notes,
        "rows": [
            {
                "what": row.what,
                "theirs": _figure(row.theirs),
                "ours": _figure(row.ours),
                "value": row.value,
                "target": {"bound": row.target.bound, "at_least": row.target.at_least, "unit": row.target.unit},
                "remark": row.remark,
                "verdict": row.verdict,
            }
            for row in result.rows
        ],
    }


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    summary = {"median": figure.median, "min": min(figure.values), "max": max(figure.values)}
    return asdict(figure) | summary | ({"mean": figure.middle} if figure.by_mean else {})


def plot(result: Result, path: Path) -> None:
    """Plot bars of medians (or means) with their span from minimum to maximum, a pair per row."""
    from matplotlib.figure import Figure as PlotFigure

    rows = result.rows
    picture = PlotFigure(figsize=(9, 1.1 + 0.85 * len(rows)), layout="constrained")
    axes = picture.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, row in zip(axes, rows, strict=True):
        figures = [figure for figure in (row.theirs, row.ours) if figure]
        labels = (["compared with"] if row.theirs else []) + ["this project"]
        middles = [figure.middle for figure in figures]
        spans = [
            [m - min(f.values) for m, f in zip(middles, figures, strict=True)],
            [max(f.values) - m for m, f in zip(middles, figures, strict=True)],
        ]
        colours = (["#9a9a9a"] if row.theirs else []) + ["#2a7a3b" if row.verdict == "reached" else "#b3261e"]
        axis.barh(labels, middles, xerr=spans, color=colours, height=0.7, capsize=2)
        axis.invert_yaxis()
        smallest = min(min(f.values) for f in figures)
        if max(middles) > 20 * smallest > 0:
            axis.set_xscale("log")
            axis.set_xlim(left=smallest / 3)
        else:
            axis.ticklabel_format(axis="x", style="plain")
        axis.axvline(_target_position(row), color="black", linestyle="--", linewidth=1)
        axis.set_title(
            f"{row.what} \u2014 {row.result_text} ({row.target}) \u2014 {row.verdict}", fontsize=9, loc="left"
        )
        axis.set_xlabel(f"{row.ours.unit}{', logarithmic' if axis.get_xscale() == 'log' else ''}", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    picture.suptitle(result.title, fontsize=11)
    picture.savefig(path, dpi=110)


def _target_position(row: Row) -> float:
    """Return the value of our figure at which the target is just reached."""
    is_less_better = row.target.at_least and row.ours.unit == "s"  # a result that grows as our time shrinks
    share = row.value / row.target.bound
    return row.ours.middle * (share if is_less_better else 1 / share)
