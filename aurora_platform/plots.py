"""Plots of a site as PNG: coverage of days, and ages over time. matplotlib is imported only to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRIP_DAYS = 30
_NONE, _EMPTY, _PART, _WHOLE = "#e4e4e4", "#c0392b", "#e6a23c", "#3c8d5a"
_DPI = 72  # dots per inch: these are small pictures


def strip_days(last: date) -> list[date]:
    """The days of a coverage strip, oldest first."""
    return [last - timedelta(days=n) for n in reversed(range(STRIP_DAYS))]


def coverage_strip(rows: Mapping[str, Mapping[date, float | None]], days: Sequence[date], title: str) -> bytes:
    """A row of boxes per name: the share of each day that is present.

    Parameters
    ----------
    rows
        Name -> day -> share of the expected files, from 0 to 1; None, or no entry: unknown.
    days
        The days to show, oldest first.
    """
    figure = _figure(7.2, 0.55 + 0.22 * len(rows))
    axes = figure.add_axes((0.14, 0.3 if len(rows) > 1 else 0.42, 0.85, 0.5))
    for number, shares in enumerate(rows.values()):
        colours = [_colour(shares.get(day)) for day in days]
        axes.bar(range(len(days)), [0.84] * len(days), bottom=number + 0.08, width=0.9, color=colours)
    axes.set_yticks([number + 0.5 for number in range(len(rows))], list(rows), fontsize=7)
    axes.set_ylim(len(rows), 0)
    axes.set_xlim(-0.6, len(days) - 0.4)
    ticks = [n for n in range(len(days)) if (len(days) - 1 - n) % 7 == 0]
    axes.set_xticks(ticks, [f"{days[n]:%m-%d}" for n in ticks], fontsize=7)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(title, fontsize=8, loc="left")
    return _png(figure)


def ages_plot(lines: Mapping[str, Sequence[tuple[datetime, float]]], now: datetime, title: str) -> bytes:
    """The ages (s) of the newest data over the last 24 hours, plotted in hours, one line per name."""
    figure = _figure(7.2, 2.4)
    axes = figure.add_axes((0.09, 0.17, 0.66, 0.7))
    for name, points in lines.items():
        x = [(time - now).total_seconds() / 3600 for time, _ in points]
        axes.plot(x, [max(age, 1.0) / 3600 for _, age in points], linewidth=1, label=name)
    axes.set_yscale("log")
    axes.set_xlim(-24, 0)
    axes.set_xlabel("hours before now", fontsize=7)
    axes.set_ylabel("age, h", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, linewidth=0.3)
    axes.set_title(title, fontsize=8, loc="left")
    if lines:
        axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _png(figure)


def _colour(share: float | None) -> str:
    if share is None:
        return _NONE
    if share <= 0:
        return _EMPTY
    return _PART if share < 1 else _WHOLE


def _figure(width: float, height: float) -> Figure:
    # Without pyplot: no state shared by threads, and no window system.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
