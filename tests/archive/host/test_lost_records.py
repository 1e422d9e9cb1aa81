"""Aurora's own records are lost or damaged on this machine: nothing good in the archive is replaced because of that."""

from __future__ import annotations

import shutil
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from aurora_platform.archive.push_plan import Pushing, push_finalizations
from tests.archive.mirrored import OLD, OPEN, MirroredSite, mirrored_site, readable_bytes
from tests.archive.places import DAY, STREAM, name_of
from tests.archive.product_site import OLD_NS, ProductSite, finalized

NEW = b"of somebody else"


def copy_finalizations(site: MirroredSite) -> Path:
    """Copy the finalization of the day to the archive, as each verification does; returns their directory there."""
    with site.records.ledger() as ledger:
        pushing = Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger)
        push_finalizations(site.records, pushing, STREAM, [DAY])
    return site.home / f"far/manifests/finalized/{STREAM}"


def remove_evidence(site: MirroredSite) -> None:
    for file in site.site.paths.state.glob("evidence.sqlite*"):
        file.unlink()


def damage_evidence(site: MirroredSite) -> None:
    remove_evidence(site)
    (site.site.paths.state / "evidence.sqlite").write_bytes(b"not a database" * 100)


@pytest.mark.parametrize("was_copied", [True, False], ids=["archived", "not archived yet"])
def test_a_lost_finalization_holds_back_what_would_replace_a_file_of_its_day(tmp_path: Path, was_copied: bool) -> None:
    site = mirrored_site(tmp_path, OLD)
    good = site.finalize_days(6)
    if was_copied:
        copy_finalizations(site)
    shutil.rmtree(site.site.paths.manifests / "finalized")
    site.change([name_of(0)])
    for _ in range(2):  # also after a verification, which finds no finalization either
        report = site.mirror()
        assert report.total("copied") == 0
        assert "the finalization of its day is missing" in next(iter(report.days[0].refused))
        assert not site.verify_and_publish().report.days[0].verdict.is_final
    site.write("local", name_of(1), NEW, number=1000)
    # The push fetches the finalization back, if the archive has it.
    why = "differs from the version that its day" if was_copied else "its day is missing"
    assert why in site.push().held.first[0]
    assert {name: site.place("gws", name).read_bytes() for name in good} == good
    if was_copied:
        assert "changed later than its stream allows" in next(iter(site.mirror().days[0].refused))


def lose_finalizations(site: MirroredSite | ProductSite, name: str, *, also_archived: bool) -> None:
    """Lose the finalizations of a stream or collection on this machine, and in the archive."""
    shutil.rmtree(site.records.finalizations(name).directory)
    if also_archived:
        shutil.rmtree(site.home / f"far/manifests/finalized/{name}", ignore_errors=True)


def test_a_lost_finalization_is_fetched_back_from_the_archive(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OLD)
    site.finalize_days(6)
    archived = copy_finalizations(site)
    before = {file.name: file.read_bytes() for file in archived.iterdir()}
    lose_finalizations(site, STREAM, also_archived=False)
    site.prepare_verification()
    local = site.records.finalizations(STREAM).directory
    assert {file.name: file.read_bytes() for file in local.iterdir()} == before
    assert site.verify_and_publish(full=True).report.days[0].verdict.is_final


def test_a_finalization_that_is_lost_everywhere_is_not_made_anew_without_its_files(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OLD)
    site.finalize_days(6)
    copy_finalizations(site)
    lose_finalizations(site, STREAM, also_archived=True)
    for side in ("source", "local", "gws"):
        site.place(side, name_of(0)).unlink()
    for _ in range(2):
        site.prepare_verification()
        [day] = site.verify_and_publish(full=True).report.days
        assert (day.verdict.is_final, "is missing here" in str(day.error)) == (False, True)
    assert not list(site.records.finalizations(STREAM).all_keys())


@pytest.mark.parametrize("kind", ["damaged local file", "change at the source"])
def test_a_new_machine_learns_from_the_archive_what_is_finalized_before_it_replaces_a_file(
    tmp_path: Path, kind: str
) -> None:
    site = mirrored_site(tmp_path, OLD)
    good = site.finalize_days(6)
    copy_finalizations(site)
    shutil.rmtree(site.site.paths.state)
    shutil.rmtree(site.site.paths.manifests)
    if kind == "damaged local file":
        site.place("source", name_of(0)).unlink()
        site.write("local", name_of(0), NEW, number=1000)
    else:
        site.change([name_of(0)])
        site.mirror()
    assert "differs from the version that its day was finalized with" in site.push().held.first[0]
    site.verify_and_publish()
    site.push()
    assert set(good.values()) <= readable_bytes(site)
    assert site.place("gws", name_of(0)).read_bytes() == good[name_of(0)]


def test_a_new_machine_learns_the_lists_of_the_products(tmp_path: Path) -> None:
    site = finalized(ProductSite(tmp_path))
    shutil.rmtree(site.site.paths.state)
    shutil.rmtree(site.site.paths.manifests)
    site.make("spectra/1.nc", NEW, OLD_NS + 10**9)
    site.push_core()
    [kept] = (tmp_path / "far/raw.versions").rglob("1.nc")
    assert kept.read_bytes() == b"one"
    site.prove()
    assert site.finalization()["revision"] == 2


def test_an_older_backup_of_a_finalization_counts_as_missing_and_replaces_no_manifest(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OPEN)
    site.finalize_days(6)
    copy_finalizations(site)
    local = site.records.finalizations(STREAM).directory
    backup = {file: file.read_bytes() for file in local.iterdir()}
    site.write("source", name_of(50), b"late")
    site.mirror()
    site.push()
    site.verify_and_publish()
    archived = copy_finalizations(site)
    second = (archived / f"{DAY}_{STREAM}_manifest_r2.tsv").read_bytes()
    for file in local.iterdir():
        file.unlink()
    for file, content in backup.items():
        file.write_bytes(content)
    site.write("source", name_of(51), b"later")
    site.mirror()
    site.push()
    assert site.verify_and_publish().report.days[0].verdict.is_final
    copy_finalizations(site)
    word = yaml.safe_load((archived / f"{DAY}_{STREAM}_finalized.yaml").read_bytes())
    assert (word["revision"], word["files"]) == (3, 8)
    assert (archived / f"{DAY}_{STREAM}_manifest_r2.tsv").read_bytes() == second


def test_every_revision_of_a_manifest_is_in_the_archive(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OPEN)
    site.finalize_days(6)  # its manifest is not copied: the archive is down
    site.write("source", name_of(50), b"late")
    site.mirror()
    site.push()
    assert site.verify_and_publish().report.days[0].verdict.is_final
    archived = copy_finalizations(site)
    local = site.records.finalizations(STREAM).directory
    assert {file.name: file.read_bytes() for file in archived.iterdir()} == {
        file.name: file.read_bytes() for file in local.iterdir()
    }
    first = local / f"{DAY}_{STREAM}_manifest_r1.tsv"
    first.write_bytes(b"")  # damaged after it was copied
    for file in [None, *site.site.paths.state.glob("ledger.sqlite*")]:
        if file is not None:  # also without the record that it was copied
            file.unlink()
        copy_finalizations(site)
        assert (archived / first.name).read_bytes()


def test_a_damaged_manifest_is_not_sent_over_the_good_one(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OLD)
    site.finalize_days(6)
    archived = copy_finalizations(site)
    site.records.finalizations(STREAM).manifest(DAY, 1).write_bytes(b"")
    assert site.verify_and_publish().report.unverified_days
    copy_finalizations(site)
    word = yaml.safe_load((archived / f"{DAY}_{STREAM}_finalized.yaml").read_bytes())
    assert sha256((archived / word["manifest"]).read_bytes()).hexdigest() == word["manifest_sha256"]


@pytest.mark.parametrize("name", ["ledger.sqlite", "evidence.sqlite"])
def test_a_damaged_database_stops_no_new_file_and_no_file_of_a_day_that_is_not_finalized(
    tmp_path: Path, name: str
) -> None:
    site = mirrored_site(tmp_path, OPEN)
    site.finalize_days(6)
    later = DAY + timedelta(days=1)
    site.write("source", name_of(0, later), b"first", later)
    assert site.mirror(DAY, later).total("copied") == 1
    for file in site.site.paths.state.glob(f"{name}-*"):
        file.unlink()
    (site.site.paths.state / name).write_bytes(b"not a database" * 100)
    site.write("source", name_of(1, later), b"new", later)
    site.write("source", name_of(0, later), b"first, and more", later, number=1000)
    assert site.mirror(DAY, later).total("copied") == 2


@pytest.mark.parametrize("lose", [remove_evidence, damage_evidence])
def test_without_evidence_a_damaged_file_of_a_stream_that_is_dated_by_mtime_is_not_sent(tmp_path: Path, lose) -> None:
    site = mirrored_site(tmp_path, OPEN | {"day": "mtime"})
    good = site.finalize_days(6)
    later = DAY + timedelta(days=3)
    lose(site)
    site.place("source", name_of(0)).unlink()
    site.write("local", name_of(0), b"", later)
    assert site.push_days(DAY, later).held.total == 1
    assert set(good.values()) <= readable_bytes(site)


@pytest.mark.parametrize("damage", ["damaged", "lost", "lost everywhere"])
def test_a_damaged_or_lost_list_of_products_holds_back_what_would_replace_a_finalized_product(
    tmp_path: Path, damage: str
) -> None:
    site = finalized(ProductSite(tmp_path))
    if damage == "damaged":
        site.records.finalizations("core_products").file("list").write_bytes(b"{")
    else:
        lose_finalizations(site, "core_products", also_archived=damage == "lost everywhere")
    site.make("spectra/1.nc", NEW, OLD_NS + 10**9)
    site.make("spectra/3.nc", b"three")
    report, is_back = site.push_core(), damage == "lost"
    assert (report.files, report.held.total) == ((2, 0) if is_back else (1, 1))
    assert bool(site.prove().damaged) is not is_back
    file = next((tmp_path / "far/raw.versions").rglob("1.nc")) if is_back else site.archived / "spectra/1.nc"
    assert file.read_bytes() == b"one"


def test_a_damaged_list_of_products_does_not_hold_back_a_product_that_changes_all_day(tmp_path: Path) -> None:
    site = finalized(ProductSite(tmp_path))
    now_ns = (tmp_path / "site.yaml").stat().st_mtime_ns
    site.make("latest.json", b"1", now_ns)
    site.push_core()
    site.prove()
    site.records.finalizations("core_products").file("list").write_bytes(b"{")
    site.make("latest.json", b"12", now_ns + 10**9)
    assert site.push_core().files == 1


def test_a_registered_file_replaces_neither_a_camera_product_nor_a_finalization(tmp_path: Path) -> None:
    site = ProductSite(tmp_path)
    video = site.archived / "wxcam/daily_videos/FISH/20260305.mp4"
    site.make(str(video.relative_to(site.archived)), b"video")
    with site.pushing() as pushing:
        pushing.wxcam_products([DAY])
    assert site.prove("wxcam_products").finalized_days == 1
    word = site.home / f"far/manifests/finalized/wxcam_products/{DAY}_wxcam_products_finalized.yaml"
    before = word.read_bytes()
    other = site.home / "other.nc"
    other.write_bytes(b"of another program")
    with site.ledger() as ledger:
        for place in (video, word):
            ledger.add_file(other, place, "gws")
    assert site.push_core().parked.total == 2
    assert (video.read_bytes(), word.read_bytes()) == (b"video", before)
