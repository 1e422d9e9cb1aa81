"""`aurora repair` brings back deleted and damaged products, and sends again what is wrong in the archive."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aurora_cli.main import main
from aurora_platform.layout import CORE_PRODUCTS, REGISTERED
from tests.archive.product_site import OLD_NS, ProductSite, finalized, rot


@pytest.fixture
def site(tmp_path: Path) -> ProductSite:
    return ProductSite(tmp_path)


def run(site: ProductSite, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--site", str(site.home / "site.yaml"), *arguments])


def lose_list_everywhere(site: ProductSite) -> None:
    site.records.finalizations(CORE_PRODUCTS).file("list").unlink()
    (site.home / f"far/manifests/finalized/{CORE_PRODUCTS}/list_{CORE_PRODUCTS}_finalized.yaml").unlink()


def kept_bytes(site: ProductSite) -> set[bytes]:
    return {file.read_bytes() for file in (site.home / "far/raw.versions").rglob("*") if file.is_file()}


def repair(site: ProductSite, *arguments: str) -> Result:
    return run(site, "repair", *arguments)


def test_deleted_and_damaged_products_are_restored_from_the_archive_and_nothing_is_lost(site: ProductSite) -> None:
    finalized(site)
    (site.products / "spectra/1.nc").unlink()
    rot(site.products / "spectra/2.nc")
    site.prove(full=True)
    dry_run = repair(site, CORE_PRODUCTS)
    assert dry_run.exit_code == 1
    assert "2 wrong files (dry run)" in " ".join(dry_run.output.split())
    assert not (site.products / "spectra/1.nc").exists()
    done = repair(site, CORE_PRODUCTS, "--apply")
    assert (done.exit_code, "repaired 2 of 2 files" in done.output) == (0, True), done.output
    assert [(site.products / f"spectra/{n}.nc").read_bytes() for n in (1, 2)] == [b"one", b"two"]
    assert (site.products / "spectra/1.nc").stat().st_mtime_ns == OLD_NS
    [quarantined] = (site.products / ".quarantine").rglob("*.nc")
    assert quarantined.read_bytes() == b"uwo"
    assert repair(site, CORE_PRODUCTS).exit_code == 0
    assert site.push_core().files == 0, "what is in the quarantine is no product"


def test_what_is_damaged_or_missing_in_the_archive_is_sent_again(site: ProductSite) -> None:
    finalized(site)
    rot(site.archived / "spectra/1.nc")
    (site.archived / "spectra/2.nc").unlink()
    assert site.prove(full=True).gaps == 2
    assert site.finalization()["complete"] is False
    done = repair(site, CORE_PRODUCTS, "--apply")
    assert done.exit_code == 0, done.output
    assert [(site.archived / f"spectra/{n}.nc").read_bytes() for n in (1, 2)] == [b"one", b"two"]
    assert site.finalization()["complete"] is True


def test_a_deleted_registered_file_is_brought_back_to_where_it_was(site: ProductSite) -> None:
    file = site.home / "data/1.nc"
    file.parent.mkdir()
    file.write_bytes(b"registered")
    os.utime(file, ns=(OLD_NS, OLD_NS))
    with site.ledger() as ledger:
        ledger.add_file(file, str(site.archived / "spectrometer/day.nc"), site.records.archive.name)
    site.push_core()
    assert site.prove(REGISTERED).listed == 1
    file.unlink()
    assert repair(site, REGISTERED).exit_code == 1
    done = repair(site, REGISTERED, "--apply")
    assert (done.exit_code, file.read_bytes()) == (0, b"registered"), done.output


def test_a_collection_takes_no_day_and_a_stream_needs_one(site: ProductSite) -> None:
    assert "leave out --day" in repair(site, CORE_PRODUCTS, "--day", "2026-03-05").output
    assert "a stream is repaired by UTC day" in repair(site, "met").output


def test_a_deletion_that_is_accepted_is_no_gap_any_more_and_the_archive_keeps_the_file(site: ProductSite) -> None:
    finalized(site)
    (site.products / "spectra/1.nc").unlink()
    assert run(site, "accept", CORE_PRODUCTS, "--lost").exit_code == 1
    assert site.prove().gaps == 1
    done = run(site, "accept", CORE_PRODUCTS, "--lost", "--file", "spectra/1.nc", "--apply")
    assert done.exit_code == 0, done.output
    report = site.prove()
    assert (report.gaps, report.only_in_the_archive.first) == (0, ["spectra/1.nc"])
    finalization = site.finalization()
    assert (finalization["files"], finalization["complete"]) == (1, True)
    assert (site.archived / "spectra/1.nc").read_bytes() == b"one"
    site.make("spectra/1.nc", b"of the same name", OLD_NS + 10**9)
    assert site.push_core().files == 1
    assert b"one" in kept_bytes(site)


def test_products_that_were_all_deleted_come_back_when_the_operator_says_that_no_disk_is_missing(
    site: ProductSite,
) -> None:
    finalized(site)
    for file in list(site.products.rglob("*.nc")):
        file.unlink()
    refused = repair(site, CORE_PRODUCTS)
    assert (refused.exit_code, "aurora repair core_products --emptied" in refused.output) == (1, True), refused.output
    dry_run = repair(site, CORE_PRODUCTS, "--emptied")
    assert "next: aurora repair core_products --emptied --apply" in dry_run.output
    assert not list(site.products.rglob("*.nc"))
    done = repair(site, CORE_PRODUCTS, "--emptied", "--apply")
    assert done.exit_code == 0, done.output
    assert [(site.products / f"spectra/{n}.nc").read_bytes() for n in (1, 2)] == [b"one", b"two"]
    assert site.finalization()["complete"] is True


def test_files_that_were_read_before_are_read_again_only_when_asked(site: ProductSite) -> None:
    finalized(site)
    rot(site.products / "spectra/2.nc")
    assert repair(site, CORE_PRODUCTS).exit_code == 0
    assert "1 wrong file (dry run)" in " ".join(repair(site, CORE_PRODUCTS, "--full").output.split())


def test_where_a_finalization_is_lost_everywhere_what_the_archive_has_is_taken(site: ProductSite) -> None:
    finalized(site)
    site.make("spectra/1.nc", b"one, made again", OLD_NS + 10**9)
    (site.products / "spectra/2.nc").unlink()
    lose_list_everywhere(site)
    assert site.push_core().held.total == 1
    assert site.prove().damaged
    dry_run = run(site, "accept", CORE_PRODUCTS)
    assert "aurora accept core_products --apply" in dry_run.output, dry_run.output
    assert site.push_core().held.total == 1
    assert run(site, "accept", CORE_PRODUCTS, "--apply").exit_code == 0
    assert (site.push_core().files, (site.archived / "spectra/1.nc").read_bytes()) == (1, b"one, made again")
    [kept] = (site.home / "far/raw.versions").rglob("1.nc")
    assert kept.read_bytes() == b"one"
    assert repair(site, CORE_PRODUCTS, "--apply").exit_code == 0
    assert (site.products / "spectra/2.nc").read_bytes() == b"two"


def explain(site: ProductSite, what: str) -> str:
    return " ".join(run(site, "explain", what).output.split())


def test_explain_tells_of_a_deleted_product_who_has_it_and_what_brings_it_back(site: ProductSite) -> None:
    finalized(site)
    file = site.products / "spectra/1.nc"
    assert "MADE: made on" in explain(site, str(file))
    file.unlink()
    site.prove()
    text = explain(site, str(file))
    assert "MISSING LOCAL: finalized, and not on this machine any more; the archive has the finalized version" in text
    assert "waits for an operator: aurora repair core_products" in text
    (site.archived / "spectra/1.nc").unlink()
    site.prove()
    text = explain(site, str(file))
    assert "LOST: finalized, and not on this machine any more; missing in the archive (listed on" in text
    assert "archive no" in text
    assert "INCOMPLETE: finalizations by collection: core_products: 0 complete, 1 not" in explain(
        site, "manifests/products"
    )
    site.make("spectra/1.nc", b"one")
    assert "MISSING IN THE ARCHIVE: finalized, and missing in the archive" in explain(site, str(file))


def test_explain_knows_the_scheduled_work_of_the_archive(site: ProductSite) -> None:
    assert "NOT MADE: there was no drill yet (aurora drill)" in explain(site, "gws/restore_drill")
    assert "NOT MADE: no product is finalized yet" in explain(site, "manifests/products")
    finalized(site)
    list_file = site.records.finalizations(CORE_PRODUCTS).file("list")
    assert "COMPLETE: finalizations by collection: core_products: 1 complete, 0 not" in explain(site, str(list_file))
    list_file.write_bytes(b"{")
    assert "not a finalization" in explain(site, "manifests/products")
    list_file.unlink()
    assert "aurora accept core_products" in explain(site, "manifests/products")
