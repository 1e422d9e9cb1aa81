"""``aurora accept`` where the finalization of a day is lost everywhere: what the archive has counts as finalized."""

from __future__ import annotations

import shutil
from pathlib import Path

from click.testing import CliRunner

from aurora_cli.main import main
from tests.archive.mirrored import OLD, MirroredSite, readable_bytes
from tests.archive.places import DAY, STREAM, name_of


def test_a_day_whose_finalization_is_lost_everywhere_goes_on_after_an_operator_accepts_what_the_archive_has(
    tmp_path: Path,
) -> None:
    site = MirroredSite(tmp_path, OLD, {"hosts": [{"kind": "local", "same_disk": True}]})
    site.hosts = site.records.archive.hosts
    good = site.finalize_days(6)
    shutil.rmtree(site.site.paths.manifests / "finalized")
    site.change([name_of(0)])
    assert site.mirror().total("copied") == 0

    def accept(*options: str) -> str:
        command = ["--site", str(tmp_path / "site.yaml"), "accept", STREAM, "--day", str(DAY), *options]
        return CliRunner().invoke(main, command).output

    dry_run = accept()
    assert "the archive has 6 files of it" in dry_run
    assert f"aurora accept {STREAM} --day {DAY} --apply takes them as finalized" in dry_run
    assert not (site.site.paths.manifests / "finalized").exists(), "a dry run"
    assert "6 files count as finalized now" in accept("--apply")
    finalization = site.records.finalizations(STREAM).read(DAY)
    assert finalization is not None
    assert (finalization.complete, finalization.revision) == (False, 2)
    assert "changed later than its stream allows" in next(iter(site.mirror().days[0].refused))
    assert "1 change held back" in accept()
    assert "accepted 1 change" in accept("--apply")
    assert site.mirror().total("copied") == 1
    assert site.push().replaced.total == 1
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert set(good.values()) <= readable_bytes(site)
