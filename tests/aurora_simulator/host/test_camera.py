"""The simulated camera writes the files of the real one, reproducibly, and each fault matches its description."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import pytest
from av.video.stream import VideoStream
from click.testing import CliRunner
from PIL import Image, UnidentifiedImageError

from aurora_simulator import FAULTS, CameraSpec, Report, SpecError, simulate
from aurora_simulator.__main__ import simulator

DAY = date(2026, 3, 5)
NOW = datetime(2026, 3, 6, 12, 0, 0, 250_000, tzinfo=UTC)
FISH_SIZE, PANO_SIZE = (156, 152), (144, 38)  # 5 % of 3120 x 3040 and of 2880 x 750, to even numbers
Tree = dict[str, tuple[int, int, str]]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> CameraSpec:
    """Two hours before noon, an image every 20 minutes, at 5 % of the real size."""
    return CameraSpec(
        tmp_path_factory.mktemp("camera"), DAY, hours=2, every=timedelta(minutes=20), start_hour=10, scale=0.05
    )


@pytest.fixture(scope="module")
def regular(spec: CameraSpec) -> Report:
    """The report of a run without faults; its tree is at `spec.root`."""
    return simulate(spec)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, spec: CameraSpec) -> tuple[CameraSpec, Report]:
    """The same camera with every fault."""
    with_faults = replace(spec, root=tmp_path_factory.mktemp("faulty"))
    return with_faults, simulate(with_faults, ["all"], now=NOW)


@pytest.fixture
def fault(faulty: tuple[CameraSpec, Report]) -> Callable[[str], Path]:
    """Return the only file that a fault made."""

    def only(name: str) -> Path:
        (path,) = faulty[1].faults[name]
        return faulty[0].root / path

    return only


def tree(root: Path) -> Tree:
    """Mode, modification time and hash of every path below `root`; links are not followed."""
    found: Tree = {}
    for directory, directories, files in os.walk(root):
        for name in files + [name for name in directories if Path(directory, name).is_symlink()]:
            path = Path(directory, name)
            status = path.lstat()
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(root))] = (
                status.st_mode,
                status.st_mtime_ns,
                hashlib.sha256(content).hexdigest(),
            )
    return found


def decode(path: Path) -> list[tuple[int, int, str]]:
    """Width, height and pixel format of every frame."""
    with av.open(str(path)) as container:
        return [(frame.width, frame.height, frame.format.name) for frame in container.decode(video=0)]


def video(path: Path) -> tuple[str, bytes]:
    """Codec and extradata of a clip."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert isinstance(stream, VideoStream)
        return stream.codec_context.name, bytes(stream.codec_context.extradata or b"")


def clip_names(spec: CameraSpec, view: str = "FISH") -> list[Path]:
    """The regular clips of a view."""
    suffix = "_PANO" if view == "PANO" else ""
    return [spec.root / f"{view}/20260305/HDR_20260305_{hour}0000{suffix}.mp4" for hour in (10, 11)]


@pytest.mark.usefixtures("regular")
def test_the_file_names_are_those_of_the_real_camera(spec: CameraSpec) -> None:
    expected = set()
    for view, suffix in (("FISH", ""), ("PANO", "_PANO")):
        for hour in (10, 11):
            expected.add(f"{view}/20260305/HDR_20260305_{hour}0000{suffix}.mp4")
            for minute in ("00", "20", "40"):
                for exposure in ("HDR", "AUTO", "LONG", "SHORT"):
                    expected.add(f"{view}/20260305/{hour}/{exposure}_20260305_{hour}{minute}00{suffix}.jpg")
    assert set(tree(spec.root)) == expected


def test_the_report_counts_the_files_on_disk(spec: CameraSpec, regular: Report) -> None:
    paths = [path for path in spec.root.rglob("*") if path.is_file()]
    assert (regular.images, regular.clips, regular.others) == (12, 4, 36)
    assert regular.files == len(paths)
    assert regular.bytes == sum(path.stat().st_size for path in paths)


@pytest.mark.usefixtures("regular")
def test_the_same_seed_gives_the_same_bytes(spec: CameraSpec, tmp_path: Path) -> None:
    simulate(replace(spec, root=tmp_path))
    assert tree(tmp_path) == tree(spec.root)


def test_two_workers_give_the_same_bytes_and_report_as_one(spec: CameraSpec, regular: Report, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = simulate(replace(spec, root=tmp_path), workers=2, progress=lambda done, total: calls.append((done, total)))
    assert tree(tmp_path) == tree(spec.root)
    assert report == regular
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.usefixtures("regular")
def test_another_seed_and_another_minute_give_other_images(spec: CameraSpec, tmp_path: Path) -> None:
    simulate(replace(spec, root=tmp_path, seed=1))
    mine, other = tree(spec.root), tree(tmp_path)
    images = [path for path in mine if "/HDR_" in path]
    assert all(mine[path][2] != other[path][2] for path in images)
    assert len({mine[path][2] for path in images}) == len(images)


@pytest.mark.usefixtures("regular")
@pytest.mark.parametrize(("view", "size"), [("FISH", FISH_SIZE), ("PANO", PANO_SIZE)])
def test_images_have_the_scaled_geometry_and_are_4_2_0(spec: CameraSpec, view: str, size: tuple[int, int]) -> None:
    for path in (spec.root / view).rglob("HDR_*.jpg"):
        with Image.open(path) as image:
            image.load()
            assert (image.size, image.mode, image.format) == (size, "RGB", "JPEG")
            assert [sampling[1:3] for sampling in image.layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("regular")
@pytest.mark.parametrize(("view", "size"), [("FISH", FISH_SIZE), ("PANO", PANO_SIZE)])
def test_a_clip_has_a_frame_for_each_image_of_its_hour(spec: CameraSpec, view: str, size: tuple[int, int]) -> None:
    for path in clip_names(spec, view):
        assert decode(path) == [(*size, "yuv420p")] * 3
        assert video(path)[0] == "h264"


@pytest.mark.usefixtures("regular")
def test_clips_show_the_images_in_order(spec: CameraSpec) -> None:
    images = [Image.open(path).convert("L") for path in sorted((spec.root / "FISH/20260305/10").glob("HDR_*.jpg"))]
    with av.open(str(clip_names(spec)[0])) as container:
        frames = [Image.fromarray(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
    for index, frame in enumerate(frames):
        errors = [sum(abs(a - b) for a, b in zip(frame.tobytes(), image.tobytes(), strict=True)) for image in images]
        assert errors.index(min(errors)) == index


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
@pytest.mark.parametrize("view", ["FISH", "PANO"])
def test_all_clips_of_a_view_can_be_joined(spec: CameraSpec, tmp_path: Path, codec: str, view: str) -> None:
    all_day = replace(spec, root=tmp_path, codec=codec, start_hour=0, hours=24, every=timedelta(hours=1), other=False)
    simulate(all_day)
    clips = sorted((tmp_path / view).rglob("*.mp4"))
    assert len(clips) == 24
    assert {video(path)[0] for path in clips} == {codec}
    (extradata,) = {video(path)[1] for path in clips}
    assert extradata


def test_mpeg4_clips_decode_like_h264_clips(spec: CameraSpec, tmp_path: Path) -> None:
    other_codec = replace(spec, root=tmp_path, codec="mpeg4")
    simulate(other_codec)
    assert video(clip_names(other_codec)[0])[0] == "mpeg4"
    assert decode(clip_names(other_codec)[0]) == [(*FISH_SIZE, "yuv420p")] * 3


@pytest.mark.usefixtures("regular")
def test_modification_times_follow_the_image_times_by_the_delay_of_the_camera(spec: CameraSpec) -> None:
    nanoseconds = set()
    for path in spec.root.rglob("*_20260305_*"):
        image_time = datetime.strptime("".join(path.stem.split("_")[1:3]), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        delay = timedelta(seconds=2) if path.suffix == ".jpg" else timedelta(hours=1, seconds=20)
        seconds, fraction = divmod(path.stat().st_mtime_ns, 1_000_000_000)
        assert datetime.fromtimestamp(seconds, UTC) == image_time + delay
        nanoseconds.add(fraction)
    assert len(nanoseconds) > 40


def test_hours_after_midnight_go_to_the_next_day(spec: CameraSpec, tmp_path: Path) -> None:
    simulate(replace(spec, root=tmp_path, start_hour=23, every=timedelta(minutes=25), other=False))
    names = sorted(path.name for path in (tmp_path / "FISH").rglob("HDR_*.jpg"))
    assert names == [f"HDR_{time}.jpg" for time in (
        "20260305_230000", "20260305_232500", "20260305_235000", "20260306_001500", "20260306_004000"
    )]  # fmt: skip
    assert (tmp_path / "FISH/20260306/HDR_20260306_000000.mp4").is_file()


def test_an_hour_without_images_has_no_clip(spec: CameraSpec, tmp_path: Path) -> None:
    report = simulate(replace(spec, root=tmp_path, hours=3, every=timedelta(hours=2), other=False))
    assert (report.images, report.clips, report.files) == (4, 4, 8)
    assert not (tmp_path / "FISH/20260305/HDR_20260305_110000.mp4").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("hours", 0), ("every", timedelta()), ("start_hour", 24), ("scale", 0.0), ("codec", "vp9"), ("seed", -1)],
)
def test_a_wrong_value_is_refused_by_name(spec: CameraSpec, field: str, value: Any) -> None:
    with pytest.raises(SpecError, match=field):
        replace(spec, **{field: value})


@pytest.mark.usefixtures("regular")
def test_faults_leave_the_regular_files_alone(spec: CameraSpec, faulty: tuple[CameraSpec, Report]) -> None:
    damaged, report = faulty
    added = {path for paths in report.faults.values() for path in paths}
    after = tree(damaged.root)
    assert {path: entry for path, entry in after.items() if path not in added} == tree(spec.root)
    assert {path for path in added if (damaged.root / path).is_symlink() or not (damaged.root / path).is_dir()} <= set(
        after
    )
    assert list(report.faults) == list(FAULTS)


def test_no_two_images_share_a_time(faulty: tuple[CameraSpec, Report]) -> None:
    names = [path.name for path in (faulty[0].root / "FISH").rglob("*HDR_*") if path.suffix.lower() == ".jpg"]
    times = [name.partition("HDR_")[2][:15] for name in names]
    assert len(times) == len(set(times))


def test_a_truncated_jpeg_opens_and_does_not_load(fault: Callable[[str], Path]) -> None:
    with Image.open(fault("truncated-jpeg")) as image:
        assert image.size == FISH_SIZE
        with pytest.raises(OSError, match="truncated"):
            image.load()


def test_an_empty_file_has_no_bytes(fault: Callable[[str], Path]) -> None:
    assert fault("empty-file").stat().st_size == 0
    with pytest.raises(UnidentifiedImageError):
        Image.open(fault("empty-file"))


def test_an_odd_size_jpeg_is_valid_and_has_another_size(fault: Callable[[str], Path]) -> None:
    with Image.open(fault("odd-size-jpeg")) as image:
        image.load()
        assert image.size not in (FISH_SIZE, PANO_SIZE)


def test_a_clip_without_moov_cannot_be_opened(fault: Callable[[str], Path]) -> None:
    content = fault("no-moov").read_bytes()
    assert content[4:8] == b"ftyp"
    assert b"mdat" in content
    with pytest.raises(av.error.FFmpegError):
        decode(fault("no-moov"))


@pytest.mark.usefixtures("regular")
def test_an_odd_codec_clip_is_valid_and_in_the_other_codec(
    spec: CameraSpec, fault: Callable[[str], Path], tmp_path: Path
) -> None:
    assert video(fault("odd-codec-clip"))[0] == "mpeg4"
    assert decode(fault("odd-codec-clip")) == [(*FISH_SIZE, "yuv420p")] * 3
    reverse = simulate(replace(spec, root=tmp_path, codec="mpeg4"), ["odd-codec-clip"])
    assert video(tmp_path / reverse.faults["odd-codec-clip"][0]) == video(clip_names(spec)[0])


def test_an_odd_size_clip_is_valid_h264_of_another_size(fault: Callable[[str], Path]) -> None:
    assert video(fault("odd-size-clip"))[0] == "h264"
    assert decode(fault("odd-size-clip"))[0][:2] != FISH_SIZE


def test_a_file_in_flight_is_incomplete_and_modified_now(fault: Callable[[str], Path]) -> None:
    assert fault("in-flight").stat().st_mtime_ns == int(NOW.timestamp()) * 10**9 + 250_000_000
    with Image.open(fault("in-flight")) as image, pytest.raises(OSError, match="truncated"):
        image.load()


def test_a_late_file_is_valid_and_its_mtime_is_30_days_before(fault: Callable[[str], Path]) -> None:
    path = fault("late")
    image_time = datetime.strptime(path.stem, "HDR_%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    assert int(path.stat().st_mtime) == int((image_time - timedelta(days=30)).timestamp())
    with Image.open(path) as image:
        image.load()


def test_odd_names_are_odd_and_their_images_valid(faulty: tuple[CameraSpec, Report]) -> None:
    paths = faulty[1].faults["odd-names"]
    blank, newline, letter, dash, directory = paths
    assert " copy 1.jpg" in blank
    assert "\n" in newline
    assert not letter.isascii()
    assert Path(dash).name.startswith("-HDR_")
    assert directory.startswith("FISH/20260305/-12/HDR_20260305_10")
    for path in paths:
        with Image.open(faulty[0].root / path) as image:
            image.load()
            assert image.size == FISH_SIZE


def test_symlinks_point_outside_the_tree(faulty: tuple[CameraSpec, Report]) -> None:
    file, directory = (faulty[0].root / path for path in faulty[1].faults["symlink-out"])
    assert (os.readlink(file), os.readlink(directory)) == ("/etc/hostname", "/etc")
    assert file.name.startswith("HDR_20260305_10")
    assert directory.name == "elsewhere"


def test_the_other_faults_match_their_names(fault: Callable[[str], Path]) -> None:
    assert fault("upper-case").suffix == ".JPG"
    assert fault("future-date").relative_to(fault("upper-case").parent).name.startswith("HDR_2031")
    assert stat.S_ISDIR(fault("directory-as-file").stat().st_mode)
    for name in ("upper-case", "future-date"):
        with Image.open(fault(name)) as image:
            image.load()


def test_faults_may_be_made_twice_in_the_same_tree(spec: CameraSpec, tmp_path: Path) -> None:
    again = replace(spec, root=tmp_path, hours=1, other=False)
    assert simulate(again, ["all"], now=NOW) == simulate(again, ["all"], now=NOW)


def test_a_fault_moves_to_the_next_second_when_a_regular_image_has_its_time(spec: CameraSpec, tmp_path: Path) -> None:
    busy = replace(spec, root=tmp_path, hours=1, every=timedelta(seconds=71), other=False)  # 10:01:11 is regular
    report = simulate(busy, ["truncated-jpeg"])
    assert (tmp_path / "FISH/20260305/10/HDR_20260305_100111.jpg").is_file()
    assert report.faults == {"truncated-jpeg": ["FISH/20260305/10/HDR_20260305_100112.jpg"]}


def test_an_unknown_fault_ends_the_run_before_anything_is_written(spec: CameraSpec, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no such fault: gremlin; choose from all, truncated-jpeg"):
        simulate(replace(spec, root=tmp_path), ["gremlin"])
    assert not list(tmp_path.iterdir())


def test_the_command_line_writes_a_tree_and_prints_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aurora_simulator", "camera", "--root", str(tmp_path), "--day", "2026-03-05"]
    command += ["--hours", "1", "--every", "30m", "--start-hour", "10", "--scale", "0.05", "--no-other"]
    command += ["--faults", "late,empty-file", "--faults", "no-moov"]
    result = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    assert len(files) == 9
    assert result.stdout.startswith(
        f"9 files (4 images, 2 clips, 0 single exposures, 3 faulty (kinds of fault: 3)), {size} bytes"
    )
    assert result.stdout.endswith(" s\n")
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_images_every_second_leave_no_time_for_faults(spec: CameraSpec, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="every must be 2 s or more"):
        simulate(replace(spec, root=tmp_path, every=timedelta(seconds=1)), ["late"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--every", "5 minutes", "write 30s, 5m or 1h"),
        ("--day", "yesterday", "write YYYY-MM-DD"),
        ("--faults", "gremlin", "no such fault: gremlin"),
        ("--scale", "0", "scale must be above 0"),
    ],
)
def test_the_command_line_names_the_wrong_option_value(tmp_path: Path, option: str, value: str, message: str) -> None:
    options = {"--root": str(tmp_path), "--day": "2026-03-05", "--hours": "1"} | {option: value}
    result = CliRunner().invoke(simulator, ["camera", *(part for pair in options.items() for part in pair)])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_the_help_lists_every_fault() -> None:
    output = CliRunner().invoke(simulator, ["camera", "--help"]).output
    assert all(name in output for name in FAULTS)
