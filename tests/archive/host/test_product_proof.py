"""Products are proved as raw days are: every file is archived and proved, or it is counted and named."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy
import pytest
import yaml
import zarr

from aurora_platform.errors import ArchiveError
from aurora_platform.layout import CORE_PRODUCTS, REGISTERED, WXCAM_PRODUCTS
from tests.archive.product_site import OLD_NS, ProductSite, finalized, rot


@pytest.fixture
def site(tmp_path: Path) -> ProductSite:
    return ProductSite(tmp_path)


def test_a_zarr_store_a_hidden_file_a_link_and_an_empty_directory_are_archived_and_proved_or_counted_and_named(
    site: ProductSite,
) -> None:
    store = site.products / "sky" / "sky.zarr"
    written = zarr.open_array(str(store), mode="w", shape=(20, 20), chunks=(10, 10), dtype="i4", zarr_format=2)
    written[:] = numpy.arange(400).reshape(20, 20)
    site.make(".hidden")
    (site.products / "link").symlink_to(site.products / ".hidden")
    (site.products / "sky" / "nothing").mkdir()
    site.make(".staging/half")
    for path in store.rglob("*"):
        os.utime(path, ns=(OLD_NS, OLD_NS))
    pushed = site.push_core()
    assert (pushed.refused.first, pushed.empty_directories.first) == (["link"], ["sky/nothing"])
    report = site.prove()
    assert (report.refused.first, report.left_out.first) == (["link"], [".outgoing", ".staging"])
    assert report.empty_directories.first == ["sky/nothing"]
    files = {str(path.relative_to(site.products)) for path in site.products.rglob("*") if path.is_file()}
    files -= {"link", ".staging/half"}
    assert report.files == report.proved == report.listed == len(files)
    copied = zarr.open_array(str(site.archived / "sky" / "sky.zarr"), mode="r")
    assert (numpy.asarray(copied[:]) == numpy.arange(400).reshape(20, 20)).all()
    finalization = site.finalization()
    manifest = (site.home / "far/manifests/finalized" / CORE_PRODUCTS / str(finalization["manifest"])).read_text()
    assert {line.split("\t")[0] for line in manifest.splitlines()[1:]} == files
    assert finalization["complete"] is True
    assert finalization["directory"] == str(site.archived)


@pytest.mark.parametrize("place", ["locally", "in the archive"])
def test_a_changed_byte_of_a_finalized_product_is_a_gap_and_is_not_sent(site: ProductSite, place: str) -> None:
    finalized(site)
    rot((site.products if place == "locally" else site.archived) / "spectra/1.nc")
    report = site.prove(full=True)
    assert (report.gaps, report.gaps_first) == (1, [f"spectra/1.nc: different checksum {place}"])
    assert site.finalization()["complete"] is (place == "locally")
    assert site.push_core().files == 0
    assert (site.archived / "spectra/1.nc").read_bytes() == (b"one" if place == "locally" else b"nne")


def test_a_damaged_product_is_not_sent_even_where_the_archive_lost_its_copy(site: ProductSite) -> None:
    finalized(site)
    rot(site.products / "spectra/1.nc")
    (site.archived / "spectra/1.nc").unlink()
    assert site.prove(full=True).gaps == 2
    with site.ledger() as ledger:
        ledger.requeue(site.records.archive.name, [str(site.archived / "spectra/1.nc")])
    pushed = site.push_core()
    assert (pushed.files, pushed.held.total) == (0, 1)
    assert not (site.archived / "spectra/1.nc").exists()


def test_a_product_that_was_deleted_locally_is_a_gap_only_if_it_was_finalized(site: ProductSite) -> None:
    finalized(site)
    young = site.make("young", mtime_ns=time.time_ns())
    site.push_core()
    assert site.prove().pending == 1
    young.unlink()
    (site.products / "spectra/1.nc").unlink()
    report = site.prove()
    assert report.gaps_first == ["spectra/1.nc: missing locally"]
    assert report.only_in_the_archive.first == ["young"]
    assert site.finalization()["complete"] is True, "the archive still has every file of the list"


def test_a_finalized_product_that_is_made_again_keeps_its_earlier_version_in_the_archive(site: ProductSite) -> None:
    finalized(site)
    site.make("spectra/1.nc", b"made again", OLD_NS + 10**9)
    report = site.prove()
    assert (report.gaps, report.pending, site.finalization()["files"]) == (0, 1, 2)
    assert site.push_core().replaced.total == 1
    assert site.finalization()["complete"] is False, "withdrawn in the archive, before the file was replaced"
    assert site.finalization()["why"] == "1 file got a new version; all are verified again"
    [kept] = (site.home / "far/raw.versions").rglob("1.nc")
    assert kept.read_bytes() == b"one"
    assert site.prove().proved == 2
    assert (site.finalization()["revision"], site.finalization()["complete"]) == (2, True)
    assert (site.home / "far/manifests/finalized" / CORE_PRODUCTS / f"list_{CORE_PRODUCTS}_manifest_r1.tsv").exists()


def test_a_finalized_product_is_not_replaced_where_the_archive_does_not_take_the_withdrawal(site: ProductSite) -> None:
    finalized(site)
    site.make("spectra/1.nc", b"made again", OLD_NS + 10**9)
    directory = site.home / "far/manifests/finalized" / CORE_PRODUCTS
    directory.rename(directory.with_name("moved"))
    directory.write_bytes(b"no directory")
    with pytest.raises(ArchiveError):
        site.push_core()
    assert (site.archived / "spectra/1.nc").read_bytes() == b"one"
    directory.unlink()
    directory.with_name("moved").rename(directory)
    assert site.push_core().replaced.total == 1, "what is withdrawn still vouches for the earlier version"


def test_a_file_that_changes_every_day_is_compared_and_not_listed(site: ProductSite) -> None:
    finalized(site)
    site.make("latest_health.json", mtime_ns=time.time_ns() - 7200 * 10**9)
    assert site.prove().pending == 1, "it waits for the next push"
    site.push_core()
    report = site.prove()
    assert (report.files, report.proved, report.listed, report.gaps) == (3, 3, 2, 0)
    (site.archived / "latest_health.json").unlink()
    assert site.prove().gaps_first == ["latest_health.json: missing in the archive"]
    assert site.finalization()["complete"] is True
    assert site.push_core().files == 1
    assert site.prove().gaps == 0


def test_a_place_that_cannot_be_seen_proves_nothing_and_withdraws_nothing(site: ProductSite) -> None:
    finalized(site)
    site.archived.rename(site.home / "unmounted")
    report = site.prove()
    assert (list(report.errors), report.gaps) == (["gws"], 0)
    (site.home / "unmounted").rename(site.archived)
    site.products.rename(site.home / "unmounted")
    site.products.mkdir()
    assert "has no file of core_products, so its listing is not trusted" in site.prove().errors["local"]
    assert site.finalization()["complete"] is True


def test_registered_files_are_proved_and_listed_wherever_they_are(site: ProductSite) -> None:
    disk = site.home / "disk"
    (disk / "spectra").mkdir(parents=True)
    (site.home / "data").symlink_to(disk)
    file = disk / "spectra/1.nc"
    file.write_bytes(b"registered")
    os.utime(file, ns=(OLD_NS, OLD_NS))
    remote = site.archived / "spectrometer/day.nc"
    site.make("core")
    with site.ledger() as ledger:
        ledger.add_file(site.home / "data/spectra/1.nc", str(remote), site.records.archive.name)
    site.push_core()
    report = site.prove(REGISTERED)
    assert (report.files, report.proved, report.listed) == (1, 1, 1)
    assert site.prove().only_in_the_archive.first == ["spectrometer/day.nc"], "it is no core product"
    rot(remote)
    assert site.prove(REGISTERED, full=True).gaps_first == [f"{str(remote)[1:]}: different checksum in the archive"]
    rot(remote)
    file.unlink()
    report = site.prove(REGISTERED, full=True)
    assert (report.gaps, report.proved) == (0, 1), "its program may delete it; the archive has it"


def test_camera_products_are_finalized_by_day_and_the_others_by_their_list(site: ProductSite) -> None:
    camera, day = site.products / "wxcam", date(2026, 3, 5)
    for path in (
        *("daily_videos/fish_hdr/20260305.mp4", "hourly_thumbnails/fish_hdr/20260305/HDR_20260305_003000.jpg"),
        *("daily_videos/fish_hdr/latest.mp4", "daily_videos/fish_hdr/20260305.mp4.inputs", "of_others/x"),
        *("daily_videos/fish_hdr/99999999.mp4", "wxcam.zarr/zarr.json", ".clips/fish_hdr/x"),
    ):
        site.make(f"wxcam/{path}", path.encode())
    with closing(sqlite3.connect(camera / "wxcam_catalog.sqlite")) as db:
        db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE images (path TEXT); INSERT INTO images VALUES (1);")
    os.utime(camera / "wxcam_catalog.sqlite", ns=(OLD_NS, OLD_NS))
    with site.pushing() as pushing:
        assert pushing.wxcam_products([day]).files == 7
    report = site.prove(WXCAM_PRODUCTS)
    assert report.left_out.first[:3] == [".clips", ".outgoing", "wxcam.zarr"]
    assert (report.files, report.proved, report.finalized_days, report.listed) == (7, 7, 1, 5)
    finalization = site.home / f"far/manifests/finalized/{WXCAM_PRODUCTS}/{day}_{WXCAM_PRODUCTS}_finalized.yaml"
    assert yaml.safe_load(finalization.read_bytes())["complete"] is True
    video = site.make("wxcam/daily_videos/fish_hdr/20260305.mp4", b"made again with one more clip", OLD_NS + 10**9)
    report = site.prove(WXCAM_PRODUCTS)
    assert (report.pending, report.finalized_days) == (1, 0)
    with site.pushing() as pushing:
        assert pushing.wxcam_products([day]).replaced.total == 1
    assert site.prove(WXCAM_PRODUCTS).finalized_days == 1
    video.unlink()
    assert site.prove(WXCAM_PRODUCTS).gaps_first == ["daily_videos/fish_hdr/20260305.mp4: missing locally"]


def age(site: ProductSite) -> None:
    """Let the last change of the list be two days old."""
    file = site.records.finalizations(CORE_PRODUCTS).file("list")
    data = yaml.safe_load(file.read_bytes())
    times = {key: "2026-01-01T00:00:00+00:00" for key in data if key in ("finalized_at", "withdrawn_at")}
    file.write_text(yaml.safe_dump(data | times, sort_keys=False))


def test_while_one_product_is_wrong_new_ones_are_vouched_for_and_the_list_is_not_complete(site: ProductSite) -> None:
    finalized(site)
    rot(site.archived / "spectra/1.nc")
    site.prove(full=True)
    site.make("spectra/3.nc", b"three")
    site.push_core()
    site.prove()
    assert (site.finalization()["complete"], site.finalization()["files"]) == (False, 2)
    age(site)
    site.prove()
    word = site.finalization()
    assert (word["complete"], word["files"], word["revision"]) == (False, 3, 2)
    assert "spectra/1.nc: different checksum in the archive" in str(word["why"])
    assert not site.prove().changed, "it is published once"
    site.make("spectra/3.nc", b"three, again", OLD_NS + 10**9)
    assert site.push_core().files == 1
    [kept] = (site.home / "far/raw.versions").rglob("3.nc")
    assert kept.read_bytes() == b"three"
