"""An archive in directories of this machine: its keys, its relative paths, and what the site file must not say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from aurora_platform.config.hosts import ArchiveDirectory, SshHost
from aurora_platform.config.site import DEFAULT_SITE, Site, load_site, site_of_text
from aurora_platform.errors import SiteError
from aurora_platform.layout import ArchiveLayout
from tests.config.unit.test_site import GOOD, REPOSITORY, changed

BASE = Path("/srv/site")
LOCAL: dict[str, Any] = {"kind": "local"}
SSH: dict[str, Any] = {"address": "archive.example.org", "user": "aurora", "auth": "none"}


def site_of(*hosts: dict[str, Any], **keys: Any) -> Site:
    archive = {"hosts": list(hosts), "raw": "archive/raw", "products": "archive/products"} | keys
    return site_of_text(yaml.safe_dump(changed("archive", archive)), BASE / "site.yaml", BASE)


def layout_of(site: Site) -> ArchiveLayout:
    assert site.archive is not None
    return ArchiveLayout.of(site.archive)


def test_a_relative_directory_of_the_archive_is_relative_to_the_site_file() -> None:
    site = site_of(LOCAL, products="../disk/./products", versions="archive/earlier")
    assert layout_of(site) == ArchiveLayout(
        "/srv/site/archive/raw", "/srv/disk/products", "/srv/site/archive/manifests", "/srv/site/archive/earlier"
    )


def test_the_printed_settings_are_a_site_file_of_the_same_site() -> None:
    site = site_of(LOCAL | {"same_disk": True})
    again = yaml.safe_dump(site.model_dump(mode="json"))
    assert site_of_text(again, BASE / "site.yaml", Path("/elsewhere")) == site


def test_the_same_disk_is_allowed_only_where_the_site_file_says_so() -> None:
    for host, expected in ((LOCAL, False), (LOCAL | {"same_disk": True}, True)):
        archive = site_of(host).archive
        assert archive is not None
        assert archive.directory == ArchiveDirectory(kind="local", same_disk=expected)


@pytest.mark.parametrize("kind", [{}, {"kind": "ssh"}])
def test_a_host_without_a_kind_is_reached_over_ssh(kind: dict[str, str]) -> None:
    archive = site_of(SSH | kind, raw="/a", products="/b").archive
    assert archive is not None
    assert archive.hosts == (SshHost(**SSH),)
    assert archive.directory is None


def test_hosts_of_both_kinds_share_their_directories() -> None:
    archive = site_of(SSH, LOCAL).archive
    assert archive is not None
    assert [host.kind for host in archive.hosts] == ["ssh", "local"]
    assert archive.raw == "/srv/site/archive/raw"


def test_the_demo_has_an_archive_on_its_own_disk() -> None:
    archive = load_site(DEFAULT_SITE).archive
    assert archive is not None
    assert archive.hosts == (ArchiveDirectory(kind="local", same_disk=True),)
    assert archive.raw == str(REPOSITORY / ".aurora/archive/raw")


@pytest.mark.parametrize(
    ("hosts", "keys", "message"),
    [
        ([LOCAL, LOCAL], {}, "archive: hosts: only one of kind local"),
        ([{"kind": "local", "same_disk": "perhaps"}], {}, "archive.hosts.0.same_disk: must be true or false"),
        ([{"kind": "local", "address": "h"}], {}, "archive.hosts.0.address: unknown key"),
        ([SSH | {"same_disk": True}], {"raw": "/a", "products": "/b"}, "archive.hosts.0.same_disk: unknown key"),
        ([{"kind": "ftp"}], {"raw": "/a", "products": "/b"}, "archive.hosts.0: kind must be local or ssh"),
        ([SSH], {"products": "/b"}, "archive.raw: must be a path, absolute on another machine"),
        ([LOCAL], {"raw": ""}, "archive: raw: must be a path, absolute or relative to the site file"),
        ([LOCAL], {"raw": "~nobody-of-that-name/x"}, "archive: raw: "),
        ([LOCAL], {"raw": "a\nb"}, "archive.raw: must be a path"),
        ([LOCAL], {"raw": "/"}, "archive: raw, products, manifests: must be a directory, not the root"),
        *(
            ([LOCAL], {key: path}, f"archive.{key}: {BASE / path} and {other} (")
            for key, path, other in [
                ("raw", "data/raw", "paths.raw"),
                ("raw", "data", "paths.raw"),
                ("products", "data/raw/archive", "paths.raw"),
                ("manifests", "/srv/manifests/copy", "paths.manifests"),
                ("versions", "state", "paths.state"),
                ("raw", "camera/archive", "streams.wxcam.path"),
            ]
        ),
        ([LOCAL], {"products": "archive/../data/products/x"}, "archive.products: /srv/site/data/products/x and"),
        ([SSH, LOCAL], {"raw": "data/raw"}, "archive.raw: /srv/site/data/raw and paths.raw"),
    ],
)
def test_a_wrong_archive_gives_one_error_that_names_its_key(
    hosts: list[dict[str, Any]], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(SiteError) as caught:
        site_of(*hosts, **keys)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_behind_ssh_may_have_the_paths_of_this_machine() -> None:
    paths = GOOD["paths"]
    site = site_of(SSH, raw=f"/srv/site/{paths['raw']}", products="/b")
    assert layout_of(site).raw == str(site.paths.raw)


def test_a_directory_whose_name_only_begins_like_another_is_apart() -> None:
    assert layout_of(site_of(LOCAL, raw="data/raw_copy")).raw == "/srv/site/data/raw_copy"
