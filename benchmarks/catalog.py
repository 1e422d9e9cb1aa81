"""Refreshing one day of the catalogue, among 1,000 and among 100,000 catalogued files: it should not matter."""

import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.table import Table

from aurora_assets.wxcam.catalog import open_writable
from aurora_assets.wxcam.layout import Layout
from aurora_assets.wxcam.refresh import refresh_day
from benchmarks.measure import Timing, timed
from simulator import CameraSpec, simulate

DAY = date(2026, 8, 18)
SIZES = (1_000, 100_000)
BOUND = 1.5


def run() -> Table:
    """Measure and return the table."""
    table = Table(
        "catalogued files", "unchanged day", "day with all its files new", title="catalogue, one day refreshed"
    )
    timings: list[tuple[Timing, Timing]] = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as directory:
            timings.append(_measure(Path(directory), size))
        table.add_row(f"{size:,}", *map(str, timings[-1]))
    ratios = [large.median / small.median for small, large in zip(*timings, strict=True)]
    table.add_row(
        "ratio", *(f"{r:.2f}: {'reached' if r <= BOUND else 'not reached'} (at most {BOUND})" for r in ratios)
    )
    return table


def _measure(directory: Path, size: int) -> tuple[Timing, Timing]:
    layout = Layout(directory / "raw", directory / "products", directory / "locks")
    simulate(CameraSpec(root=layout.raw, day=DAY, hours=24, every=timedelta(minutes=10), scale=0.05, other=False))
    now = datetime(2026, 8, 20, tzinfo=UTC)
    report = refresh_day(layout, DAY, now)
    files = report.added
    assert files == 2 * (144 + 24), "the benchmark's day is not whole"
    _fill(layout, size - files)

    def forget_day() -> None:
        with closing(sqlite3.connect(layout.catalog)) as db:
            db.execute("DELETE FROM images WHERE day_utc = ?", (DAY.isoformat(),))
            db.commit()

    def refresh(added: int) -> None:
        assert refresh_day(layout, DAY, now).added == added

    return timed(lambda: refresh(0)), timed(lambda: refresh(files), before=forget_day)


def _fill(layout: Layout, count: int) -> None:
    """Rows of other days, as many as a long archive has: those of the day, moved into the past."""
    with open_writable(layout) as db:
        rows = db.execute("SELECT * FROM images ORDER BY raw_path").fetchall()
        copies = []
        for n in range(count):
            row = list(rows[n % len(rows)])
            day = (DAY - timedelta(days=1 + n // len(rows))).strftime("%Y%m%d")
            for column in (0, 9, 10):  # raw_path, relative_path, filename
                row[column] = row[column].replace("20260818", day)
            row[7] -= (1 + n // len(rows)) * 86_400_000_000_000
            row[8] = f"{day[:4]}-{day[4:6]}-{day[6:]}"
            copies.append(row)
        db.execute("BEGIN")
        db.executemany(f"INSERT INTO images VALUES ({', '.join('?' * len(rows[0]))})", copies)
        db.execute("COMMIT")
