"""`aurora demo` creates a demo site in its own directory, and prints the commands to type next."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aurora_cli.main import main
from aurora_platform.config.package_files import DAGSTER_YAML, demo_site_text
from aurora_platform.config.site import DEFAULT_SITE, load_site
from tests.aurora_cli.parts import run_aurora, stat_trees

SMALL = ("--hours", "1", "--every", "30m", "--scale", "0.05")


def run_demo(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


def test_the_demo_has_the_checkouts_demo_site_with_every_path_below_its_directory(tmp_path: Path) -> None:
    directory = tmp_path / "demo(1)"
    result = run_demo(directory, *SMALL)
    assert result.exit_code == 0, result.output
    site, checkout = load_site(directory / "site.yaml"), load_site(DEFAULT_SITE)
    assert site.streams["wxcam"].path == str(directory / "camera")
    assert all(path.parent == directory for path in site.paths.model_dump().values())
    stream = {"path": checkout.streams["wxcam"].path}
    assert site.streams["wxcam"].model_copy(update=stream) == checkout.streams["wxcam"]
    assert site.archive is not None
    assert {site.archive.raw, site.archive.products} == {f"{directory}/archive/{name}" for name in ("raw", "products")}
    same = {"paths": checkout.paths, "streams": checkout.streams, "archive": checkout.archive}
    assert site.model_copy(update=same) == checkout
    assert (directory / "dagster" / "dagster.yaml").read_bytes() == DAGSTER_YAML.read_bytes()
    assert {path.name for path in directory.iterdir()} == {"site.yaml", "dagster", "camera", "archive"}
    assert "4 images, 2 clips" in result.stdout


def test_the_printed_commands_copy_the_files(tmp_path: Path) -> None:
    lines = run_demo(tmp_path / "demo(1)", *SMALL).stdout.splitlines()
    prefixes = ("    export", "    aurora sync")
    export, sync = (shlex.split(line, comments=True) for line in lines if line.startswith(prefixes))
    settings = dict(part.split("=", 1) for part in export[1:])
    assert (Path(settings["DAGSTER_HOME"]) / "dagster.yaml").is_file()
    result = run_aurora(Path(settings["AURORA_SITE"]), *sync[1:])
    assert "seen 6 = copied 6" in result.stdout, result.output


def test_a_dry_run_shows_what_would_be_written_and_writes_nothing(tmp_path: Path) -> None:
    result = run_demo(tmp_path / "demo", *SMALL, "--dry-run")
    assert result.exit_code == 0
    assert "site.yaml and dagster/dagster.yaml" in result.stdout
    assert "2 images and 1 clip of each of two views, one image every 30m" in result.stdout
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("name", ["holiday.jpg", "site.yaml"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_directory_with_other_files_is_not_changed(tmp_path: Path, name: str, dry: tuple[str, ...]) -> None:
    (tmp_path / name).write_text("name: mine\n")
    before = stat_trees(tmp_path)
    result = run_demo(tmp_path, *SMALL, *dry)
    assert result.exit_code == 1
    assert result.output == f"Error: {tmp_path} is not empty and is not a demo: name an empty or a new directory\n"
    assert stat_trees(tmp_path) == before


def test_an_existing_demo_keeps_its_settings_and_gets_another_day_of_the_camera(tmp_path: Path) -> None:
    run_demo(tmp_path, *SMALL)
    site = tmp_path / "site.yaml"
    # However the file was edited, the camera writes below the demo's directory alone.
    site.write_text(site.read_text().replace("path: camera", f"path: {tmp_path.parent}/real"))
    edited = site.read_text()
    assert run_demo(tmp_path, *SMALL, "--day", "2026-08-19").exit_code == 0
    assert site.read_text() == edited
    assert {path.name for path in (tmp_path / "camera" / "FISH").iterdir()} == {"20260818", "20260819"}
    assert not (tmp_path.parent / "real").exists()


def test_a_demo_of_an_earlier_version_keeps_its_site_file_without_an_archive(tmp_path: Path) -> None:
    text = demo_site_text()
    (tmp_path / "site.yaml").write_text(text[: text.index("archive:")])
    output = run_demo(tmp_path, *SMALL).stdout
    assert "push_wxcam" not in output
    assert not (tmp_path / "archive").exists()


def test_a_demo_that_was_interrupted_is_written_again(tmp_path: Path) -> None:
    (tmp_path / ".site.yaml").write_text("# Made")
    assert run_demo(tmp_path, *SMALL).exit_code == 0
    assert (tmp_path / "site.yaml").read_text() == demo_site_text()
    assert not (tmp_path / ".site.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--day", "2026-01-11"], "--day 2026-01-11 is before the first day of the demo's camera (2026-01-12)"),
        (["--day", "yesterday"], "'yesterday' does not match the format"),
        (["--every", "15"], "'15': a duration is a whole number and a unit"),
        (["--every", "0s"], "every must be whole seconds, 1 or more"),
        (["--scale", "0"], "scale must be above 0"),
        (["--hours", "0"], "not in the range x>=1"),
    ],
)
def test_an_impossible_value_is_a_usage_error_before_anything_is_written(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run_demo(tmp_path / "demo", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "demo").exists()


def test_a_directory_name_that_a_site_file_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    result = run_demo(tmp_path / "a demo", *SMALL)
    assert result.exit_code == 1
    assert "no white space" in result.output
    assert [*tmp_path.iterdir()] == []


def test_a_directory_that_cannot_be_written_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run_demo(tmp_path / "file" / "demo", *SMALL)
    assert result.exit_code == 1
    assert "Not a directory" in result.output
    assert len(result.output.splitlines()) == 1
