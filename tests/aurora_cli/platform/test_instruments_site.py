"""The site of all simulated instruments: the commands in its file copy every file of a day."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from aurora_cli.main import main
from aurora_platform.config.site import load_site
from aurora_platform.layout import Layout
from aurora_simulator import INSTRUMENTS
from aurora_simulator.__main__ import simulator
from tests.aurora_cli.parts import FILES, ROOT
from tests.mirror.parts import differences

SITE = ROOT / "sites" / "instruments.yaml"
COMMANDS = {".venv/bin/python -m aurora_simulator": simulator, ".venv/bin/aurora": main}


def test_its_streams_have_the_settings_of_the_observatory() -> None:
    observatory = yaml.safe_load((ROOT / "sites" / "gamb2le.yaml").read_text())["streams"]
    local = yaml.safe_load(SITE.read_text())["streams"]
    assert local.keys() == observatory.keys() == INSTRUMENTS.keys() | {"wxcam"}
    for name, stream in local.items():
        for key in ("raw", "include", "day", "day_dirs", "day_names", "settle", "append"):
            assert stream.get(key) == observatory[name].get(key), f"{name}.{key}"


def test_the_commands_in_the_file_simulate_and_copy_a_day_of_all_eight_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites").mkdir()
    shutil.copy(SITE, tmp_path / "sites")
    commands = re.findall(r"^#     (.*)$", SITE.read_text(), re.MULTILINE)
    assert len(commands) == 3
    for line in commands:
        start, command = next((start, command) for start, command in COMMANDS.items() if line.startswith(start))
        result = CliRunner().invoke(command, shlex.split(line.removeprefix(start)))
        assert result.exit_code == 0, result.output
    copied = dict(
        re.findall(r"^(\w+): seen \d+ = copied (\d+) \+ unchanged 0 \+ unsettled 0 \+ refused 0", result.stdout, re.M)
    )
    assert {name: int(count) for name, count in copied.items() if name != "wxcam"} == FILES
    assert int(copied["wxcam"]) > 0
    site = load_site(tmp_path / "sites" / "instruments.yaml")
    for name in ("cl61", "radar", "hatpro", "vaisalamet", "asfs_logger", "power"):
        assert differences(Path(site.streams[name].path), Layout.of(site).raw_root(name)) == []
