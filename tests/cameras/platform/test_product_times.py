"""The times in a product's metadata, which the freshness check reads."""

from aurora_assets.metadata import span
from aurora_platform.cameras.pixels import PixelsReport, build_pixels
from aurora_platform.cameras.videos import VideoReport, build_daily_video, build_latest_video
from tests.cameras.sample_media import DAY, NOW, WITHOUT_B_FRAMES, Film, Sky, at, jpeg, partly_broken

CAMERA = "fish_hdr"
GOOD = Film(options=WITHOUT_B_FRAMES, frames=7)


def pixels(sky: Sky) -> PixelsReport:
    return build_pixels(sky.workspace, CAMERA, DAY, NOW)


def daily(sky: Sky) -> VideoReport:
    return build_daily_video(sky.workspace, CAMERA, DAY, NOW)


def latest(sky: Sky) -> VideoReport:
    return build_latest_video(sky.workspace, CAMERA, NOW)


def test_an_excluded_input_counts_for_the_time_of_its_product(sky: Sky) -> None:
    # Freshness uses `last`: a camera in night mode must not make its product stale.
    for hour in (8, 9):
        sky.image(at(hour))
        sky.clip(at(hour), GOOD)
    sky.refresh()
    pixels(sky)
    daily(sky)
    sky.image(at(20), jpeg(1, mode="L"))
    sky.clip(at(20), partly_broken(Film(codec="mpeg4", frames=9)))
    sky.refresh()
    until_night = {"first": "2026-08-18 08:00:00 UTC", "last": "2026-08-18 20:00:00 UTC"}
    for build in (pixels, daily, latest):
        for built in (True, False):
            report = build(sky)
            assert (report.built, len(report.excluded), span(report.span)) == (built, 1, until_night)
    for path in (*sky.layout.raw.rglob("*_08*"), *sky.layout.raw.rglob("*_09*")):
        path.unlink()
    sky.refresh()
    for build in (pixels, daily):
        for _ in range(2):
            report = build(sky)
            assert (len(report.excluded), report.span) == (1, (at(20), at(20)))
