"""A sky camera and the instruments beside it that anyone can run: demo, tests and benchmarks read what they write.

`simulate` writes a camera's tree, `CameraSpec` says which, `FAULTS` lists what may be made to go wrong in it. The same
spec gives the same bytes. `run_live` writes such files in real time, as `LiveSpec` says.

`simulate_instruments` writes the trees of the other seven streams, `InstrumentSpec` says which, `INSTRUMENTS` where
they lie. `advance` brings those trees to any sky time, as often as asked; `run_instruments` does so in real time.

`aurora_simulator.ssh_server` is a real sshd on a loopback address, for those who want such a host over SSH.

Nothing here knows Dagster or the code location.
"""

from aurora_simulator.camera import Report, simulate, suggested_workers
from aurora_simulator.faults import FAULTS
from aurora_simulator.instrument_spec import INSTRUMENTS, Instrument, InstrumentSpec
from aurora_simulator.instruments import Change, InstrumentReport, advance, simulate_instruments, unexpected_files
from aurora_simulator.live import LiveReport, run_live
from aurora_simulator.live_instruments import run_instruments
from aurora_simulator.live_spec import LiveSpec
from aurora_simulator.spec import CameraSpec, SpecError

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
    "run_instruments",
    "run_live",
    "simulate",
    "simulate_instruments",
    "suggested_workers",
    "unexpected_files",
]
