"""A site with products whose archive is a directory of this machine, with real pushes and verifications."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from aurora_platform.archive.product_reports import CollectionReport
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.transfer import PushReport
from aurora_platform.archive.verify_products import verify_products
from aurora_platform.layout import CORE_PRODUCTS
from aurora_platform.transport.connections import Connections
from tests.archive.pushed import PushedSite

OLD_NS = (int(time.time()) - 3 * 86_400) * 10**9


class ProductSite(PushedSite):
    """A site whose archive is the directory ``far`` of this machine, with a few core products."""

    def _change(self, data: dict[str, Any]) -> None:
        super()._change(data)
        data["streams"]["wxcam"] = data["streams"]["met"] | {"path": "camera", "raw": "wxcam"}

    def __post_init__(self) -> None:
        self.archive = {"hosts": [{"kind": "local", "same_disk": True}]}
        super().__post_init__()
        self.hosts = self.records.archive.hosts
        self.products = self.site.paths.products
        self.products.mkdir(parents=True, exist_ok=True)
        self.archived = self.home / "far/products"

    def make(self, path: str, content: bytes = b"product", mtime_ns: int = OLD_NS) -> Path:
        file = self.products / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, ns=(mtime_ns, mtime_ns))
        return file

    @contextmanager
    def pushing(self) -> Iterator[Pushing]:
        with self.ledger() as ledger:
            yield Pushing(self.site, self.archive_settings, self.archive_hosts(), ledger)

    def push_core(self) -> PushReport:
        with self.pushing() as pushing:
            return pushing.core_products()

    def prove(self, name: str = CORE_PRODUCTS, *, full: bool = False) -> CollectionReport:
        report = verify_products(self.records, Connections.of(self.site), self.archive_hosts(), only=[name], full=full)
        return report.collections[0]

    def finalization(self, name: str = CORE_PRODUCTS) -> dict[str, object]:
        """The own list of a collection, as the archive has it."""
        data = yaml.safe_load((self.home / f"far/manifests/finalized/{name}/list_{name}_finalized.yaml").read_bytes())
        assert isinstance(data, dict)
        return data


def rot(file: Path) -> None:
    """Change one byte, but neither size nor mtime."""
    mtime_ns = file.stat().st_mtime_ns
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    os.utime(file, ns=(mtime_ns, mtime_ns))


def finalized(site: ProductSite) -> ProductSite:
    """Two core products that are pushed and finalized."""
    site.make("spectra/1.nc", b"one")
    site.make("spectra/2.nc", b"two")
    site.push_core()
    assert site.prove().listed == 2
    return site
