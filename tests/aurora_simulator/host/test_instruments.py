"""The simulated instruments write files that match the streams of the site, in the right format, reproducibly."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
import struct
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aurora_platform.config.site import Site, load_site
from aurora_simulator import (
    INSTRUMENTS,
    InstrumentReport,
    InstrumentSpec,
    SpecError,
    simulate_instruments,
    unexpected_files,
)
from aurora_simulator.__main__ import simulator

DAY = date(2026, 8, 18)
NEXT_DAY = date(2026, 8, 19)
PER_DAY = {
    "cl61": 288,
    "radar": 72,
    "hatpro": 120,
    "vaisalamet": 1,
    "asfs_logger": 24,
    "asfs_fast_sonic": 24,
    "power": 1,
}
RADAR = "rpgfmcw94/Y2026/M08/D18/260818_120000_P01_ZEN"
HATPRO = "hatprog5/Y2026/M08/D18/HATPROG5-AURORA-ICELAND_202608181200"
CEILOMETER = "cl61/gamb2le_depolarisation_lidar_ceilometer_aurora_20260818_120500.nc"
LOGGER = "asfs/raw/crd/aurora_asfs_data_sci_202608181200.dat"
SONIC = "asfs/raw/crd/aurora_asfs_data_fast_sonic_202608181200.dat"
VAISALA = "vaisalamet/vaisala_met_level0_18-08-2026.dat"
POWER = "power/level1/power_data_20260818.csv"
Tree = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> InstrumentSpec:
    """Two days of all instruments, small, with unexpected files."""
    return InstrumentSpec(tmp_path_factory.mktemp("instruments"), DAY, days=2, scale=0.001, unexpected=True)


@pytest.fixture(scope="module")
def report(spec: InstrumentSpec) -> InstrumentReport:
    """The report of the run; its tree is at `spec.root`."""
    return simulate_instruments(spec)


@pytest.fixture(scope="module")
def root(spec: InstrumentSpec, report: InstrumentReport) -> Path:
    """The root of the written tree."""
    assert report.files
    return spec.root


@pytest.fixture(scope="module")
def site() -> Site:
    """The site file of the real observatory."""
    return load_site(Path(__file__).parents[3] / "sites" / "gamb2le.yaml")


def tree(root: Path) -> Tree:
    """Modification time and hash of every file."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
    }


def mtime(path: Path) -> datetime:
    """Modification time to the second."""
    return datetime.fromtimestamp(path.stat().st_mtime_ns // 1_000_000_000, UTC)


def at(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A time in August 2026."""
    return datetime(2026, 8, day, hour, minute, second, tzinfo=UTC)


def streams_of(site: Site, path: str) -> list[tuple[str, date]]:
    """The streams of the site that include a path of the tree, and its day in each stream."""
    found = []
    for stream, instrument in INSTRUMENTS.items():
        inner = path.removeprefix(f"{instrument.directory}/")
        if inner != path and site.streams[stream].includes(inner):
            day = site.streams[stream].day_of(inner, 0)
            found += [(stream, day)] if day else []
    return found


def test_every_stream_but_the_camera_has_the_host_and_path_of_the_site(site: Site) -> None:
    places = {name: (stream.host, stream.path) for name, stream in site.streams.items() if name != "wxcam"}
    assert {name: (i.host, i.source) for name, i in INSTRUMENTS.items()} == places
    assert all(instrument.source.endswith(instrument.directory) for instrument in INSTRUMENTS.values())


def test_each_file_belongs_to_one_stream_and_each_day_has_the_expected_number(root: Path, site: Site) -> None:
    found: Counter[tuple[str, date]] = Counter()
    unexpected = set()
    for path in tree(root):
        streams = streams_of(site, path)
        assert len(streams) <= 1, path
        found.update(streams)
        unexpected |= set() if streams else {path}
    assert found == {(stream, day): count for stream, count in PER_DAY.items() for day in (DAY, NEXT_DAY)}
    assert {name: instrument.files_per_day for name, instrument in INSTRUMENTS.items()} == PER_DAY
    assert {Path(path).parent.name for path in unexpected} > {"lost+found"}
    assert {path for path in unexpected if path.endswith(("notes.txt", ".tmp")) or "lost+found" in path} == unexpected


@pytest.mark.parametrize("stream", ["radar", "hatpro"])
def test_a_tree_has_its_files_in_the_directory_of_their_day(root: Path, site: Site, stream: str) -> None:
    top = root / INSTRUMENTS[stream].directory
    (template,) = site.streams[stream].day_dirs
    for day in (DAY, NEXT_DAY):
        assert len(list((top / day.strftime(template)).iterdir())) == PER_DAY[stream]


def test_files_have_the_paths_of_the_real_instruments(root: Path) -> None:
    names = [f"{RADAR}.{suffix}" for suffix in ("LV0", "LV1", "HKD")]
    names += [f"{HATPRO}.{suffix}" for suffix in ("BLB", "BRT", "HKD", "IRT", "MET")]
    for name in (*names, CEILOMETER, LOGGER, SONIC, VAISALA, POWER):
        assert (root / name).is_file(), name


def test_the_report_counts_files_and_bytes(spec: InstrumentSpec, report: InstrumentReport, root: Path) -> None:
    unexpected = unexpected_files(spec)
    assert report.new == {stream: 2 * count for stream, count in PER_DAY.items()} | {"unexpected": len(unexpected)}
    assert (report.appended, report.rewritten) == (0, 0)
    assert report.bytes == sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def test_modification_times_are_shortly_after_the_period_of_a_file(root: Path) -> None:
    assert mtime(root / CEILOMETER) == at(18, 12, 10, 4)
    assert mtime(root / f"{RADAR}.LV0") == at(18, 13, 0, 10)
    assert mtime(root / f"{HATPRO}.MET") == at(18, 13, 0, 24)
    assert mtime(root / LOGGER) == mtime(root / SONIC) == at(18, 13, 5)  # when the late value came
    assert mtime(root / VAISALA) == at(18, 23, 59, 50)
    assert mtime(root / POWER) == at(19, 0, 0, 3)


def test_the_ceilometer_writes_valid_netcdf(root: Path) -> None:
    variables = read_netcdf((root / CEILOMETER).read_bytes())
    assert set(variables) == {"time", "range", "beta_att", "p_pol", "x_pol", "linear_depol_ratio"}
    assert [datetime.fromtimestamp(time, UTC) for time in variables["time"]] == [
        at(18, 12, 5) + timedelta(seconds=10 * index) for index in range(30)
    ]
    gates = variables["range"]
    assert gates[:3] == pytest.approx((0, 4.8, 9.6))
    assert len(variables["beta_att"]) == 30 * len(gates)
    assert all(0 <= value < 1e-4 for value in variables["beta_att"])


def read_netcdf(content: bytes) -> dict[str, tuple[float, ...]]:
    """Values of the variables of a NetCDF classic file without records; checks that no byte is left over."""
    source = io.BytesIO(content)

    def number() -> int:
        return int.from_bytes(source.read(4))

    def text() -> str:
        length = number()
        padded = source.read(length + -length % 4)
        return padded[:length].decode()

    def items(tag: int) -> range:
        found, count = number(), number()
        assert found == tag or (found, count) == (0, 0)
        return range(count)

    def skip_attributes() -> None:
        for _ in items(12):
            assert text()
            assert number() == 2  # text
            assert text()

    assert source.read(4) == b"CDF\x01"
    assert number() == 0  # no records
    sides = [(text(), number())[1] for _ in items(10)]
    skip_attributes()
    variables, places = {}, []
    for _ in items(11):
        name, count = text(), math.prod(sides[number()] for _ in range(number()))
        skip_attributes()
        kind, size, begin = number(), number(), number()
        letter = {5: "f", 6: "d"}[kind]
        assert size == count * struct.calcsize(letter)
        variables[name] = struct.unpack_from(f">{count}{letter}", content, begin)
        places.append((begin, begin + size))
    assert [source.tell(), *(end for _, end in places)] == [*(begin for begin, _ in places), len(content)]
    return variables


def test_the_radar_writes_rpg_files_and_the_spectra_are_by_far_the_largest(root: Path) -> None:
    sizes = {}
    for suffix, code in (("LV0", 889346), ("LV1", 889347), ("HKD", 889349)):
        content = (root / f"{RADAR}.{suffix}").read_bytes()
        found, length, begin, end = struct.unpack_from("<4i", content)
        assert (found, end - begin) == (code, 3600)
        assert datetime(2001, 1, 1, tzinfo=UTC) + timedelta(seconds=begin) == at(18, 12)
        (samples,) = struct.unpack_from("<i", content, 8 + length - 4)
        (record_bytes,) = struct.unpack_from("<i", content, 8 + length)
        assert len(content) == 8 + length + samples * (4 + record_bytes)
        sizes[suffix] = len(content)
    assert sizes["LV0"] > 8 * sizes["LV1"]


@pytest.mark.parametrize(
    ("suffix", "code", "header", "record"),
    [
        ("BLB", 567845848, 12 + 2 * 56 + 4 + 56 + 4 + 40, 5 + 14 * 11 * 4),
        ("BRT", 666000, 16 + 3 * 56, 5 + 56 + 4),
        ("HKD", 837854832, 16, 5 + 8 * 4 + 3 * 4),
        ("IRT", 671112000, 28, 5 + 4 + 4),
        ("MET", 599658944, 9 + 3 * 8 + 4, 5 + 3 * 4),
    ],
)
def test_the_radiometer_writes_rpg_files_whose_headers_count_their_records(
    root: Path, suffix: str, code: int, header: int, record: int
) -> None:
    content = (root / f"{HATPRO}.{suffix}").read_bytes()
    found, count = struct.unpack_from("<2i", content)
    (first,) = struct.unpack_from("<i", content, header)
    assert (found, len(content)) == (code, header + count * record)
    assert datetime(2001, 1, 1, tzinfo=UTC) + timedelta(seconds=first) == at(18, 12)


def test_the_weather_station_writes_a_line_every_ten_seconds(root: Path) -> None:
    lines = (root / VAISALA).read_text().splitlines(keepends=True)
    times = [datetime.fromisoformat(line.split(",")[0]).replace(tzinfo=UTC) for line in lines]
    assert times == [at(18, 0) + timedelta(seconds=10 * index) for index in range(8640)]
    message = re.compile(r"0R0,Dm=\d{3}D,Sm=[\d.]+M,Ta=-?[\d.]+C,Ua=[\d.]+P,Pa=[\d.]+H\n")
    assert all(message.fullmatch(line.split(",", 1)[1]) for line in lines)


@pytest.mark.parametrize(("path", "table", "records"), [(LOGGER, "sci", 60), (SONIC, "fast_sonic", 72)])
def test_the_flux_station_writes_toa5_with_four_header_lines(root: Path, path: str, table: str, records: int) -> None:
    content = (root / path).read_bytes()
    assert content.endswith(b"\r\n")
    environment, names, units, processing, *rows = csv.reader(content.decode().splitlines())
    assert (environment[0], environment[-1], len(environment)) == ("TOA5", table, 8)
    assert (names[:2], units[:2], processing[:2]) == (["TIMESTAMP", "RECORD"], ["TS", "RN"], ["", ""])
    assert len(rows) == records
    assert {len(row) for row in (names, units, processing, *rows)} == {len(names)}
    times = [datetime.fromisoformat(row[0]).replace(tzinfo=UTC) for row in rows]
    assert times == [at(18, 12) + timedelta(hours=1) * index / records for index in range(records)]
    assert [int(row[1]) for row in rows] == list(range(int(rows[0][1]), int(rows[0][1]) + records))
    assert all(float(value) < 10_000 for row in rows for value in row[2:])


def test_record_numbers_continue_from_hour_to_hour(root: Path) -> None:
    last = (root / LOGGER).read_text().splitlines()[-1]
    first = (root / LOGGER.replace("1200.dat", "1300.dat")).read_text().splitlines()[4]
    assert int(first.split(",")[1]) == int(last.split(",")[1]) + 1


def test_the_power_system_writes_a_summary_and_a_row_per_minute(root: Path) -> None:
    summary, *lines = (root / POWER).read_text().splitlines()
    rows = list(csv.DictReader(lines))
    assert re.fullmatch(r"# 2026-08-18 written 00:00:03Z rows 1440 load_wh [\d.]+", summary)
    assert float(summary.split()[-1]) == pytest.approx(sum(float(row["load_w"]) for row in rows) / 60, abs=0.1)
    times = [datetime.fromisoformat(row["time_utc"]) for row in rows]
    assert times == [at(18, 0) + timedelta(minutes=index) for index in range(1440)]


def test_the_same_options_give_the_same_bytes_and_times_and_another_seed_gives_others(
    spec: InstrumentSpec, root: Path, tmp_path: Path
) -> None:
    same_seed, other_seed = (replace(spec, root=tmp_path / str(seed), days=1, seed=seed) for seed in (0, 1))
    assert simulate_instruments(same_seed).new == simulate_instruments(other_seed).new
    both, first, others = tree(root), tree(same_seed.root), tree(other_seed.root)
    assert first == {path: both[path] for path in first}  # the first of two days is the same
    unexpected = set(unexpected_files(same_seed))
    assert {path for path in first if first[path][1] == others[path][1]} == unexpected


def test_a_stream_alone_has_the_same_files_as_with_all_streams(
    spec: InstrumentSpec, root: Path, tmp_path: Path
) -> None:
    alone = replace(spec, root=tmp_path, streams=("power", "cl61"), unexpected=False)
    assert simulate_instruments(alone).new == {"cl61": 576, "power": 2}
    both = tree(root)
    assert tree(tmp_path) == {path: both[path] for path in tree(tmp_path)}


def test_at_scale_one_files_have_about_the_real_sizes(tmp_path: Path) -> None:
    real = InstrumentSpec(tmp_path, DAY, scale=1.0, streams=("cl61", "hatpro", "asfs_fast_sonic"))
    simulate_instruments(real, until=at(18, 1, 2))
    sizes = {path.name: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    ceilometer = {size for name, size in sizes.items() if name.endswith(".nc")}
    assert all(1.4e6 < size < 1.7e6 for size in ceilometer)
    lines = (tmp_path / "asfs/raw/crd/aurora_asfs_data_fast_sonic_202608180000.dat").read_bytes().splitlines()
    assert len(lines) == 4 + 20 * 3600
    assert 2e5 < sizes["HATPROG5-AURORA-ICELAND_202608180000.BRT"] < 3e5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"streams": ("wxcam", "rain")}, "no such stream: rain, wxcam; choose from cl61, radar"),
        ({"streams": ()}, "streams must name at least one stream"),
        ({"scale": 0.0}, "scale must be above 0 and at most 4, not 0.0"),
        ({"scale": float("nan")}, "scale must be above 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"days": 0}, "days must be 1 or more"),
        ({"day": date(1970, 12, 31)}, "day must be 1971-01-01 or later"),
        ({"day": date(9999, 11, 30), "days": 2}, "the last day must be before 9999-12-01"),
    ],
)
def test_a_spec_refuses_wrong_values(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        InstrumentSpec(**{"root": tmp_path, "day": DAY} | changes)


def test_endless_instruments_need_an_end_time(tmp_path: Path) -> None:
    endless = InstrumentSpec(tmp_path, DAY, days=None, scale=0.001)
    with pytest.raises(SpecError, match="set days, or a time until which to write"):
        simulate_instruments(endless)
    assert simulate_instruments(endless, at(18, 0, 30)).new["cl61"] == 5


def test_the_command_writes_the_tree_and_prints_one_line(tmp_path: Path, root: Path) -> None:
    options = f"instruments --root {tmp_path} --day 2026-08-18 --scale 0.001 --foreign"
    result = CliRunner().invoke(simulator, options.split())
    assert result.exit_code == 0
    counts = ", ".join(f"{count} {stream}" for stream, count in PER_DAY.items())
    assert re.fullmatch(
        rf"553 files \({counts}, 23 unexpected; 0 appends, 0 rewrites\), \d+ bytes \(.* MB\), .* s\n", result.output
    )
    written, both = tree(tmp_path), tree(root)
    assert written == {path: both[path] for path in written}


def test_the_command_writes_only_the_requested_streams_and_hours(tmp_path: Path) -> None:
    options = f"instruments --root {tmp_path} --day 2026-08-18 --streams cl61,radar --until 2026-08-18T02:00:30Z"
    result = CliRunner().invoke(simulator, options.split())
    assert result.output.startswith("30 files (24 cl61, 6 radar; 0 appends, 0 rewrites)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--streams wxcam", "no such stream: wxcam; choose from cl61"),
        ("--begin 2025-08-18", "--begin is only for --live"),
        ("--speed 1", "--speed is only for --live"),
        ("--live --until 2025-08-18", "--until is not for --live"),
        ("--live --begin 2025-08-17", "begin must not be before the first day"),
        ("--live --begin 2999-01-01", "begin must not be in the future"),
        ("--live --begin 2025-08-18 --speed 0", "speed must be a number above 0"),
    ],
)
def test_the_command_line_names_the_wrong_option_value(tmp_path: Path, options: str, message: str) -> None:
    command = f"instruments --root {tmp_path / 'tree'} --day 2025-08-18 {options}"
    result = CliRunner().invoke(simulator, command.split())
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "tree").exists()
