"""A sky camera and the instruments beside it that anyone can run: demo, tests and benchmarks read what they write.

`simulate` writes a camera's tree, `CameraSpec` says which, `FAULTS` lists what may be made to go wrong in it. The same
spec gives the same bytes. `run_live` writes such files in real time, as `LiveSpec` says.

`simulate_instruments` writes the trees of the other seven streams, `InstrumentSpec` says which, `INSTRUMENTS` where
they lie. `advance` brings those trees to any sky time, as often as asked; `run_instruments` does so in real time.

`simulator.ssh_server` is a real sshd on a loopback address, for those who want such a host over SSH.

Nothing here knows Dagster or the code location.
"""

from simulator.camera import Report, simulate, suggested_workers
from simulator.faults import FAULTS
from simulator.instrument_spec import INSTRUMENTS, Instrument, InstrumentSpec
from simulator.instruments import Change, InstrumentReport, advance, foreign_files, simulate_instruments
from simulator.live import LiveReport, run_live
from simulator.live_instruments import run_instruments
from simulator.live_spec import LiveSpec
from simulator.spec import CameraSpec, SpecError

__all__ = [
    "FAULTS",
    "INSTRUMENTS",
    "CameraSpec",
    "Change",
    "Instrument",
    "InstrumentReport",
    "InstrumentSpec",
    "LiveReport",
    "LiveSpec",
    "Report",
    "SpecError",
    "advance",
    "foreign_files",
    "run_instruments",
    "run_live",
    "simulate",
    "simulate_instruments",
    "suggested_workers",
]
