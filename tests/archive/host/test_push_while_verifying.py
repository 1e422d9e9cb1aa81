"""A push and a verification of the same files at the same time: no finalized byte is lost, no finalization is false."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from aurora_platform.archive import product_proof, uploader
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.sending import SentKey, push_lock
from aurora_platform.archive.transfer import PushReport
from aurora_platform.fs.locks import hold_lock
from aurora_platform.layout import raw_group
from aurora_platform.transport.checksums import Checksum
from aurora_platform.transport.protocols import ArchiveHost
from tests.archive.mirrored import OPEN, MirroredSite, mirrored_site, readable_bytes
from tests.archive.places import DAY, STREAM, name_of
from tests.archive.product_site import OLD_NS, ProductSite
from tests.patience import patient

NEW = b"the new version"


@pytest.fixture
def site(tmp_path: Path) -> MirroredSite:
    return mirrored_site(tmp_path, OPEN)


class BetweenReadAndComparison:
    """A hasher of the archive: when it has read everything, something else happens before the comparison."""

    def __init__(self, hasher: object, act: Callable[[], object]) -> None:
        self.hasher, self.act = hasher, act

    def checksums(self, base: str, paths: Sequence[str]) -> Iterator[Checksum]:
        yield from self.hasher.checksums(base, paths)  # type: ignore[attr-defined]
        self.act()


def verify_while(site: MirroredSite, act: Callable[[], object]) -> bool:
    """Verify the day, and do something else before the comparison; returns whether the day is finalized then."""
    places = site.places()
    archive = places["gws"][0]
    places["gws"] = [replace(archive, hasher=BetweenReadAndComparison(archive.hasher, act))]
    return site.verify_and_publish(places=places).report.days[0].verdict.is_final


def assert_the_word_is_true(site: MirroredSite) -> None:
    finalizations = site.records.finalizations(STREAM)
    finalization = finalizations.read(DAY)
    if finalization is not None and finalization.complete:
        for path, record in finalizations.proved(DAY).items():
            assert sha256(site.place("gws", path).read_bytes()).hexdigest() == record.sha256, path


class Waiting:
    """A host of the archive that sends only when it is told to."""

    def __init__(self, host: ArchiveHost, begun: threading.Event, go_on: threading.Event) -> None:
        self.host, self.begun, self.go_on = host, begun, go_on

    def __getattr__(self, name: str) -> object:
        return getattr(self.host, name)

    def send(self, *arguments: object) -> object:
        self.begun.set()
        assert self.go_on.wait(patient(20))
        return self.host.send(*arguments)  # type: ignore[arg-type]


def test_a_day_is_not_finalized_while_a_push_replaces_one_of_its_files(site: MirroredSite) -> None:
    site.fill(6, sides=["source"])
    site.mirror()
    site.push()
    begun, go_on = threading.Event(), threading.Event()
    reports = list[PushReport]()
    pushing = threading.Thread(
        target=lambda: reports.append(site.push(lambda host: Waiting(host, begun, go_on)))  # type: ignore[arg-type]
    )

    def change_and_begin_to_push() -> None:
        site.write("source", name_of(0), NEW, number=1000)
        assert site.mirror().total("copied") == 1
        pushing.start()
        assert begun.wait(patient(20))

    assert not verify_while(site, change_and_begin_to_push)
    go_on.set()
    pushing.join(patient(20))
    assert reports[0].files == 1
    assert_the_word_is_true(site)
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert_the_word_is_true(site)
    assert site.place("gws", name_of(0)).read_bytes() == NEW


def test_a_day_that_was_listed_before_a_push_is_not_finalized_by_that_pass(site: MirroredSite) -> None:
    good = site.finalize_days(6)
    site.records.finalizations(STREAM).withdraw(DAY, "a gap, an hour ago")
    with site.records.evidence() as evidence:
        evidence.forget_checksums(STREAM, [name_of(1)])

    def change_and_push() -> None:
        site.write("source", name_of(0), NEW, number=1000)
        assert site.mirror().total("copied") == 1
        assert site.push().replaced.total == 1

    assert not verify_while(site, change_and_push)
    assert_the_word_is_true(site)
    assert set(good.values()) <= readable_bytes(site)
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert_the_word_is_true(site)


def test_a_push_that_selected_a_file_before_its_day_was_finalized_keeps_the_finalized_version(
    site: MirroredSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.fill(6, sides=["source"])
    site.mirror()
    site.push()
    good = site.place("gws", name_of(0)).read_bytes()
    build = uploader._Push._build_upload_tree

    def finalize_and_build(push: uploader._Push, *arguments: object) -> object:
        site.records.finalizations(STREAM).complete(DAY, finalized)
        return build(push, *arguments)  # type: ignore[arg-type]

    site.verify_and_publish()
    with site.records.evidence() as evidence:
        finalized = [(path, sides["gws"]) for path, sides in evidence.files(STREAM, DAY)]
    for file in site.records.finalizations(STREAM).directory.iterdir():
        file.unlink()
    site.write("source", name_of(0), NEW, number=1000)
    with monkeypatch.context() as patch:  # as if the day had never been finalized until now
        patch.setattr(Finalizations, "_published", {})
        site.mirror()
        patch.setattr(uploader._Push, "_build_upload_tree", finalize_and_build)
        report = site.push()
    assert (report.files, report.unsettled.total) == (0, 1)
    assert site.place("gws", name_of(0)).read_bytes() == good
    site.verify_and_publish()
    assert site.push().replaced.total == 1
    assert {good, NEW} <= readable_bytes(site)
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert_the_word_is_true(site)


def test_products_are_not_finalized_while_a_push_replaces_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = ProductSite(tmp_path)
    site.make("a/1.nc", b"one")
    site.push_core()
    listed, sending = threading.Event(), threading.Event()
    compare = product_proof.ProductProof._verify_day

    def wait_and_compare(proof: product_proof.ProductProof, *arguments: object) -> object:
        listed.set()
        assert sending.wait(patient(20))
        return compare(proof, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(product_proof.ProductProof, "_verify_day", wait_and_compare)
    verifying = threading.Thread(target=site.prove)
    verifying.start()
    assert listed.wait(patient(20))
    site.make("a/1.nc", NEW, OLD_NS + 10**9)

    def finish_verification(host: ArchiveHost) -> ArchiveHost:
        class Late(Waiting):
            def send(self, *arguments: object) -> object:
                sending.set()
                verifying.join(patient(20))
                return self.host.send(*arguments)  # type: ignore[arg-type]

        return Late(host, sending, sending)  # type: ignore[return-value]

    with site.ledger() as ledger:
        hosts = [finish_verification(host) for host in site.archive_hosts()]
        assert Pushing(site.site, site.archive_settings, hosts, ledger).core_products().files == 1
    assert not verifying.is_alive()
    assert site.records.finalizations("core_products").read("list") is None, "the pass had listed the version before"
    monkeypatch.undo()
    assert site.prove().listed == 1
    assert site.finalization()["complete"]


def test_a_push_that_was_killed_while_it_sent_delays_a_finalization_by_no_pass(site: MirroredSite) -> None:
    site.fill(6, sides=["source"])
    site.mirror()
    site.push()
    lane = f"raw.{STREAM}"
    with site.ledger() as ledger:
        ledger.sending.begin("gws", lane, [SentKey(raw_group(STREAM), DAY)])
    locks = site.records.layout.locks
    with hold_lock(locks, push_lock(lane), site.site.limits.lock):  # it still works
        assert not site.verify_and_publish().report.days[0].verdict.is_final
    assert site.verify_and_publish().report.days[0].verdict.is_final
