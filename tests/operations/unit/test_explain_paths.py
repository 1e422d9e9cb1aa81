"""``explain`` of a path: a directory is refused with what to ask for; no answer is about another file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aurora_platform.config.site import load_site
from aurora_platform.operations.explain import explain
from aurora_platform.operations.explain_answer import State
from aurora_platform.operations.explain_question import QuestionError
from tests.operations.camera_site import DAY, IMAGES, CameraSite, with_archive
from tests.site_files import write_site

HOURS = "wxcam/fish_hdr/hourly_thumbnails"
THUMBNAILS = "products/wxcam/hourly_thumbnails/fish_hdr/20260818"


@pytest.fixture
def site(tmp_path: Path) -> CameraSite:
    made = CameraSite(tmp_path, with_archive)
    made.fill()
    made.thumbnail("HDR_20260818_003000.jpg")
    return made


@pytest.mark.parametrize("what", ["FISH", "FISH/", "raw/wxcam/FISH", "camera/FISH", "./camera/FISH"])
def test_a_directory_of_a_stream_is_refused_with_a_day_to_ask_for(site: CameraSite, what: str) -> None:
    with pytest.raises(QuestionError, match=r"a directory of stream wxcam\. .*or for a day: raw/wxcam/YYYY-MM-DD$"):
        site.explain(what)


@pytest.mark.parametrize(
    "what", ["raw/wxcam/FISH/20260818", "FISH/20260818", "FISH/20260818/00", "camera/FISH/20260818"]
)
def test_a_directory_that_is_named_after_a_day_is_refused_with_this_day(site: CameraSite, what: str) -> None:
    with pytest.raises(QuestionError, match=r"a directory of stream wxcam\. .*or for a day: raw/wxcam/2026-08-18$"):
        site.explain(what)
    site.put("FISH/20260819/00/HDR_20260819_000000.jpg", is_local=False)
    with pytest.raises(QuestionError, match=r"raw/wxcam/2026-08-19$"):
        site.explain("camera/FISH/20260819")


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("raw/wxcam", "the directory of stream wxcam"),
        ("camera", "the directory of stream wxcam"),
        ("/no/such/archive/raw/wxcam", "the directory of stream wxcam"),
        ("raw", "the directory paths.raw"),
        ("products", "a directory of products.*wxcam/catalog"),
        ("/no/such/archive/products", "a directory of products"),
        ("products/wxcam", "a directory of products.*wxcam/catalog, wxcam/fish_hdr/daily_video"),
        (
            "products/wxcam/hourly_thumbnails/pano_hdr",
            "asset: wxcam/pano_hdr/daily_video.*hourly_thumbnails",
        ),
        ("products/met", "a directory of products.*asset: gws/core_products$"),
        ("products/ops_monitor", "a directory of products.*ops/health, ops/alerts$"),
    ],
)
def test_a_directory_of_the_site_is_refused_with_what_to_ask_for(site: CameraSite, what: str, why: str) -> None:
    for directory in ("raw/wxcam", "products/met", "products/ops_monitor", "products/wxcam/hourly_thumbnails/pano_hdr"):
        (site.home / directory).mkdir(parents=True, exist_ok=True)
    path = what if what.startswith("/") else site.home / what
    with pytest.raises(QuestionError, match=why):
        site.explain(path)


def test_a_directory_of_thumbnails_is_refused_with_an_hour_to_ask_for(site: CameraSite) -> None:
    for what in (
        THUMBNAILS,
        f"{THUMBNAILS}/",
        str(site.home / THUMBNAILS),
        "wxcam/hourly_thumbnails/fish_hdr/20260817",
    ):
        with pytest.raises(
            QuestionError, match=rf"a directory of a day\. Ask for an hour: {HOURS}/2026-08-1[78]-HH:00"
        ):
            site.explain(what)


def test_the_published_thumbnail_is_made_and_another_file_of_its_hour_is_not(site: CameraSite) -> None:
    published = site.explain(f"{THUMBNAILS}/HDR_20260818_003000.jpg")
    assert (published.conclusion.state, published.subject.partition) == (State.MADE, f"{DAY}-00:00")
    for name, exists in (("HDR_20260818_003100.jpg", False), ("HDR_20260818_005900.jpg", True)):
        if exists:
            site.thumbnail(name)
        other = site.explain(f"{THUMBNAILS}/{name}")
        assert (other.conclusion.state, other.needs_operator) == (State.NOT_MADE, False)
        assert other.conclusion.sentence == (
            "not the published thumbnail of this hour, which is HDR_20260818_003000.jpg"
        )
        assert other.copies[0].location.endswith(name)
        assert (other.copies[0].is_present, other.product and other.product.path.endswith(name)) == (exists, True)
        assert f"aurora explain {HOURS}/{DAY}-00:00" in other.next_steps[0]


@pytest.mark.parametrize(
    "name", ["HDR_20260817_003000.jpg", "HDR_20260818_993000.jpg", "HDR_20260818_003000_PANO.jpg", "notes.txt"]
)
def test_a_name_that_no_hour_has_is_no_thumbnail(site: CameraSite, name: str) -> None:
    answer = site.explain(site.home / THUMBNAILS / name)
    assert (answer.subject.kind, answer.subject.partition) == ("product", None)
    assert answer.conclusion.sentence == "there is no such file"


def test_a_file_of_a_partition_that_does_not_exist_is_not_found(site: CameraSite) -> None:
    group = site.layout.camera.pixels("fish_hdr", DAY)
    (group / "rgb").mkdir(parents=True)
    for name in ("zarr.json", "rgb/zarr.json"):
        (group / name).write_text("{}")
    assert site.explain(group).conclusion.state is not State.NOT_FOUND
    assert site.explain(group / "rgb" / "zarr.json").conclusion.state is not State.NOT_FOUND
    missing = site.explain(group / "rgb" / "c")
    assert missing.conclusion.state is State.NOT_FOUND
    assert "wxcam/wxcam.zarr/fish_hdr/20260818/rgb/c" in missing.subject.lines[-1]


def test_a_manifest_that_does_not_exist_is_not_found_and_one_without_a_day_is_of_no_asset(site: CameraSite) -> None:
    finalized = site.layout.finalizations.finalization("wxcam", DAY).parent
    answer = site.explain(finalized / f"{DAY}_wxcam_manifest_r9.tsv")
    assert (answer.conclusion.state, answer.subject.asset) == (State.NOT_FOUND, "manifests/wxcam")
    assert (
        "no such file; manifests/wxcam/2026-08-18 is unknown: the day was never verified" in answer.conclusion.sentence
    )
    assert site.explain(finalized / "2026-13-45_wxcam_manifest_r1.tsv").conclusion.state is State.NOT_OF_STREAM


def test_a_copy_of_the_catalogue_is_not_the_catalogue(site: CameraSite) -> None:
    catalog = site.layout.camera.catalog
    assert site.explain(catalog).subject.asset == "wxcam/catalog"
    assert site.explain(f"{catalog}-wal").subject.asset == "wxcam/catalog"
    assert site.explain(f"{catalog}.bak").conclusion.sentence == "there is no such file"


def test_a_site_without_a_camera_has_no_camera_products(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        met = {"host": "here", "path": "met", "raw": "met", "include": ["*.csv"], "day": "mtime", "start": "2026-01-01"}
        data["streams"] = {"met": met}

    site = load_site(write_site(tmp_path, change))
    video = tmp_path / "products/wxcam/daily_videos/fish_hdr/20260818.mp4"
    assert explain(site, str(video), directory=tmp_path).conclusion.sentence == "there is no such file"


def test_an_asset_without_data_has_no_newest_partition(tmp_path: Path) -> None:
    empty = CameraSite(tmp_path).explain("wxcam/fish_hdr/daily_video").subject
    assert empty.lines[0] == "asset wxcam/fish_hdr/daily_video has no partition yet; today's is 2026-11-30 (UTC)"
    hour = CameraSite(tmp_path).explain(HOURS).subject
    assert hour.lines[0] == f"asset {HOURS} has no partition yet; that of now is 2026-11-30-10:00 (UTC)"


def test_a_file_below_a_directory_of_a_day_is_explained(site: CameraSite) -> None:
    assert site.explain(IMAGES[0]).subject.path == site.explain(f"raw/wxcam/{IMAGES[0]}").subject.path == IMAGES[0]
