"""Pushes, verifications, repairs and acceptances of products, killed at random moments while their files change."""

from __future__ import annotations

import hashlib
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from aurora_cli.main import main
from aurora_platform.archive import manifest
from aurora_platform.errors import AuroraError
from aurora_platform.layout import CORE_PRODUCTS
from tests.archive.product_site import OLD_NS, ProductSite, rot
from tests.forking import KILLS, Forking
from tests.patience import patient

COUNT = 12


def push(site: ProductSite) -> None:
    with suppress(AuroraError):
        site.push_core()


def verify(site: ProductSite) -> None:
    with suppress(AuroraError):
        site.prove(full=True)


def aurora(site: ProductSite, *arguments: str) -> None:
    CliRunner().invoke(main, ["--site", str(site.home / "site.yaml"), *arguments])


def repair(site: ProductSite) -> None:
    aurora(site, "repair", CORE_PRODUCTS, "--full", "--apply")


def accept(site: ProductSite) -> None:
    aurora(site, "accept", CORE_PRODUCTS, "--lost", "--apply")
    push(site)


WORK: dict[str, Callable[[ProductSite], None]] = {work.__name__: work for work in (push, verify, repair, accept)}


def work_repeatedly(home: str, verb: str) -> None:
    """The work of the process that is killed."""
    site = ProductSite(Path(home))
    while True:
        WORK[verb](site)


def make_again(site: ProductSite, chance: random.Random, number: int) -> None:
    """A run makes some products again, and a program deletes or damages another."""
    for name in chance.sample(range(COUNT), 3):
        site.make(f"spectra/{name}.nc", f"{name}, version {number}".encode(), OLD_NS + (number + 1) * 10**10)
    other = site.products / f"spectra/{chance.randrange(COUNT)}.nc"
    if other.exists():
        other.unlink() if number % 2 else rot(other)


class Archived:
    """What the archive's list has ever vouched for."""

    def __init__(self, site: ProductSite) -> None:
        self.site = site
        self.finalized = set[str]()

    def assert_nothing_is_lost(self) -> None:
        """Every checksum that was ever listed has its bytes, and a list that says complete is true."""
        word = self.site.finalization()
        directory = self.site.home / "far/manifests/finalized/core_products"
        listed = dict(manifest.read(directory / str(word["manifest"])))
        self.finalized |= {record.sha256 for record in listed.values() if record.sha256}
        readable = set[str]()
        for root in (self.site.home / "far", self.site.products):
            for place in root.rglob("*"):
                with suppress(FileNotFoundError, IsADirectoryError):
                    readable.add(hashlib.sha256(place.read_bytes()).hexdigest())
        assert self.finalized <= readable
        if word["complete"]:
            for path, record in listed.items():
                if manifest.is_listed(record):
                    assert hashlib.sha256((self.site.archived / path).read_bytes()).hexdigest() == record.sha256, path


@pytest.mark.parametrize("verb", WORK)
def test_a_killed_verb_of_products_loses_nothing_and_says_nothing_false(tmp_path: Path, verb: str) -> None:
    site = ProductSite(tmp_path)
    for number in range(COUNT):
        site.make(f"spectra/{number}.nc", f"{number}".encode())
    site.push_core()
    assert site.prove().listed == COUNT
    archived, chance, died = Archived(site), random.Random(29), 0
    with Forking("tests.archive.kill.test_killed_products:work_repeatedly") as forking:
        for number in range(KILLS):
            make_again(site, chance, number)
            victim = forking.start(tmp_path, verb)
            died += forking.kill(victim, after=chance.uniform(0.02, patient(0.6))) == -signal.SIGKILL
            archived.assert_nothing_is_lost()
            if number % 3 == 2:  # the schedules work between two kills
                push(site)
                verify(site)
                archived.assert_nothing_is_lost()
    assert died == KILLS
    for work in (repair, push, verify, accept):
        work(site)
        archived.assert_nothing_is_lost()
    for number in range(COUNT):  # what was damaged before it was ever verified is made again
        site.make(f"spectra/{number}.nc", b"at last", OLD_NS + (KILLS + 2) * 10**10)
    for work in (push, verify):
        work(site)
        archived.assert_nothing_is_lost()
    assert site.prove(full=True).gaps == 0
    assert site.finalization()["complete"] is True
