"""A sky camera that anyone can run: demo, tests and benchmarks read what it writes.

`simulate` writes a camera's tree, `CameraSpec` says which, `FAULTS` lists what may be made to go wrong in it. The same
spec gives the same bytes. Nothing here knows Dagster or the code location.
"""

from simulator.camera import Report, simulate, suggested_workers
from simulator.faults import FAULTS
from simulator.spec import CameraSpec, SpecError

__all__ = ["FAULTS", "CameraSpec", "Report", "SpecError", "simulate", "suggested_workers"]
