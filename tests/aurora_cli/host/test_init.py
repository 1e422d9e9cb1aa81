"""`aurora init` makes a site file of answers and of what it sees on a real host, and asks again where that fails."""

from __future__ import annotations

import re
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from aurora_cli.main import main
from aurora_platform.config.site import load_site
from aurora_simulator.ssh_server import SshServer
from tests.aurora_cli.parts import FILES, FIRST, SECOND, Observatory, closed_port, run_aurora_process, stat_trees
from tests.site_files import read_yaml


def init(*arguments: object, answers: tuple[object, ...] = ()) -> Result:
    """The command in this process; with ``answers`` as somebody types them, one a line."""
    asked = ["--ask"] if answers else []
    lines = "".join(f"{answer}\n" for answer in answers)
    return CliRunner().invoke(main, ["init", *asked, *map(str, arguments)], input=lines)


def printed(result: Result) -> str:
    """The site file that a dry run prints."""
    return result.stdout[result.stdout.index("# trial:") :]


def login(server: SshServer) -> list[object]:
    """Options for a host."""
    return ["--host", f"{server.address}:{server.port}", "--user", server.user, "--auth", server.identity or "none"]


def options(observatory: Observatory, data: Path, stream: str, directory: str) -> list[object]:
    of_host = login(observatory.ass)
    return [
        "--name",
        "trial",
        "--data",
        data,
        "--instrument",
        stream,
        *of_host,
        "--path",
        observatory.source / directory,
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trial.yaml"


def test_with_options_a_site_file_is_written_audited_and_followed_by_three_commands(
    observatory: Observatory, tmp_path: Path, file: Path
) -> None:
    before = stat_trees(observatory.source)
    result = init(file, "--yes", "--contact", "team:sky", *options(observatory, tmp_path / "data", "cl61", "cl61"))
    site = load_site(file)
    assert (site.name, site.contact, site.streams["cl61"].start) == ("trial", "team:sky", FIRST)
    assert site.paths.raw == tmp_path / "data" / "raw"
    assert f"include {site.streams['cl61'].include[0]}" in result.stdout
    assert str(2 * FILES["cl61"]) in result.stdout, "so many files are taken"
    assert re.search(r"source cl61 +ok ", result.stdout), "the audit has seen the directory"
    commands = [line for line in result.stdout.splitlines() if line.startswith("    ")][-3:]
    assert [word in line for word, line in zip(("AURORA_SITE=", "sync cl61 --dry-run", " ui"), commands, strict=True)]
    failures = re.findall(r"(\d+) FAIL", result.stdout)
    assert result.exit_code == (0 if failures == ["0"] else 1)
    assert stat_trees(observatory.source) == before, "the host was only listed"
    assert [path.name for path in tmp_path.iterdir()] == ["trial.yaml"], "no host key is kept"


def test_what_was_written_mirrors_every_file_of_a_day(observatory: Observatory, tmp_path: Path, file: Path) -> None:
    init(file, "--yes", *options(observatory, tmp_path / "data", "radar", "rpgfmcw94"))
    done = CliRunner().invoke(main, ["--site", str(file), "sync", "radar", "--day", str(SECOND)])
    assert done.exit_code == 0, done.output
    copied = [path for path in (tmp_path / "data" / "raw" / "radar").rglob("*") if path.is_file()]
    assert len(copied) == FILES["radar"]


def test_questions_are_answered_on_a_terminal_and_rules_can_be_edited(
    observatory: Observatory, tmp_path: Path, file: Path
) -> None:
    ass = observatory.ass
    sci, keep = 2, ""
    result = init(
        *(file, "--dry-run"),
        answers=(
            *("Not A Name", "trial", "", tmp_path / "data", "asfs_logger"),
            *(f"{ass.address}:{ass.port}", ass.user, ass.identity, observatory.source / "asfs/raw/crd"),
            *(sci, "n", keep, keep, keep, keep, keep, "10m", keep, "-", "y"),
        ),
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert "'Not A Name': must be lower-case letters, digits and _" in result.stderr
    assert "GB free" in result.stdout
    file.write_text(printed(result))
    stream = load_site(file).streams["asfs_logger"]
    assert stream.include == ("aurora_asfs_data_sci_*.dat",)
    assert (stream.settle.total_seconds(), stream.every) == (600, None)


def test_a_dead_host_and_a_wrong_path_are_said_and_asked_again(
    observatory: Observatory, tmp_path: Path, file: Path
) -> None:
    ass, port = observatory.ass, closed_port()
    (observatory.source / "empty").mkdir(exist_ok=True)
    result = init(
        *(file, "--dry-run"),
        *("--name", "trial", "--contact", "team:sky", "--data", tmp_path / "data", "--instrument", "power"),
        answers=(
            *(f"127.0.0.9:{port}", ass.user, ass.identity, f"{ass.address}:{ass.port}", ass.user, ass.identity),
            *(
                observatory.source / "nowhere",
                observatory.source / "empty",
                "relative",
                observatory.source / "power/level1",
                "y",
            ),
        ),
    )
    assert f"127.0.0.9:{port}" in result.stderr
    assert f"{observatory.source / 'nowhere'} does not exist" in result.stderr
    assert "the directory has no files" in result.stderr
    assert "an absolute path" in result.stderr
    file.write_text(printed(result))
    assert load_site(file).streams["power"].include == ("power_data_*.csv",)


def test_with_options_a_dead_host_or_a_wrong_path_ends_with_1_and_nothing_is_written(
    observatory: Observatory, tmp_path: Path, file: Path
) -> None:
    good = options(observatory, tmp_path / "data", "power", "power/level1")
    dead = init(file, "--yes", *good, "--host", f"127.0.0.9:{closed_port()}")
    assert (dead.exit_code, "127.0.0.9" in dead.stderr) == (1, True)
    missing = init(file, "--yes", *good, "--path", "/nowhere")
    assert (missing.exit_code, "/nowhere does not exist" in missing.stderr) == (1, True)
    camera = init(file, "--yes", *good, "--instrument", "wxcam")
    assert (camera.exit_code, "HDR_20260818_120000.jpg" in camera.stderr) == (1, True)
    two = init(file, "--yes", *options(observatory, tmp_path / "data", "asfs_logger", "asfs/raw/crd"))
    assert (two.exit_code, "name those of asfs_logger with --include" in two.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_prints_the_file_and_writes_nothing(observatory: Observatory, tmp_path: Path, file: Path) -> None:
    result = init(file, "--yes", "--dry-run", *options(observatory, tmp_path / "data", "power", "power/level1"))
    assert (result.exit_code, list(tmp_path.iterdir())) == (0, [])
    file.write_text(printed(result))
    assert list(load_site(file).streams) == ["power"]


def test_a_file_that_exists_is_never_overwritten(observatory: Observatory, tmp_path: Path, file: Path) -> None:
    file.write_text("mine")
    result = init(file, "--yes", *options(observatory, tmp_path / "data", "power", "power/level1"))
    assert (result.exit_code, file.read_text()) == (1, "mine")
    assert "is not overwritten" in result.stderr
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "elsewhere")
    assert init(tmp_path / "dangling.yaml", "--yes").exit_code == 1


def test_without_a_terminal_and_without_yes_every_missing_option_is_named(file: Path) -> None:
    done = run_aurora_process(file, "init", str(file), "--name", "trial", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert re.findall(r"^  (--\w+)", done.stderr, re.MULTILINE) == ["--data", "--instrument", "--host", "--path"]


def test_options_come_before_what_is_proposed(observatory: Observatory, tmp_path: Path, file: Path) -> None:
    given = ["--include", "aurora_asfs_data_sci_*.dat", "--settle", "7m", "--start", "2026-01-02", "--no-append"]
    good = options(observatory, tmp_path / "data", "asfs_logger", "asfs/raw/crd")
    file.write_text(printed(init("--dry-run", "--yes", *good, *given)))
    stream = load_site(file).streams["asfs_logger"]
    assert (stream.include, stream.append) == (("aurora_asfs_data_sci_*.dat",), False)
    assert (stream.settle.total_seconds(), str(stream.start)) == (420, "2026-01-02")
    assert stream.day_of("aurora_asfs_data_sci_202603051200.dat", 0) == datetime(2026, 3, 5, tzinfo=UTC).date()


def test_where_a_day_can_be_read_in_several_ways_the_operator_chooses(tmp_path: Path, file: Path) -> None:
    (tmp_path / "files").mkdir()
    for name in ("a_100311.dat", "a_110310.dat"):
        (tmp_path / "files" / name).touch()
    given = [file, "--dry-run", "--name", "trial", "--data", tmp_path / "d", "--instrument", "any", "--host", "here"]
    given += ["--path", tmp_path / "files"]
    refused = init(*given, "--yes")
    assert refused.exit_code == 1
    offered = re.findall(r"^  --day (.*?)   \(", refused.stderr, re.MULTILINE)
    assert len(offered) > 1
    [second] = shlex.split(offered[1])
    for chosen in (init(*given, "--yes", "--day", second), init(*given, answers=("", "2", "y"))):
        file.write_text(printed(chosen))
        assert load_site(file).streams["any"].day == second


def test_a_wrong_value_is_said_and_asked_for_again(tmp_path: Path, file: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a_20260305.dat").touch()
    given = [file, "--dry-run", "--name", "trial", "--contact", "team:sky", "--data", tmp_path / "d"]
    given += ["--instrument", "any", "--host", "here", "--path", tmp_path / "files"]
    keep = ("",) * 3
    wrong = ("n", "[a_*.dat, a_*.txt]", "([", *keep, "5 minutes", *keep[:2])
    right = (*keep[:1], "a_(?P<Y>....)(?P<m>..)(?P<d>..)", *keep, "6m", *keep[:2], "y")
    result = init(*given, answers=(*wrong, *right))
    assert "streams.any.day: must be a regular expression" in result.stderr
    assert "streams.any.settle: " in result.stderr
    file.write_text(printed(result))
    stream = load_site(file).streams["any"]
    assert (stream.include, stream.settle.total_seconds()) == (("a_*.dat", "a_*.txt"), 360)


def test_the_camera_of_this_machine_has_the_rules_of_wxcam(tmp_path: Path, file: Path) -> None:
    images = tmp_path / "camera" / f"FISH/{FIRST:%Y%m%d}/12"
    images.mkdir(parents=True)
    (images / f"HDR_{FIRST:%Y%m%d}_120000.jpg").write_bytes(b"a jpeg")
    init(file, "--yes", "--name", "trial", "--data", tmp_path / "d", "--camera", "--path", tmp_path / "camera")
    stream = load_site(file).streams["wxcam"]
    assert (stream.start, stream.day_dirs) == (FIRST, ("FISH/%Y%m%d", "PANO/%Y%m%d"))


def test_a_stream_is_added_to_a_site_file_whose_comments_and_lines_stay(
    observatory: Observatory, tmp_path: Path
) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["streams"].pop("cl61"))
    file.write_text(f"# a comment\n{file.read_text()}# and the last one\n")
    before, old = file.read_text(), load_site(file)
    more = ["--instrument", "cl61", *login(observatory.ass), "--path", observatory.source / "cl61"]
    assert init("--add-to", file, "--dry-run", "--yes", *more).exit_code == 0
    assert file.read_text() == before
    result = init("--add-to", file, "--yes", *more)
    assert result.exit_code == 0, result.output
    after = iter(file.read_text().splitlines())
    assert all(line in after for line in before.splitlines()), "each in its place"
    site = load_site(file)
    assert list(site.streams) == [*old.streams, "cl61"]
    assert (site.hosts, site.streams["cl61"].host) == (old.hosts, "ass"), "the host is there already"
    again = init("--add-to", file, "--yes", *more)
    assert (again.exit_code, "has a stream cl61 already" in again.stderr) == (1, True)


def test_where_a_file_cannot_be_edited_safely_the_block_is_printed(observatory: Observatory, tmp_path: Path) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["streams"].pop("cl61"))
    data = read_yaml(file)
    file.write_text(yaml.safe_dump(data, default_flow_style=True))
    before = file.read_text()
    more = ["--instrument", "cl61", *login(observatory.ass), "--path", observatory.source / "cl61"]
    result = init("--add-to", file, "--yes", *more)
    assert "append each to the section" in result.stdout
    assert "  cl61:\n" in result.stdout
    assert file.read_text() == before


def test_the_data_of_a_new_site_are_by_default_in_the_home_directory_and_not_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "power_data_20260305.csv").write_text("1")
    given = ["--name", "trial", "--instrument", "power", "--host", "here", "--path", tmp_path / "files"]
    shown = init(tmp_path / "trial.yaml", "--yes", "--dry-run", *given)
    assert f"raw: {tmp_path}/aurora/trial/raw" in shown.stdout
