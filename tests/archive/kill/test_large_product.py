"""A product of 5 GB (of ``LARGE_PRODUCT_GB``, in the short lane) is archived and proved as any other."""

from __future__ import annotations

import os
from pathlib import Path

from tests.archive.product_site import OLD_NS, ProductSite

SIZE = int(os.environ.get("LARGE_PRODUCT_GB", "5")) << 30


def test_a_large_sparse_file_among_the_core_products_is_archived_and_proved(tmp_path: Path) -> None:
    site = ProductSite(tmp_path)
    large = site.make("large.bin")
    os.truncate(large, SIZE)
    os.utime(large, ns=(OLD_NS, OLD_NS))
    assert site.push_core().files == 1
    report = site.prove()
    assert (report.files, report.proved, report.bytes, report.listed) == (1, 1, SIZE, 1)
    (site.archived / "large.bin").unlink()  # it is not sparse in the archive
