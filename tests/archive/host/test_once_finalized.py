"""What any revision of a finalization listed stays vouched for, also while the archive does not show it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from aurora_cli.main import main
from aurora_platform.archive import manifest
from aurora_platform.archive.vanished_files import Acceptance
from aurora_platform.layout import CORE_PRODUCTS, REGISTERED, WXCAM_PRODUCTS
from tests.archive.mirrored import OLD, mirrored_site, readable_bytes
from tests.archive.places import DAY, STREAM, name_of
from tests.archive.product_site import OLD_NS, ProductSite, finalized, rot
from tests.archive.pushed import PushedSite

NEWER_NS = OLD_NS + 10**9


def run(site: PushedSite, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["--site", str(site.home / "site.yaml"), *arguments])
    return " ".join(done.output.split())


def readable(site: PushedSite) -> set[bytes]:
    """The content of every file of the archive: of its directories, and of the earlier versions that it keeps."""
    return {file.read_bytes() for file in (site.home / "far").rglob("*") if file.is_file()}


@pytest.mark.parametrize("hiccup", ["not shown", "truncated", "other bytes"])
def test_a_product_that_the_archive_does_not_show_while_it_is_made_again_stays_in_the_list(
    tmp_path: Path, hiccup: str
) -> None:
    site = finalized(ProductSite(tmp_path))
    site.make("spectra/1.nc", b"made again", NEWER_NS)
    archived, away = site.archived / "spectra/1.nc", tmp_path / "away"
    shutil.copy2(archived, away)
    if hiccup == "not shown":
        archived.unlink()
    elif hiccup == "truncated":
        archived.write_bytes(b"")
    else:
        rot(archived)
    site.prove(full=True)
    word = site.finalization()
    assert (word["complete"], word["files"]) == (False, 2)
    assert "spectra/1.nc" in str(word["why"])
    shutil.copy2(away, archived)  # it was there all the time
    away.unlink()
    assert site.push_core().files == 1
    assert b"one" in readable(site)
    site.prove()
    assert site.finalization()["complete"] is True


def test_all_products_of_a_list_that_are_not_shown_at_once_stay_in_it(tmp_path: Path) -> None:
    site = finalized(ProductSite(tmp_path))
    for number in (1, 2):
        site.make(f"spectra/{number}.nc", b"made again", NEWER_NS)
    (site.archived / "spectra").rename(tmp_path / "away")
    site.prove()
    assert site.finalization()["complete"] is False
    (tmp_path / "away").rename(site.archived / "spectra")
    site.push_core()
    assert {b"one", b"two"} <= readable(site)


def test_a_registered_file_that_is_not_shown_while_its_program_writes_it_again_stays_in_the_list(
    tmp_path: Path,
) -> None:
    site = ProductSite(tmp_path)
    remote = site.archived / "spectrometer/day.nc"
    file = site.make("../data/1.nc", b"registered")
    with site.ledger() as ledger:
        ledger.add_file(file, str(remote), site.records.archive.name)
    site.push_core()
    assert site.prove(REGISTERED).listed == 1
    site.make("../data/1.nc", b"written again", NEWER_NS)
    with site.ledger() as ledger:
        ledger.add_file(file, str(remote), site.records.archive.name)
    remote.rename(tmp_path / "away")
    site.prove(REGISTERED)
    (tmp_path / "away").rename(remote)
    site.push_core()
    assert b"registered" in readable(site)


def test_a_product_whose_earlier_version_a_push_has_kept_leaves_the_list_although_it_changes_again(
    tmp_path: Path,
) -> None:
    site = finalized(ProductSite(tmp_path))
    site.make("spectra/1.nc", b"made again", NEWER_NS)
    site.push_core()
    site.make("spectra/1.nc", b"and again", 2 * NEWER_NS - OLD_NS)  # before the verification
    assert site.prove().gaps == 0
    word = site.finalization()
    assert (word["complete"], word["files"]) == (True, 1)
    assert b"one" in readable(site)


@pytest.mark.parametrize("collection", [CORE_PRODUCTS, WXCAM_PRODUCTS])
def test_the_archive_keeps_a_product_whose_deletion_was_accepted_also_where_it_is_made_again(
    tmp_path: Path, collection: str
) -> None:
    site = ProductSite(tmp_path)
    name = "wxcam/daily_videos/fish_hdr/20260305.mp4" if collection == WXCAM_PRODUCTS else "spectra/1.nc"

    def push() -> None:
        with site.pushing() as pushing:
            pushing.wxcam_products([DAY]) if collection == WXCAM_PRODUCTS else pushing.core_products()

    site.make(name, b"one")
    site.make(name.replace("20260305.mp4", "20260305.other.mp4").replace("1.nc", "2.nc"), b"two")
    push()
    site.prove(collection)
    (site.products / name).unlink()
    assert "accepted 1 deletion" in run(site, "accept", collection, "--lost", "--apply")
    assert site.prove(collection).gaps == 0
    site.make(name, b"a new product of this name", NEWER_NS)
    push()
    assert b"one" in readable(site)


def test_accepted_deletions_do_not_complete_a_day_with_a_product_that_is_not_copied_yet(tmp_path: Path) -> None:
    site = ProductSite(tmp_path)
    directory = "wxcam/daily_videos/fish_hdr"
    site.make(f"{directory}/20260305.mp4", b"one")
    with site.pushing() as pushing:
        pushing.wxcam_products([DAY])
    site.prove(WXCAM_PRODUCTS)
    (site.products / directory / "20260305.mp4").unlink()
    site.make(f"{directory}/20260305.new.mp4", b"not copied")
    run(site, "accept", WXCAM_PRODUCTS, "--lost", "--apply")
    for file in (site.site.paths.manifests / f"finalized/{WXCAM_PRODUCTS}").glob(f"{DAY}_*.yaml"):
        assert yaml.safe_load(file.read_bytes())["complete"] is False


def test_a_file_that_was_given_up_and_is_back_in_the_archive_is_kept_where_the_source_writes_it_again(
    tmp_path: Path,
) -> None:
    site = mirrored_site(tmp_path, OLD)
    good = site.finalize_days(6)
    for side in ("source", "local"):
        site.place(side, name_of(0)).unlink()
    site.place("gws", name_of(0)).rename(tmp_path / "away")
    site.verify_and_publish()
    with site.records.evidence() as evidence:
        lost = {name_of(0): site.records.finalizations(STREAM).proved(DAY)[name_of(0)]}
        evidence.vanished.accept(STREAM, DAY, lost, Acceptance.LOST)
    assert site.verify_and_publish().report.days[0].verdict.is_final
    (tmp_path / "away").rename(site.place("gws", name_of(0)))
    site.write("source", name_of(0), b"of the same name", number=1000)
    site.mirror()
    site.push()
    assert set(good.values()) <= readable_bytes(site)


def test_a_listing_that_misses_a_finalized_file_does_not_let_a_push_replace_it(tmp_path: Path, monkeypatch) -> None:
    site = finalized(ProductSite(tmp_path))
    site.make("spectra/1.nc", b"made again", NEWER_NS)
    from aurora_platform.archive import replace_vouched

    shown, calls = replace_vouched.list_entries, []

    def blind_once(*arguments: object) -> dict[str, object]:
        calls.append(arguments)
        return {} if len(calls) == 1 else shown(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(replace_vouched, "list_entries", blind_once)
    report = site.push_core()
    assert (report.files, report.replaced.total) == (1, 1)
    assert b"one" in readable(site)
    assert site.finalization()["complete"] is False, "the new version is not compared yet"


@pytest.mark.parametrize("time", [None, "2026-03-05T00:00:00", "yesterday", "2999-01-01T00:00:00+00:00"])
def test_the_time_in_a_finalization_may_be_anything_and_the_list_goes_on(tmp_path: Path, time: str | None) -> None:
    site = finalized(ProductSite(tmp_path))
    file = site.records.finalizations(CORE_PRODUCTS).file("list")
    data = yaml.safe_load(file.read_bytes())
    data = data | {"finalized_at": time} if time else {key: data[key] for key in data if key != "finalized_at"}
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    site.make("spectra/3.nc", b"three")
    site.push_core()
    assert site.prove().listed == 3
    written = yaml.safe_load(file.read_bytes())
    assert written["files"] == 3
    assert datetime.now(UTC) - datetime.fromisoformat(written["finalized_at"]) < timedelta(minutes=10)


def test_what_an_operator_accepts_in_place_of_a_lost_list_includes_what_the_archive_does_not_show(
    tmp_path: Path,
) -> None:
    site = finalized(ProductSite(tmp_path))
    finalizations = site.records.finalizations(CORE_PRODUCTS)
    shutil.rmtree(finalizations.directory)
    shutil.rmtree(tmp_path / f"far/manifests/finalized/{CORE_PRODUCTS}")
    site.make("spectra/1.nc", b"made again", NEWER_NS)
    archived = site.archived / "spectra/1.nc"
    archived.rename(tmp_path / "away")
    assert "1 more file may have been in it, and it does not show now" in run(site, "accept", CORE_PRODUCTS)
    run(site, "accept", CORE_PRODUCTS, "--apply")
    (tmp_path / "away").rename(archived)
    assert "spectra/1.nc" in dict(manifest.read(finalizations.manifest("list", 2)))
    site.push_core()
    assert b"one" in readable(site)
