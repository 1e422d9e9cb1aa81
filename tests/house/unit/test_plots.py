"""The plots of a site, checked by the colours of their pixels."""

from datetime import UTC, date, datetime, timedelta
from io import BytesIO

from PIL import Image

from aurora_platform.plots import STRIP_DAYS, ages_plot, coverage_strip, strip_days

LAST = date(2026, 8, 18)
GREEN, AMBER, RED = (60, 141, 90), (230, 162, 60), (192, 57, 43)


def colours(png: bytes) -> dict[tuple[int, int, int], int]:
    """How many pixels have each colour."""
    with Image.open(BytesIO(png)) as image:
        assert image.format == "PNG"
        pixels = image.convert("RGB").getcolors(1 << 20)
    assert pixels is not None
    return {colour: count for count, colour in pixels}


def test_a_strip_has_a_box_for_each_of_thirty_days_up_to_the_last() -> None:
    days = strip_days(LAST)
    assert (len(days), days[0], days[-1]) == (STRIP_DAYS, LAST - timedelta(days=29), LAST)


def test_a_day_is_green_when_complete_amber_when_partial_red_when_empty_and_gray_when_unknown() -> None:
    days = strip_days(LAST)
    all_complete = dict.fromkeys(days, 1.0)
    complete = colours(coverage_strip({"local": all_complete}, days, "t"))
    assert complete.get(GREEN, 0) > 1000
    assert RED not in complete
    some = colours(coverage_strip({"local": all_complete | {days[3]: 0.0, days[4]: 0.5, days[5]: None}}, days, "t"))
    box = complete[GREEN] / STRIP_DAYS
    assert abs(some[RED] - box) < box / 3
    assert abs(some[AMBER] - box) < box / 3
    assert abs(some[GREEN] - 27 * box) < 2 * box


def test_a_plot_is_small_enough_for_an_event_log() -> None:
    days = strip_days(LAST)
    rows = {name: dict.fromkeys(days, 0.5) for name in ("source", "local", "archive")}
    now = datetime(2026, 8, 18, tzinfo=UTC)
    points = [(now - timedelta(minutes=5 * n), 300.0 * n + 1) for n in range(288)]
    lines = {f"stream {n}": points for n in range(8)}
    assert len(coverage_strip(rows, days, "a title")) < 10_000
    assert len(ages_plot(lines, now, "ages")) < 30_000


def test_an_empty_plot_is_still_an_image() -> None:
    assert colours(ages_plot({}, datetime(2026, 8, 18, tzinfo=UTC), "ages"))
