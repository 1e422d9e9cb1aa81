"""A sky camera that anyone can run: demo, tests and benchmarks read what it writes.

`simulate` writes a camera's tree, `CameraSpec` says which, `FAULTS` lists what may be made to go wrong in it. The same
spec gives the same bytes. `run_live` writes such files in real time, as `LiveSpec` says. Nothing here knows Dagster or
the code location.
"""

from simulator.camera import Report, simulate, suggested_workers
from simulator.faults import FAULTS
from simulator.live import LiveReport, run_live
from simulator.live_spec import LiveSpec
from simulator.spec import CameraSpec, SpecError

__all__ = [
    "FAULTS",
    "CameraSpec",
    "LiveReport",
    "LiveSpec",
    "Report",
    "SpecError",
    "run_live",
    "simulate",
    "suggested_workers",
]
