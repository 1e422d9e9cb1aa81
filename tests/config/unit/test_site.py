"""The site file: its allowed values, the effect of its rules on real file names, and the messages about mistakes."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from aurora_platform.config.hosts import LocalHost, SshHost
from aurora_platform.config.site import DEFAULT_SITE, Site, load_site
from aurora_platform.config.types import format_duration, parse_duration
from aurora_platform.errors import SiteError
from aurora_platform.layout import INCOMING, OUTGOING, QUARANTINE, STAGING, Layout

REPOSITORY = Path(__file__).parents[3]
GAMB2LE = REPOSITORY / "sites" / "gamb2le.yaml"
DAY = date(2026, 8, 18)

GOOD: dict[str, Any] = {
    "name": "test",
    "paths": {"raw": "data/raw", "products": "data/products", "state": "state", "manifests": "/srv/manifests"},
    "hosts": {
        "local": {"kind": "local"},
        "remote": {"kind": "ssh", "address": "127.0.0.2", "user": "aurora", "auth": "none"},
    },
    "streams": {
        "wxcam": {
            "host": "local",
            "path": "camera",
            "raw": "wxcam",
            "include": ["FISH/**/HDR_*.jpg"],
            "day": r"HDR_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})_",
            "start": "2026-01-12",
        },
        "power": {
            "host": "remote",
            "path": "/data/power",
            "raw": "power",
            "include": ["*.csv"],
            "day": "mtime",
            "start": "2026-01-12",
        },
    },
}


def changed(keys: str, value: object) -> dict[str, Any]:
    """The good site with one value changed; ``...`` removes the key."""
    data = deepcopy(GOOD)
    *parents, last = keys.split(".")
    mapping = data
    for key in parents:
        mapping = mapping.setdefault(key, {})
    if value is ...:
        del mapping[last]
    else:
        mapping[last] = value
    return data


@pytest.fixture
def site_file(tmp_path: Path) -> Callable[[object], Path]:
    """Write a site file; text as it is, anything else as YAML."""

    def write(content: object) -> Path:
        path = tmp_path / "site.yaml"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


@pytest.fixture(scope="module")
def gamb2le() -> Site:
    return load_site(GAMB2LE)


def test_the_demo_site_is_one_local_camera_below_the_repository() -> None:
    site = load_site(DEFAULT_SITE)
    (wxcam,) = site.streams.values()
    assert isinstance(site.hosts[wxcam.host], LocalHost)
    assert wxcam.path == str(REPOSITORY / ".aurora/camera")
    assert Layout.of(site).raw_root("wxcam") == REPOSITORY / ".aurora/raw/wxcam"
    assert (wxcam.settle, wxcam.lookback) == (timedelta(minutes=5), timedelta(days=2))


def test_the_real_site_has_its_eight_streams_on_their_two_hosts(gamb2le: Site) -> None:
    assert {name: stream.host for name, stream in gamb2le.streams.items()} == {
        "cl61": "ass", "radar": "ass", "hatpro": "ass", "vaisalamet": "ass", "asfs_logger": "ass",
        "asfs_fast_sonic": "ass", "power": "aps", "wxcam": "ass",
    }  # fmt: skip
    hosts = {name: (host.address, host.user, host.auth) for name, host in gamb2le.hosts.items() if host.kind == "ssh"}
    assert hosts == {"ass": ("100.124.55.22", "aurora", "none"), "aps": ("100.81.226.30", "aurora", "none")}
    assert gamb2le.archive is not None
    assert [host.address.partition(".")[0] for host in gamb2le.archive.hosts] == [
        "xfer-vm-03", "xfer-vm-01", "xfer-vm-02",
    ]  # fmt: skip


def test_the_real_site_keeps_the_paths_of_the_running_observatory(gamb2le: Site) -> None:
    assert {name: (stream.path, stream.raw) for name, stream in gamb2le.streams.items()} == {
        "cl61": ("/home/aurora/data/cl61", "cl61"),
        "radar": ("/home/aurora/data/rpgfmcw94", "rpgfmcw94"),
        "hatpro": ("/home/aurora/data/hatprog5", "hatprog5"),
        "vaisalamet": ("/home/aurora/data/vaisalamet", "vaisalamet"),
        "asfs_logger": ("/home/aurora/data/asfs/raw/crd", "asfs/crd"),
        "asfs_fast_sonic": ("/home/aurora/data/asfs/raw/crd", "asfs/crd"),
        "power": ("/data/power/level1", "power/level1"),
        "wxcam": ("/home/aurora/data/wxcam", "wxcam"),
    }
    assert gamb2le.streams["hatpro"].stale_after == timedelta(hours=3)
    assert {gamb2le.streams[s].lookback for s in ("asfs_logger", "asfs_fast_sonic", "power")} == {timedelta(days=10)}
    # Files that are written continuously never settle, but must be mirrored.
    assert not gamb2le.streams["vaisalamet"].settle
    assert not gamb2le.streams["power"].settle


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("cl61", "gamb2le_depolarisation_lidar_ceilometer_aurora_20260818_235500.nc"),
        ("radar", "Y2026/M08/D18/260818_000000_P09_ZEN.LV0"),
        ("hatpro", "Y2026/M08/D18/HATPROG5-AURORA-ICELAND_260818.LWP.NC"),
        ("vaisalamet", "vaisala_met_level0_18-08-2026.dat"),
        ("asfs_logger", "aurora_asfs_data_sci_202608180000.dat"),
        ("asfs_fast_sonic", "aurora_asfs_data_fast_sonic_202608182300.dat"),
        ("power", "power_data_20260818.csv"),
        ("wxcam", "FISH/20260818/23/HDR_20260818_235900.jpg"),
        ("wxcam", "FISH/20260818/23/HDR_20260818_235900.JPG"),
        ("wxcam", "FISH/20260818/HDR_20260818_230000.mp4"),
        ("wxcam", "PANO/20260818/00/HDR_20260818_000000_PANO.jpg"),
        ("wxcam", "PANO/20260818/HDR_20260818_000000_PANO.mp4"),
    ],
)
def test_a_real_file_name_belongs_to_its_stream_and_day(gamb2le: Site, stream: str, path: str) -> None:
    assert gamb2le.streams[stream].includes(path)
    assert gamb2le.streams[stream].day_of(path, 0) == DAY
    assert [name for name, other in gamb2le.streams.items() if other.includes(path) and name != "radar"] in (
        [stream], [],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("wxcam", "FISH/20260818/23/AUTO_20260818_235900.jpg"),
        ("wxcam", "FISH/20260818/23/LONG_20260818_235900.jpg"),
        ("wxcam", "PANO/20260818/23/SHORT_20260818_235900_PANO.jpg"),
        ("wxcam", "PANO/20260818/23/HDR_20260818_235900.jpg"),
        ("wxcam", "FISH/20260818/23/HDR_20260818_235900.jpg.part"),
        ("asfs_logger", "aurora_asfs_data_fast_sonic_202608180000.dat"),
        ("asfs_fast_sonic", "aurora_asfs_data_sci_202608180000.dat"),
        ("cl61", "20260818/gamb2le_depolarisation_lidar_ceilometer_aurora_20260818_235500.nc"),
        ("hatpro", "Y2026/M08/D18/other_260818.NC"),
        ("power", "Power_data_20260818.csv"),
    ],
)
def test_a_file_name_of_another_kind_does_not_belong_to_the_stream(gamb2le: Site, stream: str, path: str) -> None:
    assert not gamb2le.streams[stream].includes(path)


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("vaisalamet", "vaisala_met_level0_08-18-2026.dat"),
        ("vaisalamet", "vaisala_met_level0_31-02-2026.dat"),
        ("radar", "Y2026/M13/D18/x.LV0"),
        ("radar", "260818_000000_P09_ZEN.LV0"),
        ("wxcam", "FISH/20260818/23/HDR_00000000_000000.jpg"),
    ],
)
def test_a_name_without_a_real_date_has_no_day(gamb2le: Site, stream: str, path: str) -> None:
    assert gamb2le.streams[stream].day_of(path, 0) is None


def test_a_two_digit_year_is_of_this_century(site_file: Callable[[object], Path]) -> None:
    rule = r"^(?P<y>\d{2})(?P<m>\d{2})(?P<d>\d{2})_"
    stream = load_site(site_file(changed("streams.power.day", rule))).streams["power"]
    assert stream.day_of("260818_000000.LV0", 0) == DAY


@given(st.integers(0, 4_000_000_000 * 10**9))
@example(1_787_011_199_999_999_999)  # the last nanosecond of 2026-08-17: a float would round it into the next day
def test_with_day_mtime_a_file_belongs_to_the_day_of_its_last_write(mtime_ns: int) -> None:
    stream = Site.model_validate(GOOD).streams["power"]
    assert stream.day_of("any.csv", mtime_ns) == date(1970, 1, 1) + timedelta(days=mtime_ns // (86_400 * 10**9))


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (changed("colour", "green"), "colour: unknown key"),
        *(
            (changed("streams.wxcam.raw", raw), f"streams.wxcam.raw: must not contain {ours}: Aurora uses")
            for raw, ours in [
                (INCOMING, ".incoming"),
                (f"camera/{OUTGOING}", ".outgoing"),
                (f"{QUARANTINE}/camera", ".quarantine"),
                (f"a/{STAGING}/b", ".staging"),
            ]
        ),
        (changed("paths.raw_root", "x"), "paths.raw_root: unknown key"),
        (changed("streams.wxcam.setle", "5m"), "streams.wxcam.setle: unknown key"),
        (changed("hosts.remote.password", "x"), "hosts.remote.password: unknown key"),
        (changed("paths.raw", ...), "paths.raw: missing: it has no default"),
        (changed("streams", {}), "streams: empty: needs at least one item"),
        (changed("streams.wxcam.settle", "5 minutes"), "streams.wxcam.settle: a duration is"),
        (changed("streams.wxcam.settle", 300), "streams.wxcam.settle: a duration is"),
        (changed("streams.wxcam.settle", "-5m"), "streams.wxcam.settle: a duration is"),
        (changed("limits.transfer", "1w"), "limits.transfer: a duration is"),
        (changed("limits.transfer", "0s"), "limits.transfer: "),
        (changed("limits.connect", "0s"), "limits.connect: "),
        (changed("hosts.remote.kind", "ftp"), "hosts.remote: "),
        (changed("hosts.remote.kind", ...), "hosts.remote: kind is missing: local or ssh"),
        (changed("hosts.remote.auth", "password"), "hosts.remote.auth: must be 'none' or 'key'"),
        (changed("hosts.remote.auth", "key"), "hosts.remote: identity"),
        (changed("hosts.remote.identity", "~/.ssh/id_ed25519"), "hosts.remote: identity"),
        (changed("hosts.remote.address", "-oProxyCommand=reboot"), "hosts.remote.address: must be a host name"),
        (changed("hosts.remote.user", "-l root"), "hosts.remote.user: must be a login name"),
        (changed("hosts.remote.port", 0), "hosts.remote.port: must be at least 1"),
        (changed("hosts.remote.port", "ssh"), "hosts.remote.port: must be a whole number"),
        (changed("hosts.remote.port", 22.5), "hosts.remote.port: must be a whole number"),
        (changed("streams.wxcam.host", "nowhere"), "streams.wxcam.host: 'nowhere' is not one of hosts"),
        (changed("streams.power.path", "data/power"), "streams.power.path: must be absolute"),
        (changed("streams.wxcam.path", ""), "streams.wxcam.path: "),
        (changed("streams.wxcam.path", "a\x00b"), "streams.wxcam.path: "),
        (changed("streams.wxcam.path", "~nobody-of-that-name/x"), "streams.wxcam.path: "),
        (changed("paths.raw", "~nobody-of-that-name/x"), "paths.raw: "),
        (changed("streams.wxcam.raw", "../wxcam"), "streams.wxcam.raw: must be a relative path"),
        (changed("streams.wxcam.raw", "/wxcam"), "streams.wxcam.raw: must be a relative path"),
        (changed("streams.wxcam.include", []), "streams.wxcam.include: empty: needs at least one"),
        (changed("streams.wxcam.include", ["FISH/*", "../*"]), "streams.wxcam.include.1: must be a relative path"),
        (changed("streams.wxcam.day", "HDR_(?P<Y>"), "streams.wxcam.day: must be a regular expression"),
        (changed("streams.wxcam.day", r"(?P<Y>\d{4})"), "streams.wxcam.day: needs the named groups"),
        (changed("streams.wxcam.start", "January"), "streams.wxcam.start: must be a date, as 2026-01-12"),
        (changed("streams.wxcam.start", "12.1.2026"), "streams.wxcam.start: must be a date, as 2026-01-12"),
        (changed("streams.wxcam.start", True), "streams.wxcam.start: must be a date, as 2026-01-12"),
        (changed("streams.wxcam.description", 5), "streams.wxcam.description: must be text (put a number"),
        (
            changed(
                "archive",
                {"hosts": [{"address": "h", "user": "u", "auth": "none"}], "raw": "a", "products": "/b"},
            ),
            "archive.raw: must be a path, absolute on",
        ),
        (changed("streams.Wxcam", GOOD["streams"]["wxcam"]), "streams.Wxcam"),
        (changed("paths.state", "/var/lib/aurora cloud"), "paths.state: no white space"),
        (changed("paths.state", "/var/lib/%h"), "paths.state: no white space"),
        (changed("paths.state", "/var/lib/$HOME"), "paths.state: no white space"),
        (changed("archive", {"hosts": [], "raw": "/a", "products": "/b"}), "archive.hosts: "),
        (changed("alerts", {"to": ["Ops <a@b.org>"], "sender": "a@b.org"}), "alerts.to.0: must be a mail address"),
        (changed("alerts", {"to": ["a@b.org"], "sender": "aurora"}), "alerts.sender: must be a mail address"),
        (
            changed("alerts", {"to": ["a@b.org"], "sender": "a@b.org", "smtp": {"user_variable": "my secret"}}),
            "alerts.smtp.user_variable: must be the name of an environment variable",
        ),
        (changed("endpoints", {"viewer": {"url": "ftp://x"}}), "endpoints.viewer.url: must be a web address"),
        (changed("streams.power.path", "/a\nb"), "streams.power.path: must be a path, without control"),
        (changed("limits.look", "51s"), "limits.look: at most 50s: Dagster ends the tick"),
        (changed("limits.look", "1m"), "limits.look: at most 50s"),
        (changed("limits.look", "0s"), "limits.look: must be longer than 0s"),
        (changed("limits.look", 40), "limits.look: a duration is"),
        (changed("live", "yes"), "live: must be keys with values"),
        (changed("live.runing", True), "live.runing: unknown key"),
        (changed("live.running", "perhaps"), "live.running: must be true or false"),
        (changed("live.running", [1]), "live.running: must be true or false"),
        (changed("live.keep_runs", "3h"), "live.keep_runs: must be at least 1d"),
        (changed("live.every", "0s"), "live.every: must be longer than 0s"),
        (changed("live.every", "two minutes"), "live.every: a duration is"),
        (changed("live.hour_closes_after", "10"), "live.hour_closes_after: a duration is"),
        (changed("live.keep_runs", "0d"), "live.keep_runs: must be longer than 0s"),
        (changed("live.reconcile_days", 0), "live.reconcile_days: must be at least 1"),
        (changed("live.reconcile_days", 367), "live.reconcile_days: must be at most 366"),
        (
            changed("live.thumbnails", "@hourly"),
            "live.thumbnails: must be five fields, as in a crontab: minute hour day month",
        ),
        (changed("live.thumbnails", "10 * * *"), "live.thumbnails: must be five fields"),
        (changed("live.thumbnails", "0 10 * * * *"), "live.thumbnails: must be five fields"),
        (changed("live.thumbnails", ""), "live.thumbnails: must be five fields"),
        (changed("live.thumbnails", 10), "live.thumbnails: "),
        (changed("live.retention", "0 0 30 2 *"), "live.retention: there is no such date: day 30 of month 2"),
        (changed("live.retention", "0 0 31 4,6 1"), "live.retention: there is no such date: day 31 of month 4,6"),
        (changed("live.thumbnails", "60 * * * *"), "live.thumbnails: the field minute ('60') must be from 0 to 59"),
        (
            changed("live.thumbnails", "10,70 * * * *"),
            "live.thumbnails: the field minute ('10,70') must be from 0 to 59",
        ),
        (
            changed("live.thumbnails", "*/0 * * * *"),
            "live.thumbnails: the field minute ('*/0') must be a number, a range, *",
        ),
        (changed("live.thumbnails", "١ * * * *"), "live.thumbnails: the field minute ('١') must be a number"),
        (changed("live.reconcile", "35 24 * * *"), "live.reconcile: the field hour ('24') must be from 0 to 23"),
        (
            changed("live.reconcile", "35 six * * *"),
            "live.reconcile: the field hour ('six') must be a number, a range, *",
        ),
        (
            changed("live.reconcile", "35 *-6 * * *"),
            "live.reconcile: the field hour ('*-6') must be a number, a range, *",
        ),
        (changed("live.retention", "50 3 0 * *"), "live.retention: the field day ('0') must be from 1 to 31"),
        (changed("live.retention", "50 3 * 13 *"), "live.retention: the field month ('13') must be from 1 to 12"),
        (changed("live.retention", "50 3 * 0 *"), "live.retention: the field month ('0') must be from 1 to 12"),
        (changed("live.retention", "50 3 * * 8"), "live.retention: the field weekday ('8') must be from 0 to 7"),
        (
            changed("streams.power.day_names", ["level1/*_%Y%m%d*"]),
            "streams.power.day_names.0: must be a file name without",
        ),
        (changed("streams.power.day_names", ["*\n%Y%m%d"]), "streams.power.day_names.0: must be a file name without"),
        (changed("streams.power.day_names", ["*_%Y%m%d_%H*"]), "streams.power.day_names.0: '%H' is none of %Y"),
        (changed("streams.power.day_names", ["%Y%m%d%"]), "streams.power.day_names.0: '%' is none of %Y"),
        (changed("streams.power.day_names", ["power_100%%.csv"]), "streams.power.day_names.0: holds no date: write"),
        (changed("streams.power.day_names", [""]), "streams.power.day_names.0: holds no date: write"),
        (
            changed("streams.power", {**GOOD["streams"]["power"], "day_dirs": ["%Y%m%d"], "day_names": ["*%Y%m%d"]}),
            "streams.power: day_dirs or day_names, not both",
        ),
        (changed("live.retention", "50 3 * * MON"), "live.retention: the field weekday ('MON') must be a number"),
    ],
)
def test_a_wrong_value_gives_one_error_that_names_its_key(
    site_file: Callable[[object], Path], content: object, key: str
) -> None:
    path = site_file(content)
    with pytest.raises(SiteError) as caught:
        load_site(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert key in message
    assert "\n" not in message
    assert "; " not in message, "one mistake gives one error"


def test_by_default_a_site_polls_every_two_minutes_but_only_after_an_operator_turns_it_on() -> None:
    site = Site.model_validate(GOOD)
    assert not site.live.running
    assert (site.live.every, site.live.hour_closes_after) == (timedelta(minutes=2), timedelta(minutes=10))
    assert site.live.thumbnails.startswith("10,")
    assert site.limits.look < timedelta(seconds=50)
    assert load_site(GAMB2LE).live.running
    assert not load_site(DEFAULT_SITE).live.running


@pytest.mark.parametrize(("key", "value", "expected"), [
    ("limits.look", "50s", timedelta(seconds=50)),
    ("limits.look", "1s", timedelta(seconds=1)),
    ("live.running", True, True),
    ("live.every", "30s", timedelta(seconds=30)),
    ("live.hour_closes_after", "0s", timedelta(0)),
    ("live.reconcile_days", 366, 366),
    ("live.keep_runs", "30d", timedelta(days=30)),
    ("live.reconcile", "0-59/5,7 */6 1-31 1,12 0-7", "0-59/5,7 */6 1-31 1,12 0-7"),
])  # fmt: skip
def test_the_settings_of_automatic_work_can_be_changed(
    site_file: Callable[[object], Path], key: str, value: object, expected: object
) -> None:
    site = load_site(site_file(changed(key, value)))
    part, name = key.split(".")
    assert getattr(getattr(site, part), name) == expected
    assert site.model_dump(mode="json")[part][name] == value, "it is printed as it was written"


NUMBERS = (st.integers(0, 8) | st.integers(0, 99)).map(str)
CRON_FIELDS = st.lists(
    st.builds("".join, st.tuples(
        st.just("*") | NUMBERS | st.builds("{}-{}".format, NUMBERS, NUMBERS) | st.sampled_from(["", "MON", "L", "?"]),
        st.just("") | st.builds("/{}".format, NUMBERS),
    )), min_size=1, max_size=3,
).map(",".join)  # fmt: skip


@given(
    st.dates(date(2026, 1, 1), date(2027, 12, 31)), st.integers(0, 86_399), st.integers(0, 30 * 86_400),
    st.dates(date(2025, 1, 1), date(2028, 12, 31)),
)  # fmt: skip
@example(DAY, 0, 2 * 86_400, date(2026, 1, 12))
@example(DAY, 86_399, 1, date(2026, 1, 12))
def test_the_live_window_begins_where_the_lookback_ends_but_never_before_the_stream(
    today: date, second: int, lookback: int, start: date
) -> None:
    stream = Site.model_validate(changed("streams.power.start", str(start))).streams["power"]
    stream = stream.model_copy(update={"lookback": timedelta(seconds=lookback)})
    now = datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(seconds=second)
    first = stream.live_from(now)
    # In days since epoch, without the calendar.
    window_start = (int(now.timestamp()) - lookback) // 86_400
    assert (first - date(1970, 1, 1)).days == max(window_start, (start - date(1970, 1, 1)).days)


def test_the_records_of_days_at_the_source_are_below_the_state_of_the_site(site_file: Callable[[object], Path]) -> None:
    path = site_file(GOOD)
    site = load_site(path)
    assert Layout.of(site).days_at_source("wxcam") == path.parent / "state/sources/wxcam.json"
    assert Layout.of(site).days_at_source("power") == path.parent / "state/sources/power.json"


def test_several_mistakes_are_reported_at_once_one_per_line(site_file: Callable[[object], Path]) -> None:
    data = changed("streams.wxcam.settle", "soon")
    data["paths"]["colour"] = "green"
    with pytest.raises(
        SiteError, match=r"^/.*: 2 mistakes:\n  paths\.colour: unknown key.*\n  streams\.wxcam\.settle: a duration.*$"
    ):
        load_site(site_file(data))


@pytest.mark.parametrize("text", ["name: [\n", "name: a\nname: b\n", "name: \x00\n", "a: b: c\n"])
def test_invalid_yaml_is_an_error_that_names_the_file_and_its_line(
    site_file: Callable[[object], Path], text: str
) -> None:
    path = site_file(text)
    with pytest.raises(SiteError, match=rf"^{re.escape(str(path))}: not YAML: .*\bat (line|position) \d") as caught:
        load_site(path)
    assert "byte string" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: a\nname: b\n", "duplicate key 'name'"),
        ("a: {b: 1, b: 2}\n", "duplicate key 'b'"),
        ("? [a, b]\n: c\n", "a key must be a plain word"),
        ("name: [\n", "not YAML"),
        ("\tname: x\n", "not YAML"),
        (b"\x00\x01\x02", "not YAML"),
        (b"\xff\xd8\xff\xe0 not UTF-8", "not YAML"),
        ("start: 2026-02-31\n", "not YAML"),
        ("start: 2026-01-01 00:00:00 +99:00\n", "not YAML"),
        ("start: !!timestamp soon\n", "not YAML"),
        ("enabled: !!bool perhaps\n", "not YAML"),
        ("x: !!python/object/apply:os.system [reboot]\n", "not YAML"),
        ("", "the file: "),
        ("just a sentence\n", "the file: "),
        ("[" * 5000, "not YAML"),
        ("#" * (1 << 20) + "\n", "larger than 1048576 bytes"),
    ],
)
def test_anything_but_a_site_file_gives_one_error(
    site_file: Callable[[object], Path], content: str | bytes, message: str
) -> None:
    with pytest.raises(SiteError, match=message) as caught:
        load_site(site_file(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.yaml", ".", "~nobody-of-that-name/site.yaml"])
def test_a_file_that_cannot_be_opened_is_an_error_with_the_next_step(tmp_path: Path, name: str) -> None:
    with pytest.raises(SiteError, match="Set AURORA_SITE to the site file"):
        load_site(Path(name) if name.startswith("~") else tmp_path / name)


def test_relative_paths_are_relative_to_the_site_file(
    site_file: Callable[[object], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site_file(GOOD)
    monkeypatch.chdir("/")
    site = load_site(path)
    assert site.paths.raw == path.parent / "data/raw"
    assert site.paths.manifests == Path("/srv/manifests")
    assert site.streams["wxcam"].path == str(path.parent / "camera")
    assert site.streams["power"].path == "/data/power"
    assert Layout.of(site).known_hosts == path.parent / "state/known_hosts"


def test_a_tilde_is_replaced_by_the_home_directory(
    site_file: Callable[[object], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/operator")
    data = changed("hosts.remote.identity", "~/.ssh/id_ed25519")
    data["hosts"]["remote"]["auth"] = "key"
    host = load_site(site_file(data)).hosts["remote"]
    assert isinstance(host, SshHost)
    assert host.identity == Path("/home/operator/.ssh/id_ed25519")


def test_settings_are_frozen() -> None:
    site = Site.model_validate(GOOD)
    for part, key in (
        (site, "name"),
        (site.paths, "raw"),
        (site.streams["wxcam"], "settle"),
        (site.limits, "lock"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, key, getattr(part, key))


def test_the_environment_names_the_site_file_and_an_argument_overrides_it(
    site_file: Callable[[object], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AURORA_SITE", str(site_file(GOOD)))
    assert load_site().name == "test"
    assert load_site(GAMB2LE).name == "gamb2le"
    monkeypatch.setenv("AURORA_SITE", "")
    assert load_site().name == "demo"


@given(st.integers(0, 999_999_999), st.sampled_from("smhd"))
def test_durations_round_trip(number: int, unit: str) -> None:
    duration = parse_duration(f"{number}{unit}")
    assert duration == number * {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1),
                                 "d": timedelta(days=1)}[unit]  # fmt: skip
    assert parse_duration(format_duration(duration)) == duration
    assert len(format_duration(duration)) <= len(f"{number}{unit}") or number == 0


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.text(), max_size=2)))
@example("٣m")  # digits of other scripts are digits to a regular expression
@example("5m\n")
@example("1e3s")
def test_anything_else_is_not_a_duration(value: object) -> None:
    if isinstance(value, str) and value.isascii() and value[:-1].isdecimal() and value[-1] in "smhd":
        return
    with pytest.raises(ValueError, match="a duration is a whole number and a unit"):
        parse_duration(value)


KEYS = st.sampled_from(
    ["name", "paths", "hosts", "streams", "archive", "limits", "raw", "state", "host", "path", "include", "day", "kind",
     "start", "settle", "local", "remote", "wxcam", "address", "auth", "identity", "day_dirs", "connect"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.datetimes(timezones=st.just(UTC)),
    st.text(max_size=12), st.binary(max_size=4),
    st.sampled_from(["local", "ssh", "key", "none", "remote", "5m", "/x", "x", "mtime", "~x", "2026-01-12"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)


def outcome(path: Path, content: bytes) -> Site | SiteError:
    """The site or the error of a file; any other exception ends the test."""
    path.write_bytes(content)
    try:
        return load_site(path)
    except SiteError as error:
        return error


@given(data=TREES)
def test_any_yaml_gives_a_site_or_a_site_error(tmp_path_factory: pytest.TempPathFactory, data: object) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary.yaml"
    assert isinstance(outcome(path, yaml.safe_dump(data, allow_unicode=True).encode()), Site | SiteError)


@given(where=st.sampled_from([
    "name", "paths", "paths.raw", "paths.state", "hosts", "hosts.remote", "hosts.remote.address", "hosts.remote.port",
    "streams", "hosts.remote.identity", "streams.wxcam", "streams.wxcam.path", "streams.wxcam.include",
    "streams.wxcam.day", "streams.wxcam.start", "streams.wxcam.settle", "streams.wxcam.day_dirs",
    "streams.wxcam.host", "archive", "limits", "streams.wxcam.day_names", "limits.look", "live", "live.every",
    "live.reconcile", "live.reconcile_days",
]), value=TREES)  # fmt: skip
def test_one_arbitrary_value_in_a_good_file_gives_a_site_or_a_site_error(
    tmp_path_factory: pytest.TempPathFactory, where: str, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "nearly.yaml"
    assert isinstance(outcome(path, yaml.safe_dump(changed(where, value)).encode()), Site | SiteError)


@given(content=st.binary(max_size=60) | st.text("{}[]:,!&*#|>-? \n\t'\"%@`ab01.~<=", max_size=40).map(str.encode))
@example(b"a: !!int x")
@example(b"a: !!float x")
@example(b"a: !!binary x")
@example(b"a: !!set [b]")
@example(b"!!map [a]")
@example(b"&a {streams: *a}")
@example(b"a: 0x_")
@example(b"a: 190:20:30.15")
@example(b"<<: {a: b}")
@example(b"---\na\n---\nb\n")
def test_any_bytes_give_a_site_or_a_site_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    assert isinstance(outcome(tmp_path_factory.getbasetemp() / "bytes.yaml", content), Site | SiteError)


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aurora_platform.config.site", *arguments],
        capture_output=True, text=True, check=False, cwd="/", env=os.environ | environment,
    )  # fmt: skip


def test_the_command_line_prints_the_resolved_settings(site_file: Callable[[object], Path]) -> None:
    path = site_file(GOOD)
    done = check("check", str(path))
    assert (done.returncode, done.stderr) == (0, f"{path}: valid (site test: 2 hosts, 2 streams, no archive)\n")
    resolved = yaml.safe_load(done.stdout)
    assert resolved["paths"]["raw"] == str(path.parent / "data/raw")
    assert resolved["streams"]["wxcam"]["settle"] == "5m"
    again = path.with_name("resolved.yaml")
    again.write_text(done.stdout)
    assert check("check", AURORA_SITE=str(again)).stdout == done.stdout


def test_the_command_line_reports_mistakes_and_exits_with_1(site_file: Callable[[object], Path]) -> None:
    path = site_file(changed("colour", "green"))
    done = check("check", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {path}: colour: unknown key")
    assert done.stderr.count("\n") == 1
    assert check("check", "/no/such/file").returncode == 1
    assert check("chek").returncode == 2


def test_a_site_does_not_depend_on_the_current_date() -> None:
    early = Site.model_validate(GOOD)
    assert early == Site.model_validate(GOOD)
    assert early.streams["wxcam"].start < datetime.now(UTC).date()
