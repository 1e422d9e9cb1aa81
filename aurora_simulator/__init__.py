"""Simulates a sky camera and the other instruments of an observatory, for the demo, tests and benchmarks.

`simulate` writes the file tree of the camera that a `CameraSpec` describes. `FAULTS` lists the faults that it can add.
The same spec gives the same bytes. `run_live` writes such files in real time; a `LiveSpec` describes them.

`simulate_instruments` writes the trees of the other seven streams that an `InstrumentSpec` describes. `INSTRUMENTS`
lists their directories. `advance` updates those trees to any sky time, repeatedly; `run_instruments` in real time.

`aurora_simulator.ssh_server` runs a real sshd on a loopback address, to serve such files over SSH.

It does not use Dagster or the code location.
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
