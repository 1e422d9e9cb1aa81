"""Memory of a source listing of 100,000 files: the whole source listed and planned, in a process of its own."""

import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from rich.table import Table

from aurora_assets.listing import LocalSource
from aurora_assets.mirror.plan import make_plan
from aurora_assets.site import Stream, load_site

FILES = 100_000
BOUND_MB = 300


def run() -> Table:
    """Measure and return the table."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "source"
        for n in range(FILES):
            place = root / "FISH" / "20260818" / f"{n // 5000:02d}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"HDR_20260818_{n:06d}.jpg").touch()
        output = subprocess.run(
            [sys.executable, "-m", "benchmarks.listing", str(root)], capture_output=True, text=True, check=True
        ).stdout
    seen, seconds, megabytes = output.split()
    assert int(seen) == FILES, output
    table = Table("files", "seconds", "peak memory", title="listing and plan of a source")
    verdict = "reached" if float(megabytes) < BOUND_MB else "not reached"
    table.add_row(seen, seconds, f"{megabytes} MB: {verdict} (under {BOUND_MB} MB)")
    return table


def _child(root: Path) -> None:
    stream: Stream = load_site().streams["wxcam"]
    started = time.perf_counter()
    plan = make_plan(stream, [date(2026, 8, 18)], LocalSource().list(str(root), []), root.parent / "raw")
    # The kernel's high-water mark of this program; ru_maxrss would begin with that of the one that started it.
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(plan.days[date(2026, 8, 18)].seen, f"{time.perf_counter() - started:.2f}", f"{peak:.0f}")


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
