"""A subject's result as a table, as JSON and as a plot, with the machine and the versions it was measured on."""

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

PLACE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
_PACKAGES = ("dagster", "zarr", "xarray", "pillow", "av", "imagecodecs", "numpy", "fabric", "paramiko")
_COLOURS = {"reached": "green", "not reached": "red"}


@dataclass(frozen=True)
class Machine:
    """On what was measured. No name of a machine, no path."""

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
    """What a reader of a terminal sees: a row a comparison."""
    columns = (
        "compared with",
        "it: median (min to max)",
        "this project",
        "result",
        "to reach",
        "peak MB, it / ours",
        "",
    )
    no_wrap = ("result", "")
    table = Table(*(Column(name, no_wrap=name in no_wrap) for name in columns), title=result.title, show_lines=True)
    for row in result.rows:
        verdict = f"[{_COLOURS[row.verdict]}]{row.verdict}[/]"
        theirs = spread(row.theirs) if row.theirs else "-"
        what = f"{row.what}\n[dim]{row.remark}[/]" if row.remark else row.what
        table.add_row(what, theirs, spread(row.ours), row.said, str(row.target), _peaks(row), verdict)
    if result.notes:
        table.caption = "\n".join(result.notes)
        table.caption_justify = "left"
    return table


def _peaks(row: Row) -> str:
    peaks = [figure.peak_mb if figure else None for figure in (row.theirs, row.ours)]
    return " / ".join("-" if peak is None else f"{peak:,.0f}" for peak in peaks)


def spread(figure: Figure) -> str:
    """A figure as ``median unit (min to max)``, in ms where it is short; a mean is called so."""
    factor, unit = (1e3, "ms") if figure.unit == "s" and figure.middle < 0.5 else (1.0, figure.unit)
    middle, low, high = (number(factor * v) for v in (figure.middle, min(figure.values), max(figure.values)))
    said = f"mean {middle} {unit}" if figure.by_mean else f"{middle} {unit}"
    return said if low == high else f"{said} ({low} to {high})"


def save(result: Result, machine: Machine, place: Path) -> None:
    """Write ``<name>.json`` and ``<name>.png``, and the overview of all that are there."""
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(result, machine), indent=1, ensure_ascii=False)
    (place / f"{result.name}.json").write_text(f"{text}\n")
    plot(result, place / f"{result.name}.png")
    (place / "README.md").write_text(overview(place))


_OVERVIEW = """# Side by side

What `make bench` measured last of each subject. This page, the JSON and the plots are written by it. Ratios from one
run count; absolute times differ from machine to machine. [Performance](../performance.md) says what the figures mean,
what was slow and why, and where the next limit is.

A *result* with "at least" says how many times as fast this project is, or how much of a limit's rate it has; one with
"at most" how many times as long it takes, or as much it uses. Without anything to compare with it is the figure itself.
In the plots a dashed line is the target.

In `<subject>.json`: the machine and the versions; a row a comparison with `theirs` (null where there is nothing to
compare with) and `ours`, each with every measured value, median, minimum, maximum, unit and the memory at the peak (MB,
the interpreter and its libraries included); `value`, which is what `target` is a bound of; and the `verdict`.
"""


def overview(place: Path) -> str:
    """The page that lists all that has been measured, from the JSON files that are there."""
    found = [json.loads(path.read_text()) for path in sorted(place.glob("*.json"))]
    parts = [_OVERVIEW]
    for one in found:
        machine = one["machine"]
        parts.append(f"## {one['title']}\n")
        parts.append("| compared with | median (min to max) | this project | result | to reach | |")
        parts.append("| --- | --- | --- | --- | --- | --- |")
        for row in one["rows"]:
            parts.append(_line(row))
        parts.append("\n" + " ".join(one["notes"]))
        parts.append(
            f"\n{one['measured_at_utc'][:10]}, {machine['cores']} cores of {machine['processor']}; "
            f"`{one['subject']}.json`\n\n![{one['title']}]({one['subject']}.png)\n"
        )
    return "\n".join(parts)


def _line(row: dict[str, Any]) -> str:
    theirs, ours = (
        Figure(tuple(figure["values"]), figure["unit"], figure["peak_mb"], figure.get("by_mean", False))
        if figure
        else None
        for figure in (row["theirs"], row["ours"])
    )
    assert ours is not None  # there is no row without ours
    target = Target(**row["target"])
    said = Row(row["what"], ours, row["value"], target, theirs)
    verdict = said.verdict if said.verdict == "reached" else f"**{said.verdict}**"
    what = f"{row['what']} ({row['remark']})" if row["remark"] else row["what"]
    cells = (what, spread(theirs) if theirs else "-", spread(ours), said.said, str(target), verdict)
    return f"| {' | '.join(cells)} |"


def as_json(result: Result, machine: Machine) -> dict[str, Any]:
    """What a program reads; the overview says what the keys are."""
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
    told = {"median": figure.median, "min": min(figure.values), "max": max(figure.values)}
    return asdict(figure) | told | ({"mean": figure.middle} if figure.by_mean else {})


def plot(result: Result, path: Path) -> None:
    """Bars of the medians (or means) with the span from minimum to maximum, a pair a row; on a logarithmic scale."""
    from matplotlib.figure import Figure as Picture

    rows = result.rows
    picture = Picture(figsize=(9, 1.1 + 0.85 * len(rows)), layout="constrained")
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
        axis.axvline(_place_of_target(row), color="black", linestyle="--", linewidth=1)
        axis.set_title(f"{row.what} \u2014 {row.said} ({row.target}) \u2014 {row.verdict}", fontsize=9, loc="left")
        axis.set_xlabel(f"{row.ours.unit}{', logarithmic' if axis.get_xscale() == 'log' else ''}", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    picture.suptitle(result.title, fontsize=11)
    picture.savefig(path, dpi=110)


def _place_of_target(row: Row) -> float:
    """How large our figure would be if the target were just reached."""
    is_less_better = row.target.at_least and row.ours.unit == "s"  # a result that grows as our time shrinks
    share = row.value / row.target.bound
    return row.ours.middle * (share if is_less_better else 1 / share)
