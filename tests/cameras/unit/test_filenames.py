"""File names of the sky camera are parsed exactly, or refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_platform.cameras.filenames import CAMERAS, epoch_ns, from_epoch_ns, parse_name
from aurora_platform.layout import compact

FISH, PANO = CAMERAS["fish_hdr"], CAMERAS["pano_hdr"]
SUFFIXES = {"fish_hdr": "", "pano_hdr": "_PANO"}
moments = st.datetimes(datetime(1970, 1, 1), datetime(2261, 12, 31, 23, 59, 59)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
extensions = st.sampled_from(["jpg", "mp4"]).flatmap(
    lambda text: st.tuples(*(st.sampled_from([c, c.upper()]) for c in text)).map("".join)
)


@given(moment=moments, camera=st.sampled_from(sorted(SUFFIXES)), extension=extensions)
def test_a_parsed_name_gives_back_its_time_camera_and_kind(moment: datetime, camera: str, extension: str) -> None:
    stem = f"HDR_{moment.year:04}{moment.month:02}{moment.day:02}_{moment.hour:02}{moment.minute:02}{moment.second:02}"
    name = parse_name(f"{stem}{SUFFIXES[camera]}.{extension}", CAMERAS[camera])
    assert name.time == moment
    assert name.time.utcoffset() is not None
    assert name.kind == ("image" if extension.lower() == "jpg" else "video")
    assert name.day.isoformat().replace("-", "") == stem[4:12] == compact(name.day)


@given(moment=moments, camera=st.sampled_from(sorted(SUFFIXES)), other=st.sampled_from(sorted(SUFFIXES)))
def test_a_name_is_valid_only_for_its_own_camera(moment: datetime, camera: str, other: str) -> None:
    filename = f"HDR_{moment:%Y%m%d_%H%M%S}{SUFFIXES[camera]}.jpg"
    if camera == other:
        assert parse_name(filename, CAMERAS[other]).time == moment
    else:
        with pytest.raises(ValueError, match="the name is not HDR_"):
            parse_name(filename, CAMERAS[other])


@given(moment=moments)
def test_epoch_ns_is_the_exact_number_of_nanoseconds(moment: datetime) -> None:
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert epoch_ns(moment) == (whole.days * 86_400 + whole.seconds) * 10**9
    assert from_epoch_ns(epoch_ns(moment)) == moment


@given(text=st.text(max_size=40))
def test_any_other_text_is_refused_with_a_reason(text: str) -> None:
    for camera in (FISH, PANO):
        with pytest.raises(ValueError, match="the name"):
            parse_name(text, camera)


@pytest.mark.parametrize(
    "filename",
    [
        "HDR_20260230_120000.jpg",
        "HDR_20261301_120000.jpg",
        "HDR_20260818_240000.jpg",
        "HDR_20260818_126000.jpg",
        "HDR_20260818_120060.jpg",
        "HDR_00000101_000000.jpg",
        "HDR_20250229_000000.mp4",
    ],
)
def test_a_date_or_time_that_does_not_exist_is_refused_with_that_reason(filename: str) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        parse_name(filename, FISH)


@pytest.mark.parametrize(
    "filename",
    [
        "AUTO_20260818_120000.jpg",
        "LONG_20260818_120000.jpg",
        "SHORT_20260818_120000.jpg",
        "hdr_20260818_120000.jpg",
        "HDR_20260818_120000.jpeg",
        "HDR_20260818_120000.jpg~",
        "HDR_20260818_120000.jpg\n",
        " HDR_20260818_120000.jpg",
        "-HDR_20260818_120000.jpg",
        "HDR_20260818_120000 copy 1.jpg",
        "HDR_20260818_120000_pano.jpg",
        "HDR_２０２６0818_120000.jpg",
        ".HDR_20260818_120000.jpg.Xq3f",
        "",
    ],
)
@pytest.mark.parametrize("camera", [FISH, PANO])
def test_a_name_that_differs_slightly_from_the_pattern_is_refused(filename: str, camera: object) -> None:
    with pytest.raises(ValueError, match="the name is not"):
        parse_name(filename, camera)  # type: ignore[arg-type]
