"""The archive's own finalizations: what a machine without records learns from them, and what a hostile one can do."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from aurora_cli.main import main
from aurora_platform.archive import manifest
from aurora_platform.archive.archived_finalizations import restore_finalizations
from aurora_platform.archive.finalization import DAMAGE, parse_finalization
from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.errors import HostError, NoSuchRootError
from aurora_platform.layout import CORE_PRODUCTS, WXCAM_PRODUCTS
from aurora_platform.text import Count
from aurora_platform.transport.listing import Listing
from aurora_platform.transport.protocols import ArchiveHost
from tests.archive.mirrored import OLD, OPEN, MirroredSite, mirrored_site, readable_bytes
from tests.archive.places import DAY, STREAM, name_of
from tests.archive.product_site import OLD_NS, ProductSite, finalized
from tests.archive.pushed import PushedSite

LATER = DAY + timedelta(days=1)
NEW = b"of somebody else"


def copy_finalizations(site: MirroredSite, *days: Any) -> Path:
    with site.records.ledger() as ledger:
        pushing = Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger)
        push_finalizations(site.records, pushing, STREAM, days or [DAY])
    return site.home / f"far/manifests/finalized/{STREAM}"


def lose_all_records(site: PushedSite) -> None:
    shutil.rmtree(site.site.paths.state)
    shutil.rmtree(site.site.paths.manifests)


def damage_locally(site: MirroredSite) -> None:
    """The source has pruned a file, and a disk damages the local copy."""
    site.place("source", name_of(0)).unlink()
    site.write("local", name_of(0), NEW, number=1000)


def run(site: PushedSite, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["--site", str(site.home / "site.yaml"), *arguments])
    return " ".join(done.output.split())


class OtherView:
    """A host of the archive that sees its manifests otherwise than the others."""

    def __init__(self, host: ArchiveHost, archive: Path, view: str) -> None:
        self._host = host
        self._manifests = str(archive / "manifests")
        self._view = view
        self.name = view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def list(self, root: str, below: Sequence[str]) -> Listing:
        if root == self._manifests and self._view == "without the directory":
            raise NoSuchRootError("gone")
        if root == self._manifests and self._view == "not readable":
            unreadable = Count()
            unreadable.add("finalized/met: Permission denied")
            return Listing(time.time_ns(), (entry for entry in ()), unreadable)
        return self._host.list(root, below)


@pytest.mark.parametrize("view", ["without the directory", "not readable"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_host_that_does_not_show_the_finalizations_lets_no_push_lose_a_file(
    tmp_path: Path, view: str, others: int
) -> None:
    site = mirrored_site(tmp_path, OLD)
    good = site.finalize_days(6)
    copy_finalizations(site)
    lose_all_records(site)
    damage_locally(site)
    [host] = site.archive_hosts()
    hosts = [OtherView(host, tmp_path / "far", view), *[host] * others]
    with site.records.ledger() as ledger:
        Pushing(site.site, site.archive_settings, hosts, ledger).raw(STREAM, [DAY])
    assert set(good.values()) <= readable_bytes(site)


def test_finalizations_that_are_not_shown_once_are_listed_again(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OLD)
    good = site.finalize_days(6)
    copy_finalizations(site)
    lose_all_records(site)
    directory = tmp_path / "far/manifests/finalized"
    directory.rename(tmp_path / "away")
    site.write("source", name_of(0, LATER), b"new", LATER)
    site.mirror(LATER)
    assert site.push_days(LATER).files == 1
    (tmp_path / "away").rename(directory)
    damage_locally(site)
    assert site.push().held.total == 1
    assert site.place("gws", name_of(0)).read_bytes() == good[name_of(0)]


def test_files_that_are_dated_by_mtime_are_kept_by_a_machine_without_records(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OLD | {"day": "mtime"})
    good = site.finalize_days(6)
    copy_finalizations(site)
    lose_all_records(site)
    site.place("source", name_of(0)).unlink()
    site.write("local", name_of(0), NEW, LATER)
    site.push_days(DAY, LATER)
    assert set(good.values()) <= readable_bytes(site)


def test_a_file_that_is_dated_by_mtime_and_written_again_leaves_its_first_day_complete(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OPEN | {"day": "mtime"})
    good = site.finalize_days(3)
    for count, name in enumerate([name_of(0), name_of(1), name_of(2)], 1):
        site.write("source", name, b"written again", LATER, number=count)
        site.mirror(DAY, LATER)
        site.push_days(DAY, LATER)
        report = site.verify_and_publish(DAY, LATER).report
        assert [day.verdict.is_final for day in report.days] == [True, True], name
    lines = site.records.finalizations(STREAM).lines(DAY)
    assert {record.error for record in lines.values()} == {manifest.EARLIER}
    assert set(good.values()) <= readable_bytes(site)


@pytest.mark.parametrize(
    "revision", ["0x" + "f" * 5000, str(10**300), "3000000", "-1", "0", "[1]", "true"], ids=lambda text: text[:8]
)
def test_a_hostile_finalization_of_the_archive_is_the_error_of_its_day_alone(tmp_path: Path, revision: str) -> None:
    site = mirrored_site(tmp_path, OLD)
    site.finalize_days(2, DAY, LATER)
    archived = copy_finalizations(site, DAY, LATER)
    word = archived / f"{DAY}_{STREAM}_finalized.yaml"
    word.write_text(word.read_text().replace("revision: 1", f"revision: {revision}"))
    if revision == "3000000":
        shutil.copy2(
            archived / f"{DAY}_{STREAM}_manifest_r1.tsv", archived / f"{DAY}_{STREAM}_manifest_r{revision}.tsv"
        )
    shutil.rmtree(site.records.finalizations(STREAM).directory)
    site.prepare_verification()
    copy_finalizations(site, DAY, LATER)
    first, second = site.verify_and_publish(DAY, LATER).report.days
    assert second.verdict.is_final
    assert first.verdict.is_final or "is missing here" in str(first.error)


def test_a_few_bytes_of_yaml_cannot_stand_for_more_than_memory_holds() -> None:
    lines = ["l0: &l0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"l{n}: &l{n} [{','.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    text = "\n".join([*lines, "complete: true", "files: 1", "revision: 1", "manifest_sha256: *l8"])
    with pytest.raises(DAMAGE):
        parse_finalization(text.encode())


def test_a_day_at_the_end_of_time_ends_no_verification(tmp_path: Path) -> None:
    site = ProductSite(tmp_path)
    directory = tmp_path / f"far/manifests/finalized/{WXCAM_PRODUCTS}"
    directory.mkdir(parents=True)
    listed = directory / f"9999-12-31_{WXCAM_PRODUCTS}_manifest_r1.tsv"
    listed.write_text(manifest.HEADER)
    word = {"complete": True, "manifest_sha256": hashlib.sha256(listed.read_bytes()).hexdigest(), "files": 0}
    text = yaml.safe_dump(word | {"revision": 1, "finalized_at": "2026-01-01T00:00:00+00:00"})
    (directory / f"9999-12-31_{WXCAM_PRODUCTS}_finalized.yaml").write_text(text)
    assert not site.prove(WXCAM_PRODUCTS).errors


def test_a_manifest_that_is_none_is_not_fetched_back_and_an_operator_can_go_on(tmp_path: Path) -> None:
    site = finalized(ProductSite(tmp_path))
    directory = tmp_path / f"far/manifests/finalized/{CORE_PRODUCTS}"
    listed, word = (directory / f"list_{CORE_PRODUCTS}_{end}" for end in ("manifest_r1.tsv", "finalized.yaml"))
    listed.write_text(f"{manifest.HEADER}nonsense\n")
    data = yaml.safe_load(word.read_bytes()) | {"manifest_sha256": hashlib.sha256(listed.read_bytes()).hexdigest()}
    word.write_text(yaml.safe_dump(data))
    shutil.rmtree(site.records.finalizations(CORE_PRODUCTS).directory)
    assert "made 1 finalization" in run(site, "accept", CORE_PRODUCTS, "--apply")
    assert not site.prove().damaged


def test_a_finalization_that_one_host_lacks_is_fetched_from_the_next(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OLD)
    site.finalize_days(6)
    copy_finalizations(site)
    shutil.rmtree(site.records.finalizations(STREAM).directory)
    [host] = site.archive_hosts()

    class Silent(OtherView):
        def fetching(self) -> Any:
            raise HostError("does not answer")

    hosts = [Silent(host, tmp_path / "far", "silent"), host]
    assert restore_finalizations(site.records, hosts, STREAM, None, lambda text: None) == [DAY]


def test_what_is_accepted_in_place_of_a_lost_finalization_has_what_only_the_evidence_names(tmp_path: Path) -> None:
    site = MirroredSite(tmp_path, OPEN, {"hosts": [{"kind": "local", "same_disk": True}]})
    site.hosts = site.records.archive.hosts
    good = site.finalize_days(6)
    archived = copy_finalizations(site)
    shutil.rmtree(site.records.finalizations(STREAM).directory)
    shutil.rmtree(archived)
    for file in site.site.paths.state.glob("ledger.sqlite*"):
        file.unlink()
    site.place("gws", name_of(0)).rename(tmp_path / "away")
    run(site, "accept", STREAM, "--day", str(DAY), "--apply")
    assert name_of(0) in site.records.finalizations(STREAM).lines(DAY)
    (tmp_path / "away").rename(site.place("gws", name_of(0)))
    site.change([name_of(0)])
    site.mirror()
    site.push()
    assert set(good.values()) <= readable_bytes(site)


def test_a_product_that_was_given_up_and_changes_all_the_time_is_kept_once(tmp_path: Path) -> None:
    site = finalized(ProductSite(tmp_path))
    (site.products / "spectra/1.nc").unlink()
    run(site, "accept", CORE_PRODUCTS, "--lost", "--apply")
    now_ns, kept = time.time_ns(), list[int]()
    for verification in range(3):
        for change in range(4):
            site.make(
                "spectra/1.nc", f"{verification} {change}".encode(), now_ns + (10 * verification + change) * 10**9
            )
            site.push_core()
        site.make("spectra/1.nc", b"newer than its copy", now_ns + (10 * verification + 9) * 10**9)
        site.prove()
        kept.append(len(list((tmp_path / "far/raw.versions").rglob("1.nc"))))
    assert kept[0] == kept[1] == kept[2]
    assert b"one" in {file.read_bytes() for file in (tmp_path / "far/raw.versions").rglob("1.nc")}


def test_the_time_of_a_list_may_be_before_the_first_year(tmp_path: Path) -> None:
    site = finalized(ProductSite(tmp_path))
    file = site.records.finalizations(CORE_PRODUCTS).file("list")
    data = yaml.safe_load(file.read_bytes()) | {"finalized_at": "0001-01-01T00:00:00+10:00"}
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    site.make("spectra/1.nc", b"made again", OLD_NS + 10**9)
    (site.archived / "spectra/1.nc").unlink()
    assert not site.prove().errors


def test_on_a_new_site_a_file_that_is_written_through_the_day_is_replaced_in_place(tmp_path: Path) -> None:
    site = mirrored_site(tmp_path, OPEN)
    for number in range(3):
        site.write("source", name_of(0), b"line\n" * (number + 1), number=number)
        site.mirror()
        assert site.push().files == 1
        with site.records.ledger() as ledger, ledger._writing() as db:  # hours pass
            db.execute("UPDATE meta SET value = '2026-01-01T00:00:00+00:00' WHERE key GLOB 'finalizations/*'")
    assert not (tmp_path / "far/raw.versions").exists()
