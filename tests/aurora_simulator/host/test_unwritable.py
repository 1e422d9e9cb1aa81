"""Every command of the simulator prints one line when it cannot write a file."""

import pytest
from click.testing import CliRunner

from aurora_simulator.__main__ import simulator


@pytest.mark.parametrize(
    "options",
    [
        "camera --day 2026-03-05 --hours 1 --scale 0.05 --every 1h",
        "camera --day 2026-03-05 --hours 2 --scale 0.05 --every 1h --workers 2",
        "live --hours 1 --scale 0.05 --every 1h",
        "instruments --day 2026-03-05",
        "instruments --day 2026-03-05 --live",
    ],
)
def test_a_root_that_cannot_be_written_gives_one_clear_line(options: str) -> None:
    result = CliRunner().invoke(simulator, [*options.split(), "--root", "/proc/x"])
    assert result.exit_code == 1
    assert result.stderr == "Error: /proc/x: No such file or directory. Choose a --root where you may write.\n"
