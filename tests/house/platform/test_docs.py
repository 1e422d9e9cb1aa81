"""The documents: their examples run, and their links and names are valid."""

import re
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aurora_platform.cameras.pixels import build_pixels
from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.site import load_site
from aurora_platform.layout import CameraLayout
from aurora_simulator import CameraSpec, simulate

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
DAY = date(2026, 8, 18)


@pytest.fixture
def products(tmp_path: Path) -> Path:
    layout = CameraLayout(tmp_path / "raw" / "wxcam", tmp_path / "products" / "wxcam")
    workspace = CameraWorkspace(layout, tmp_path / "locks")
    simulate(CameraSpec(root=layout.raw, day=DAY, hours=2, every=timedelta(minutes=10), scale=0.1, other=False))
    now = datetime(2026, 8, 20, tzinfo=UTC)
    refresh_day(workspace, DAY, now)
    build_pixels(workspace, "fish_hdr", DAY, now)
    return tmp_path / "products"


def test_the_examples_for_analysts_run_from_top_to_bottom(products: Path) -> None:
    text = (ROOT / "docs" / "analysing.md").read_text()
    names: dict[str, object] = {"products": products}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert len(names["rows"]) == 12  # type: ignore[arg-type]
    assert names["brightness"].sizes == {"time": 12}  # type: ignore[attr-defined]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_images_of_a_document_exist_and_so_do_the_headings_that_they_lead_to(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", document.read_text()):
        if target.startswith("https://"):
            continue
        linked = document.parent / target if target else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors_of(linked), f"{target}#{anchor}"


def anchors_of(document: Path) -> set[str]:
    """The anchors of headings, by the rule of code hosts: lower case, no punctuation, hyphens for blanks."""
    without_code = re.sub(r"^( *)```.*?^\1```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_key_of_the_site_file_is_explained() -> None:
    from aurora_platform.config.archive import Archive, Retention
    from aurora_platform.config.health import Alerts, Endpoint, Health, Smtp
    from aurora_platform.config.hosts import ArchiveDirectory, SshHost
    from aurora_platform.config.limits import Limits
    from aurora_platform.config.live import Live
    from aurora_platform.config.site import Paths, Site
    from aurora_platform.config.streams import Stream

    text = (ROOT / "docs" / "site-file.md").read_text()
    models = (Site, Paths, SshHost, Stream, Limits, Live, Archive, ArchiveDirectory, Retention, Health, Alerts, Smtp)
    for model in (*models, Endpoint):
        for key in model.model_fields:
            assert re.search(rf"\b{key}\b", text), f"{model.__name__}.{key}"


def test_the_code_that_contributors_paste_has_no_line_that_the_linter_refuses() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    blocks = re.findall(r"^( *)```(python|diff)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 20
    for indent, kind, block in blocks:
        for line in block.splitlines():
            code = line.removeprefix(indent)[kind == "diff" :]
            assert len(code) <= 120 or code.startswith(("|", "-")), code  # rows and items of documents have no bound


def test_make_has_the_commands_of_the_readme_and_of_ci() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for command in re.findall(r"^    make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
    assert "    make test " in readme
    ci_commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert ci_commands == ["make lint", "make test", "make soak-short", "make bench-short"]
    for goal in ci_commands:
        assert re.search(rf"^{goal.removeprefix('make ')}:", makefile, re.MULTILINE), goal


def test_a_script_that_is_run_by_its_path_imports_nothing_of_the_checkout_that_is_not_installed() -> None:
    callers = ("Makefile", ".ci/run", ".pre-commit-config.yaml", "README.md", "CONTRIBUTING.md")
    text = "\n".join((ROOT / caller).read_text() for caller in callers)
    by_path = set(re.findall(r"(?:\$\(PY\)|python) (scripts/\w+\.py)", text))
    assert {"scripts/demo.py", "scripts/glossary.py"} <= by_path
    for script in by_path:
        assert not re.search(r"^ *(from|import) (scripts|tests|benchmarks)\b", (ROOT / script).read_text(), re.M), (
            script
        )
    for module in re.findall(r"\$\(PY\) -m (scripts\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


@pytest.mark.parametrize(("goal", "message"), [("setup", "ready. Next: make demo"), ("demo", "")])
def test_make_setup_ends_with_the_next_step(goal: str, message: str) -> None:
    recipe = subprocess.run(["make", "-n", goal], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (last,) = [line for line in recipe.splitlines() if line.startswith("case ")]
    assert subprocess.run(["bash", "-c", last], capture_output=True, text=True, check=True).stdout.startswith(message)


def test_the_readme_names_the_commands_of_aurora_and_the_site_of_all_instruments() -> None:
    readme = (ROOT / "README.md").read_text()
    for text in ("aurora audit", "aurora status", "aurora sync", "python -m aurora_simulator instruments"):
        assert f".venv/bin/{text}" in readme
    assert "sites/instruments.yaml" in readme
    assert (
        readme.index("export AURORA_SITE") < readme.index(".venv/bin/aurora audit") < readme.index("Start the platform")
    )


def test_the_operating_manual_lists_every_schedule_of_a_site() -> None:
    from schedules import all_schedules

    table = (ROOT / "docs" / "operating.md").read_text()
    for schedule in all_schedules(load_site()):
        names = (schedule.name, schedule.name.replace("wxcam", "<stream>"))
        assert any(f"`{name}`" in table for name in names), schedule.name


def test_every_promise_of_the_archive_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "docs" / "promises.md").read_text().splitlines() if line.startswith("| ")]
    named = [re.findall(r"`([a-z_]+/test_[a-z_]+\.py)`", row) for row in rows[2:]]
    assert len(named) > 10
    assert all(named)
    for file in (file for files in named for file in files):
        assert (ROOT / "tests" / "archive" / file).is_file(), file
