"""Products that somebody, or a disk, changes on this machine or in the archive: nothing finalized is ever lost."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import pytest

from aurora_platform.archive import manifest
from aurora_platform.errors import AuroraError
from tests.archive.hostile import name_of
from tests.archive.kill.test_hostile_hosts import (
    ATTACKS,
    Attack,
    disappear,
    flip_bytes_with_the_same_mtime,
)
from tests.archive.product_site import ProductSite

FILES = {name_of(number): f"{number}\n".encode() * 40 for number in range(8)}


@pytest.fixture
def site(tmp_path: Path) -> ProductSite:
    site = ProductSite(tmp_path)
    for name, content in FILES.items():
        site.make(name, content)
    site.push_core()
    assert site.prove().listed == len(FILES)
    return site


def work(site: ProductSite) -> None:
    for _ in range(2):
        with suppress(AuroraError):  # a hostile disk may make a run fail, and must not make it lie
            site.push_core()
        with suppress(AuroraError):
            site.prove()


def assert_the_archived_list_is_true(site: ProductSite) -> None:
    word = site.finalization()
    if word["complete"]:
        listed = manifest.read(site.home / f"far/manifests/finalized/core_products/{word['manifest']}")
        for path, record in listed:
            assert hashlib.sha256((site.archived / path).read_bytes()).hexdigest() == record.sha256, path


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_products_that_are_changed_here_cost_no_finalized_byte(site: ProductSite, attack: Attack) -> None:
    attack(site.products, dict(FILES))
    work(site)
    kept = {place.read_bytes() for place in (site.home / "far").rglob("*") if place.is_file()}
    assert set(FILES.values()) <= kept
    assert_the_archived_list_is_true(site)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_products_that_are_changed_in_the_archive_are_sent_again_or_not_called_complete(
    site: ProductSite, attack: Attack
) -> None:
    attack(site.archived, dict(FILES))
    work(site)
    assert {name: (site.products / name).read_bytes() for name in FILES} == FILES
    if attack is disappear:  # its disk may not be mounted: that proves nothing, and is reported
        assert "gws" in site.prove().errors
        return
    if attack is not flip_bytes_with_the_same_mtime:  # only reading again finds it: the scrub, or full
        assert_the_archived_list_is_true(site)
    site.prove(full=True)
    assert_the_archived_list_is_true(site)
