"""The commands that `aurora demo` prints make every product of its day, and finalize the day in the archive."""

import json
import shlex
from pathlib import Path

from click.testing import CliRunner
from dagster import DagsterInstance

from aurora_assets.definitions import build
from aurora_cli.main import main
from aurora_platform.config.site import load_site
from aurora_platform.layout import Layout

SMALL = ("--hours", "1", "--every", "30m", "--scale", "0.05")


def test_the_printed_jobs_make_every_product_of_the_day_and_finalize_it(tmp_path: Path) -> None:
    output = CliRunner().invoke(main, ["demo", str(tmp_path / "demo"), *SMALL]).stdout
    jobs = [shlex.split(line, comments=True) for line in output.splitlines() if "dagster job execute" in line]
    site = load_site(tmp_path / "demo" / "site.yaml")
    definitions = build(site)
    with DagsterInstance.ephemeral() as instance:
        for *_, name, _tags, tags in jobs:
            assert (
                definitions.resolve_job_def(name).execute_in_process(instance=instance, tags=json.loads(tags)).success
            )
    products = Layout.of(site).camera.products
    for pattern in ("wxcam_catalog.sqlite", "daily_videos/*/20260818.mp4", "hourly_thumbnails/*/20260818/*.jpg"):
        assert list(products.glob(pattern)), pattern
    assert list(products.glob("wxcam.zarr/*/20260818"))
    [finalization] = (shlex.split(line, comments=True)[1] for line in output.splitlines() if "    cat " in line)
    assert "complete: true" in Path(finalization).read_text()
    relative = Path(finalization).relative_to(site.paths.manifests)
    assert (tmp_path / "demo/archive/manifests" / relative).read_bytes() == Path(finalization).read_bytes()
