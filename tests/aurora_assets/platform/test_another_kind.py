"""Another kind of host is its settings and one class: nothing else of the platform is written, or knows of it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from logging import Logger
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from dagster import DagsterInstance
from pydantic import Field

from aurora_assets.definitions import build
from aurora_cli.audit import audit_site
from aurora_platform.config import hosts
from aurora_platform.config.hosts import HostSettings, LocalHost, SshHost
from aurora_platform.config.site import Site
from aurora_platform.config.types import Name
from aurora_platform.errors import HostRefusedError
from aurora_platform.health.snapshot import _hosts as asked_by_the_health
from aurora_platform.layout import Layout
from aurora_platform.operations.audit_result import Level
from aurora_platform.transport import connections
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.checksums import Checksum
from aurora_platform.transport.listing import Listing, LocalSource
from aurora_platform.transport.local_host import LocalAccess
from aurora_platform.transport.protocols import TransferResult
from tests.site_files import write_site

DAY = datetime.now(UTC).date() - timedelta(days=3)


class ShelfHost(HostSettings):
    """Boxes that somebody carries here: each is a host, with paths of its own."""

    kind: Literal["shelf"]
    box: Path


class SiteWithShelves(Site):
    hosts: dict[Name, Annotated[LocalHost | SshHost | ShelfHost, Field(discriminator="kind")]] = Field(min_length=1)  # type: ignore[assignment]


class Shelf(LocalAccess):
    """Its own source, hasher and transfer: a path there is one below the box."""

    name = "shelf"

    def __init__(self, host: ShelfHost, bounds: Bounds) -> None:
        self.box, self.bounds = host.box, bounds

    def there(self, root: str) -> str:
        if not (place := self.box / root.lstrip("/")).is_dir():
            raise HostRefusedError(f"shelf: {root} is not in the box")
        return str(place)

    def source(self) -> Any:
        return self

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        return LocalSource().list(self.there(root), below, without, named)

    def hasher(self) -> Any:
        return self

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        return super().hasher().checksums(self.there(root), paths)

    def transfer(self, log: Logger, basis: Path | None = None) -> Any:
        plain, there = super().transfer(log, basis), self.there

        class Carried:
            def fetch(self, root: str, *arguments: Any, **bounds: Any) -> TransferResult:
                return plain.fetch(there(root), *arguments, **bounds)

        return Carried()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The demo's camera, on a shelf."""

    def on_a_shelf(data: dict) -> None:
        data["hosts"] = {"box": {"kind": "shelf", "box": str(tmp_path)}}
        data["streams"]["wxcam"] |= {"host": "box", "path": "/camera"}

    monkeypatch.setitem(connections._KINDS, "shelf", lambda: Shelf)
    text = write_site(tmp_path, on_a_shelf).read_text()
    return SiteWithShelves.model_validate(yaml.safe_load(text), context={"base": tmp_path})


def test_a_day_goes_from_a_host_of_another_kind_to_every_product(site: Site, film: Callable) -> None:
    film(DAY, 1)
    job = build(site).resolve_job_def("wxcam_day")
    with DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(instance=instance, partition_key=str(DAY))
    assert done.success
    checked = done.get_asset_check_evaluations()
    assert checked
    assert all(evaluation.passed for evaluation in checked)
    camera = Layout.of(site).camera
    assert list(camera.products.rglob("*.mp4"))
    assert list((camera.products / "wxcam.zarr").rglob("c.*"))


def test_the_audit_says_what_it_looks_at_and_what_it_cannot_ask(site: Site, film: Callable) -> None:
    film(DAY, 1)
    asked = {one.component: one for one in audit_site(site)}
    assert asked["host box"].level is Level.OK
    assert "kind shelf: no program can run on it" in asked["host box"].what
    assert (asked["source wxcam"].level, asked["source wxcam"].what) == (Level.OK, "listed: /camera")
    assert not asked_by_the_health(site)


def test_a_stream_that_cannot_be_listed_there_fails_the_audit_with_a_next_step(site: Site) -> None:
    asked = {one.component: one for one in audit_site(site)}
    assert (asked["source wxcam"].level, asked["source wxcam"].what) == (Level.FAIL, "shelf: /camera is not in the box")
    assert asked["source wxcam"].next_step == "correct streams.wxcam.path, or hosts.box"


def test_a_host_none_of_whose_streams_is_on_is_not_asked(site: Site) -> None:
    offline = site.streams["wxcam"].model_copy(update={"enabled": False})
    said = [
        one for one in audit_site(site.model_copy(update={"streams": {"wxcam": offline}})) if "box" in one.component
    ]
    assert [(one.level, one.what) for one in said] == [(Level.OFF, "no stream of this host is enabled: not checked")]


def test_every_kind_that_a_site_file_may_name_can_be_reached() -> None:
    assert hosts.KINDS.keys() == connections._KINDS.keys()


def test_a_path_of_a_host_that_is_not_here_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hosts.KINDS, "shelf", ShelfHost)
    data = yaml.safe_load(write_site(tmp_path).read_text())
    data["hosts"] = {"box": {"kind": "shelf", "box": str(tmp_path)}}
    data["streams"]["wxcam"] |= {"host": "box", "path": "camera"}
    with pytest.raises(ValueError, match=r"streams\.wxcam\.path: must be absolute on a host of kind shelf"):
        SiteWithShelves.model_validate(data, context={"base": tmp_path})
