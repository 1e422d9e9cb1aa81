"""The public API, ``import aurora_platform as aurora``, is complete, and loads nothing before its use."""

import subprocess
import sys
from pathlib import Path

import aurora_platform as aurora

ROOT = Path(__file__).resolve().parents[3]


def test_every_name_of_the_api_exists_and_has_a_docstring() -> None:
    assert aurora.__all__ == ["Layout", "Ledger", "Site", "load_site", "open_pixels", "original_jpeg"]
    for name in aurora.__all__:
        assert getattr(aurora, name).__doc__, name


def test_the_api_loads_nothing_before_its_use() -> None:
    code = "import sys; before = set(sys.modules); import aurora_platform; print(*sorted(set(sys.modules) - before))"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {name for name in process.stdout.split() if name.startswith("aurora_")}
    assert ours == {"aurora_platform"}
    assert not {"numpy", "pydantic", "xarray", "zarr"} & set(process.stdout.split())
