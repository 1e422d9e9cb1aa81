"""State of a newer Aurora: every asset, sensor, schedule and command refuses it and writes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterInstance, Definitions, build_schedule_context, build_sensor_context

from aurora_assets.definitions import build
from aurora_cli.main import main
from aurora_platform.config.site import load_site
from aurora_platform.errors import NewerError
from aurora_platform.layout import VERSION
from tests.baseline.golden import write_site

NEWER_MESSAGE = f"layout.json: written by a newer Aurora: version 7; this Aurora supports versions up to {VERSION}."
DAY = (datetime.now(UTC) - timedelta(days=1)).date()
STREAM = "cl61"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a site with all parts configured, and a state directory of a newer Aurora."""
    file = write_site(tmp_path)
    data = yaml.safe_load(file.read_text())
    data["alerts"] = {"to": ["us@example.org"], "sender": "us@example.org", "transport": "file", "file": "mails"}
    data["retention"] = {"raw": {STREAM: "90d"}}
    file.write_text(yaml.safe_dump(data))
    for stream in data["streams"].values():
        (tmp_path / stream["path"]).mkdir(parents=True, exist_ok=True)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/layout.json").write_text('{"layout": 7}')
    return tmp_path


@pytest.fixture
def definitions(home: Path) -> Definitions:
    return build(load_site(home / "site.yaml"))


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp() as instance:
        yield instance


def written(home: Path) -> set[str]:
    """The files below the roots of the site, without the version file."""
    found = (path for root in ("raw", "products", "state", "manifests") for path in (home / root).rglob("*"))
    return {str(path.relative_to(home)) for path in found} - {"state/layout.json"}


def test_no_asset_writes_anything_over_state_of_a_newer_aurora(
    home: Path, definitions: Definitions, instance: DagsterInstance
) -> None:
    graph, job = definitions.resolve_asset_graph(), definitions.resolve_implicit_global_asset_job_def()
    keys = sorted(graph.materializable_asset_keys)
    assert len(keys) >= 30
    for key in keys:
        partitions = graph.get(key).partitions_def
        done = job.execute_in_process(
            instance=instance,
            asset_selection=[key],
            partition_key=partitions.get_last_partition_key() if partitions else None,
            raise_on_error=False,
        )
        [failure] = [event for event in done.all_events if event.is_step_failure]
        assert NEWER_MESSAGE in str(failure.event_specific_data), key.to_user_string()
        assert written(home) == set(), key.to_user_string()


def test_a_sensor_that_records_the_source_state_refuses_it(
    home: Path, definitions: Definitions, instance: DagsterInstance
) -> None:
    repository = definitions.get_repository_def()
    with (
        build_sensor_context(instance, repository_def=repository, resources=definitions.resources) as context,
        pytest.raises(NewerError, match=re.escape(NEWER_MESSAGE)),
    ):
        repository.get_sensor_def(f"arrivals_{STREAM}").evaluate_tick(context)
    assert written(home) == set()


@pytest.mark.parametrize("name", [f"reconcile_{STREAM}", f"push_{STREAM}", "push_wxcam_products", f"verify_{STREAM}"])
def test_a_schedule_that_reads_the_state_refuses_it(
    home: Path, definitions: Definitions, instance: DagsterInstance, name: str
) -> None:
    repository = definitions.get_repository_def()
    with (
        build_schedule_context(
            instance,
            scheduled_execution_time=datetime.now(UTC),
            repository_def=repository,
            resources=definitions.resources,
        ) as context,
        pytest.raises(Exception, match="Error occurred during the evaluation") as caught,
    ):
        repository.get_schedule_def(name).evaluate_tick(context)
    assert NEWER_MESSAGE in str(caught.value.__cause__)
    assert written(home) == set()


@pytest.mark.parametrize(
    "command",
    [
        "health",
        "status",
        f"sync {STREAM}",
        f"sync {STREAM} --dry-run",
        "alert",
        "alert --dry-run",
        "ledger",
        "prune --plan",
        f"repair {STREAM} --day {DAY}",
        f"retire {STREAM}",
        f"retire {STREAM} --apply",
        f"repair {STREAM} --day {DAY} --apply",
        "repair core_products",
        f"accept {STREAM} --day {DAY}",
        f"accept {STREAM} --day {DAY} --lost --apply",
        "accept core_products --lost",
        "drill",
    ],
)
def test_a_command_refuses_it_with_one_line_and_writes_nothing(home: Path, command: str) -> None:
    done = CliRunner().invoke(main, ["--site", str(home / "site.yaml"), *command.split()])
    assert done.exit_code == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert NEWER_MESSAGE in line
    assert written(home) == set()


def test_an_audit_reports_it_in_one_line_and_goes_on(home: Path) -> None:
    lines = audit(home)
    assert (lines["state layout"]["level"], lines["state layout"]["next_step"]) == (
        "FAIL",
        "docs/operating.md, Runbook: newer Aurora",
    )
    assert NEWER_MESSAGE in lines["state layout"]["what"]
    assert lines["python"]["level"] == "ok"
    assert written(home) == set()


@pytest.mark.parametrize(
    ("content", "level", "what"),
    [
        (None, "ok", f"version 0: the first program that writes upgrades it to version {VERSION}"),
        (f'{{"layout": {VERSION}}}', "ok", f"version {VERSION}"),
        ("{", "FAIL", "does not hold the version of this directory"),
    ],
)
def test_an_audit_reports_the_version_of_the_state(home: Path, content: str | None, level: str, what: str) -> None:
    file = home / "state/layout.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    line = audit(home)["state layout"]
    assert line["level"] == level
    assert what in line["what"]
    assert file.exists() is (content is not None), "an audit writes nothing"


def audit(home: Path) -> dict[str, dict[str, str]]:
    done = CliRunner().invoke(main, ["--site", str(home / "site.yaml"), "audit", "--json"])
    return {line["component"]: line for line in json.loads(done.stdout)["findings"]}


def test_read_only_commands_write_no_version_and_the_first_command_that_writes_does(home: Path) -> None:
    file = home / "state/layout.json"
    file.unlink()
    for command in ("status", f"sync {STREAM} --dry-run"):
        assert CliRunner().invoke(main, ["--site", str(home / "site.yaml"), *command.split()]).exit_code == 0
    assert not file.exists()
    done = CliRunner().invoke(main, ["--site", str(home / "site.yaml"), "sync", STREAM])
    assert done.exit_code == 0, done.output
    assert json.loads(file.read_text()) == {"layout": VERSION}
