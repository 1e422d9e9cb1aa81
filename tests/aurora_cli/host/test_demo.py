"""`aurora demo` writes a site to try, in a directory that is its own, and says what to type next."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aurora_cli.main import main
from aurora_platform.config.package_files import DAGSTER_YAML, demo_site_text
from aurora_platform.config.site import DEFAULT_SITE, load_site
from tests.aurora_cli.parts import aurora, everything

SMALL = ("--hours", "1", "--every", "30m", "--scale", "0.05")


def demo(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


def test_the_demo_is_the_checkouts_own_site_with_everything_below_its_directory(tmp_path: Path) -> None:
    place = tmp_path / "demo(1)"
    result = demo(place, *SMALL)
    assert result.exit_code == 0, result.output
    site, ours = load_site(place / "site.yaml"), load_site(DEFAULT_SITE)
    assert site.streams["wxcam"].path == str(place / "camera")
    assert all(path.parent == place for path in site.paths.model_dump().values())
    stream = {"path": ours.streams["wxcam"].path}
    assert site.streams["wxcam"].model_copy(update=stream) == ours.streams["wxcam"]
    assert site.model_copy(update={"paths": ours.paths, "streams": ours.streams}) == ours
    assert (place / "dagster" / "dagster.yaml").read_bytes() == DAGSTER_YAML.read_bytes()
    assert {path.name for path in place.iterdir()} == {"site.yaml", "dagster", "camera"}
    assert "4 images, 2 clips" in result.stdout


def test_what_to_type_next_brings_the_files(tmp_path: Path) -> None:
    lines = demo(tmp_path / "demo(1)", *SMALL).stdout.splitlines()
    said = ("    export", "    aurora sync")
    export, sync = (shlex.split(line, comments=True) for line in lines if line.startswith(said))
    settings = dict(part.split("=", 1) for part in export[1:])
    assert (Path(settings["DAGSTER_HOME"]) / "dagster.yaml").is_file()
    result = aurora(Path(settings["AURORA_SITE"]), *sync[1:])
    assert "seen 6 = copied 6" in result.stdout, result.output


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(tmp_path: Path) -> None:
    result = demo(tmp_path / "demo", *SMALL, "--dry-run")
    assert result.exit_code == 0
    assert "site.yaml and dagster/dagster.yaml" in result.stdout
    assert "2 images and 1 clip of each of two views, one image every 30m" in result.stdout
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("name", ["holiday.jpg", "site.yaml"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_directory_with_anything_else_in_it_is_left_alone(tmp_path: Path, name: str, dry: tuple[str, ...]) -> None:
    (tmp_path / name).write_text("name: mine\n")
    before = everything(tmp_path)
    result = demo(tmp_path, *SMALL, *dry)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {tmp_path} is not empty, and no demo: name an empty directory, or one to be made\n"
    )
    assert everything(tmp_path) == before


def test_a_demo_that_is_there_keeps_its_settings_and_gets_more_of_the_camera(tmp_path: Path) -> None:
    demo(tmp_path, *SMALL)
    site = tmp_path / "site.yaml"
    # However it was edited: the camera writes below the demo's directory, and nowhere else.
    site.write_text(site.read_text().replace("path: camera", f"path: {tmp_path.parent}/real"))
    edited = site.read_text()
    assert demo(tmp_path, *SMALL, "--day", "2026-08-19").exit_code == 0
    assert site.read_text() == edited
    assert {path.name for path in (tmp_path / "camera" / "FISH").iterdir()} == {"20260818", "20260819"}
    assert not (tmp_path.parent / "real").exists()


def test_a_demo_whose_writing_was_interrupted_is_written_again(tmp_path: Path) -> None:
    (tmp_path / ".site.yaml").write_text("# Made")
    assert demo(tmp_path, *SMALL).exit_code == 0
    assert (tmp_path / "site.yaml").read_text() == demo_site_text()
    assert not (tmp_path / ".site.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--day", "2026-01-11"], "--day 2026-01-11 is before the demo's camera begins (2026-01-12)"),
        (["--day", "yesterday"], "'yesterday' does not match the format"),
        (["--every", "15"], "'15': a duration is a whole number and a unit"),
        (["--every", "0s"], "every must be whole seconds, 1 or more"),
        (["--scale", "0"], "scale must be above 0"),
        (["--hours", "0"], "not in the range x>=1"),
    ],
)
def test_a_value_that_no_camera_has_is_a_usage_error_before_anything_is_written(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = demo(tmp_path / "demo", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert not (tmp_path / "demo").exists()


def test_a_directory_whose_name_no_site_file_may_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    result = demo(tmp_path / "a demo", *SMALL)
    assert result.exit_code == 1
    assert "no white space" in result.output
    assert [*tmp_path.iterdir()] == []


def test_a_place_where_nothing_may_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = demo(tmp_path / "file" / "demo", *SMALL)
    assert result.exit_code == 1
    assert "Not a directory" in result.output
    assert len(result.output.splitlines()) == 1
