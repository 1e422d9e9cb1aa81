"""The instruments over many days."""

from __future__ import annotations

import shutil
import time as cpu_clock
from datetime import date
from pathlib import Path

from aurora_simulator import InstrumentSpec, simulate_instruments
from tests.aurora_simulator.host.test_instruments import PER_DAY
from tests.patience import patient


def test_a_month_of_all_instruments_is_written_in_seconds(tmp_path: Path) -> None:
    began = cpu_clock.process_time()
    report = simulate_instruments(InstrumentSpec(tmp_path, date(2026, 6, 1), days=30, scale=0.0001))
    assert report.new == {stream: 30 * count for stream, count in PER_DAY.items()}
    assert cpu_clock.process_time() - began < patient(20)  # s of the CPU; 2.5 on an idle machine
    shutil.rmtree(tmp_path)  # pytest would keep three times 15,960 files
