"""The restore drill fetches a finalized day from the archive, and compares it with its manifest."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.archive.restore_drill import DrillReport, drill, read_history
from aurora_platform.config.hosts import ArchiveDirectory, SshHost
from aurora_platform.layout import WXCAM_PRODUCTS, Layout
from tests.archive.places import DAY, STREAM
from tests.archive.product_site import ProductSite, rot
from tests.archive.pushed import PushedSite, hosts_of_kind


@pytest.fixture
def site(tmp_path: Path) -> PushedSite:
    """A day that is finalized, with its finalization in an archive on this machine."""
    return finalized(tmp_path, hosts_of_kind("local", ()))


def finalized(home: Path, hosts: tuple[ArchiveDirectory | SshHost, ...]) -> PushedSite:
    site = PushedSite(home)
    site.hosts = hosts
    site.finalize()
    with site.ledger() as ledger:
        pushing = Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger)
        push_finalizations(site.records, pushing, STREAM, [DAY])
    return site


def restore(site: PushedSite, only: tuple[str, date] | None = None) -> DrillReport:
    return drill(site.records, site.archive_hosts(), only=only, random=Random(1))


@pytest.mark.parametrize("kind", ["ssh", "local"])
def test_a_day_is_fetched_and_found_as_it_was_finalized_and_nothing_is_kept(
    tmp_path: Path, hosts: tuple[SshHost, ...], kind: str
) -> None:
    site = finalized(tmp_path, hosts_of_kind(kind, hosts[:1]))
    report = restore(site)
    assert (report.stream, report.day, report.files, report.wrong.total) == (STREAM, str(DAY), 6, 0)
    assert report.bytes == sum(place.stat().st_size for place in site.place("local").rglob("*.csv"))
    assert report.is_success
    assert not any((Layout.of(site.site).raw / ".outgoing").iterdir())
    history = read_history(Layout.of(site.site).restore_drill)
    assert history.last == history.last_success == report


def test_damaged_missing_and_exchanged_files_fail_the_drill_and_the_last_success_stays(site: PushedSite) -> None:
    before = restore(site)
    names = sorted(str(place.relative_to(site.place("gws"))) for place in site.place("gws").rglob("*.csv"))
    site.flip("gws", names[0])
    site.place("gws", names[1]).unlink()
    site.place("gws", names[2]).unlink()
    site.place("gws", names[2]).symlink_to("/etc/passwd")
    site.place("gws", names[3]).unlink()
    site.place("gws", names[3]).mkdir()
    report = restore(site)
    assert (report.is_success, report.files, report.wrong.total) == (False, 2, 4)
    assert [line.split(":")[0] for line in report.wrong.first] == names[:4]
    assert "WRONG: 4" in report.summary()
    history = read_history(Layout.of(site.site).restore_drill)
    assert (history.last, history.last_success) == (report, before)


def test_an_archive_whose_manifest_is_of_somebody_else_fails_the_drill(site: PushedSite) -> None:
    [manifest] = (site.home / "far/manifests").rglob("*_manifest_r1.tsv")
    manifest.write_bytes(manifest.read_bytes().replace(b"met_", b"mit_"))
    report = restore(site)
    assert not report.is_success
    assert "its SHA-256 is not that of the finalization" in report.summary()
    manifest.unlink()
    assert "could not be restored" in restore(site).summary()


def test_a_file_that_is_larger_in_the_archive_than_finalized_is_not_fetched_whole(site: PushedSite) -> None:
    [name] = [str(place.relative_to(site.place("gws"))) for place in site.place("gws").rglob("*_000.csv")]
    with site.place("gws", name).open("ab") as file:
        file.truncate(1 << 30)
    report = restore(site)
    assert (report.files, report.wrong.total) == (5, 1)


def test_without_a_finalized_day_there_is_nothing_to_restore(tmp_path: Path) -> None:
    site = PushedSite(tmp_path)
    site.hosts = hosts_of_kind("local", ())
    report = restore(site)
    assert (report.day, report.error) == (None, "")
    assert "nothing to restore" in report.summary()
    other = restore(site, only=(STREAM, DAY + timedelta(days=1)))
    assert "is not finalized" in other.summary()


def test_a_day_of_the_camera_s_products_is_restored_too(tmp_path: Path) -> None:
    site = ProductSite(tmp_path)
    video = site.make(f"wxcam/daily_videos/fish_hdr/{DAY:%Y%m%d}.mp4", b"video")
    with site.pushing() as pushing:
        pushing.wxcam_products([DAY])
    assert site.prove(WXCAM_PRODUCTS).finalized_days == 1
    report = restore(site)
    assert (report.stream, report.files, report.is_success) == (WXCAM_PRODUCTS, 1, True)
    rot(site.archived / video.relative_to(site.products))
    assert restore(site).wrong.total == 1


def test_damaged_results_count_as_none_and_the_next_drill_replaces_them(site: PushedSite) -> None:
    file = Layout.of(site.site).restore_drill
    for content in (b"", b"{", b"[]", b'{"last": {"stream": 1}}', b'{"last": {"unknown": 1}}'):
        file.write_bytes(content)
        assert read_history(file).last_success is None
    assert restore(site).is_success
    assert read_history(file).last_success is not None
