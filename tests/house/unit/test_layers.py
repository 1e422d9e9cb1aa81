"""Rules for all source files. Rules about imports are in the configuration of import-linter."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
OURS = (
    *("aurora_platform", "aurora_assets", "resources", "sensors", "schedules", "aurora_cli", "aurora_simulator"),
    *("benchmarks", "scripts"),
)
SOURCES = [path for folder in OURS for path in sorted((ROOT / folder).rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_is_no_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_formats_no_shell_string(path: Path) -> None:
    text = path.read_text()
    assert "shell=True" not in text
    assert "os.system" not in text
