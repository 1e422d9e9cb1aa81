"""Another kind of host needs only its settings and one class; no other module of the platform changes."""

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
from aurora_platform.health.snapshot import _hosts as hosts_of_snapshot
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
    """Boxes of disks that somebody delivers: each box is a host with its own paths."""

    kind: Literal["shelf"]
    box: Path


class SiteWithShelves(Site):
    hosts: dict[Name, Annotated[LocalHost | SshHost | ShelfHost, Field(discriminator="kind")]] = Field(min_length=1)  # type: ignore[assignment]


class Shelf(LocalAccess):
    """Its own source, hasher and transfer, whose paths are relative to the box."""

    name = "shelf"

    def __init__(self, host: ShelfHost, bounds: Bounds) -> None:
        self.box, self.bounds = host.box, bounds

    def path_in_box(self, root: str) -> str:
        if not (place := self.box / root.lstrip("/")).is_dir():
            raise HostRefusedError(f"shelf: {root} is not in the box")
        return str(place)

    def source(self) -> Any:
        return self

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        return LocalSource().list(self.path_in_box(root), below, without, named)

    def hasher(self) -> Any:
        return self

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        return super().hasher().checksums(self.path_in_box(root), paths)

    def transfer(self, log: Logger, basis: Path | None = None) -> Any:
        plain, path_in_box = super().transfer(log, basis), self.path_in_box

        class Carried:
            def fetch(self, root: str, *arguments: Any, **bounds: Any) -> TransferResult:
                return plain.fetch(path_in_box(root), *arguments, **bounds)

        return Carried()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site of the demo with its camera on a shelf."""

    def put_on_shelf(data: dict) -> None:
        data["hosts"] = {"box": {"kind": "shelf", "box": str(tmp_path)}}
        data["streams"]["wxcam"] |= {"host": "box", "path": "/camera"}

    monkeypatch.setitem(connections._KINDS, "shelf", lambda: Shelf)
    text = write_site(tmp_path, put_on_shelf).read_text()
    return SiteWithShelves.model_validate(yaml.safe_load(text), context={"base": tmp_path})


def test_a_day_goes_from_a_host_of_another_kind_to_every_product(site: Site, film: Callable) -> None:
    film(DAY, 1)
    job = build(site).resolve_job_def("wxcam_day")
    with DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, partition_key=str(DAY))
    assert result.success
    evaluations = result.get_asset_check_evaluations()
    assert evaluations
    assert all(evaluation.passed for evaluation in evaluations)
    camera = Layout.of(site).camera
    assert list(camera.products.rglob("*.mp4"))
    assert list((camera.products / "wxcam.zarr").rglob("c.*"))


def test_the_audit_shows_what_it_checked_and_what_the_host_cannot_run(site: Site, film: Callable) -> None:
    film(DAY, 1)
    lines = {line.component: line for line in audit_site(site)}
    assert lines["host box"].level is Level.OK
    assert "kind shelf: no program can run on it" in lines["host box"].what
    assert (lines["source wxcam"].level, lines["source wxcam"].what) == (Level.OK, "listed: /camera")
    assert not hosts_of_snapshot(site)


def test_a_source_path_that_does_not_exist_fails_the_audit_with_a_next_step(site: Site) -> None:
    lines = {line.component: line for line in audit_site(site)}
    assert (lines["source wxcam"].level, lines["source wxcam"].what) == (Level.FAIL, "shelf: /camera is not in the box")
    assert lines["source wxcam"].next_step == "correct streams.wxcam.path, or hosts.box"


def test_a_host_without_an_enabled_stream_is_not_checked(site: Site) -> None:
    offline = site.streams["wxcam"].model_copy(update={"enabled": False})
    lines = [
        line for line in audit_site(site.model_copy(update={"streams": {"wxcam": offline}})) if "box" in line.component
    ]
    assert [(line.level, line.what) for line in lines] == [
        (Level.OFF, "no stream of this host is enabled: not checked")
    ]


def test_every_host_kind_of_the_site_file_has_an_implementation() -> None:
    assert hosts.KINDS.keys() == connections._KINDS.keys()


def test_a_source_path_on_a_remote_host_must_be_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hosts.KINDS, "shelf", ShelfHost)
    data = yaml.safe_load(write_site(tmp_path).read_text())
    data["hosts"] = {"box": {"kind": "shelf", "box": str(tmp_path)}}
    data["streams"]["wxcam"] |= {"host": "box", "path": "camera"}
    with pytest.raises(ValueError, match=r"streams\.wxcam\.path: must be absolute on a host of kind shelf"):
        SiteWithShelves.model_validate(data, context={"base": tmp_path})
