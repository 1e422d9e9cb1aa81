"""The command `live`: its files, its output, and its end by a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from aurora_simulator.__main__ import simulator
from tests.patience import in_site_file, patient


def test_the_command_writes_a_tree_and_a_journal_and_prints_a_summary(tmp_path: Path) -> None:
    root, journal = tmp_path / "camera", tmp_path / "journal"
    options = f"live --root {root} --journal {journal} --hours 2 --every 30m --scale 0.05 --speed 36000 --flight 0.2s"
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    before = datetime.now(UTC)
    result = CliRunner().invoke(simulator, options.split())
    assert result.exit_code == 0
    sizes = {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    assert {entry["path"]: entry["bytes"] for entry in map(json.loads, journal.open())} == sizes
    line = f"13 files (8 images, 4 clips, 0 single exposures, 1 late), {sum(sizes.values())} bytes"
    assert result.output.splitlines()[-1].startswith(line)
    assert result.output.endswith(" s, 0 left half written\n")
    first = min(path for path in sizes if "PANO/" in path and "_PANO.jpg" in path)
    begins = {f"HDR_{now - timedelta(hours=24):%Y%m%d_%H}0000_PANO.jpg" for now in (before, datetime.now(UTC))}
    assert Path(first).name in begins
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A camera process: it begins files, which stay half written, and has an outage after 2 s."""
    command = [sys.executable, "-m", "aurora_simulator", "live", "--root", str(tmp_path / "camera"), "--scale", "0.05"]
    command += ["--begin", "2026-03-05T10:00Z", "--speed", "60", "--flight", "1h", "--no-other"]
    command += ["--outage-after", in_site_file(2), "--outage", "1h", "--journal", str(tmp_path / "journal")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_an_outage_ends_the_camera_and_the_root_gets_its_name_back(
    started: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    assert started.stdout is not None
    assert any("outage begins" in line for line in started.stdout)  # a busy machine may first log that it falls behind
    assert not (tmp_path / "camera").exists()
    started.send_signal(number)
    output, _ = started.communicate(timeout=patient(60))
    halves = [path for path in (tmp_path / "camera").rglob("*") if path.is_file()]
    assert started.returncode == 0
    assert "outage ends with the camera" in output
    assert output.splitlines()[-1].startswith(
        "0 files (0 images, 0 clips, 0 single exposures, 0 late), 0 bytes (0.0 MB)"
    )
    assert output.endswith(f", {len(halves)} left half written\n")
    assert halves
    assert not (tmp_path / "camera.offline").exists()
    assert (tmp_path / "journal").read_text() == ""


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--every", "5 minutes", "write 30s, 5m or 1h"),
        ("--late-by", "1000000d", "more than 36525 days"),
        ("--begin", "yesterday", "write 2026-03-05T10:00Z"),
        ("--begin", "2999-01-01", "begin must not be in the future"),
        ("--speed", "0", "speed must be a number above 0"),
    ],
)
def test_the_command_line_names_the_wrong_option_value(tmp_path: Path, option: str, value: str, message: str) -> None:
    result = CliRunner().invoke(simulator, ["live", "--root", str(tmp_path / "camera"), "--hours", "1", option, value])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "camera").exists()
