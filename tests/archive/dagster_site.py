"""A site with an archive behind real hosts, for Dagster and for the command ``aurora``."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from dagster import DagsterInstance, Definitions, ExecuteInProcessResult, build_schedule_context

from aurora_assets.definitions import build
from aurora_cli.main import main
from aurora_platform.config.hosts import ArchiveDirectory, SshHost
from aurora_platform.config.site import Site, load_site
from tests.mirror.parts import DAY
from tests.patience import in_site_file
from tests.site_files import write_site

MET = {
    "host": "here",
    "path": "instrument",
    "raw": "met",
    "include": ["*.csv"],
    "day": r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
    "start": "2026-03-04",
    "revisable": "3650d",
}
FILES = {f"met_20260305_{number}.csv": b"%d\n" % number * 2000 for number in range(5)}


class Platform:
    """A site with an archive, with its Dagster definitions."""

    def __init__(self, home: Path, hosts: tuple[ArchiveDirectory | SshHost, ...], instance: DagsterInstance) -> None:
        self.home, self.instance = home, instance
        (home / "instrument").mkdir()
        if any(isinstance(host, ArchiveDirectory) for host in hosts):
            (home / "gws/raw").mkdir(parents=True, exist_ok=True)  # a missing one is an unmounted disk

        def change(data: dict[str, Any]) -> None:
            data["hosts"]["here"] = {"kind": "local"}
            data["streams"]["met"] = MET
            data["archive"] = {
                "hosts": [host.model_dump(mode="json", exclude_none=True) for host in hosts],
                "raw": str(home / "gws/raw"),
                "products": str(home / "gws/products"),
            }
            data["limits"] = {"connect": in_site_file(5)}

        self.site: Site = load_site(write_site(home, change))
        self.definitions: Definitions = build(self.site)

    def run(
        self, job: str, day: date | None = DAY, ok: bool = True, config: dict | None = None
    ) -> ExecuteInProcessResult:
        done = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=day and str(day),
            run_config=config or {},
            raise_on_error=ok,
        )
        assert done.success == ok
        return done

    def alter_stream(self, **changes: object) -> None:
        """Change the stream ``met``, as by an edit of the site file."""
        streams = self.site.streams
        altered = streams["met"].model_copy(update=changes)
        self.definitions = build(self.site.model_copy(update={"streams": streams | {"met": altered}}))

    def tick(self, name: str) -> Any:
        """Evaluate a schedule now; returns its run requests or its skip message."""
        schedule = self.definitions.resolve_schedule_def(name)
        resources = {key: self.definitions.resources[key] for key in schedule.required_resource_keys}
        with build_schedule_context(
            self.instance,
            scheduled_execution_time=datetime.now(UTC),
            resources=resources,
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            data = schedule.evaluate_tick(context)
        return data.run_requests or data.skip_message

    def aurora(self, *arguments: str, code: int = 0) -> Result:
        """Run the command ``aurora`` on this site; fails where its exit code is not ``code``."""
        done = CliRunner().invoke(main, ["--site", str(self.home / "site.yaml"), *arguments], terminal_width=200)
        assert done.exit_code == code, done.output
        return done


def checks(done: ExecuteInProcessResult) -> dict[str, Any]:
    return {check.check_name: check for check in done.get_asset_check_evaluations()}
