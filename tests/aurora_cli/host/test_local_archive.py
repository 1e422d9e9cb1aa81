"""The commands on a site whose archive is in directories of this machine."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.stores import Records
from aurora_platform.config.site import load_site
from aurora_platform.transport.connections import Connections
from tests.archive.parts import LOG, files_below
from tests.archive.places import DAY, STREAM, Observatory
from tests.aurora_cli.parts import audit_lines, run_aurora, stat_trees
from tests.disks import tmpfs, with_mounts

NAME = "0/met_20260305_000.csv"


class Retiring(Observatory):
    """A site that allows to delete old local copies."""

    def _change(self, data: dict[str, Any]) -> None:
        super()._change(data)
        data["retention"] = {"raw": {STREAM: "30d"}}


@pytest.fixture
def observatory(tmp_path: Path) -> Callable[..., Observatory]:
    """Makes a site with the archive `far` of this machine; takes the keys of its host."""
    return lambda **host: Retiring(tmp_path, archive={"hosts": [{"kind": "local", **host}]})


def aurora(observatory: Observatory, *arguments: str, code: int = 0) -> str:
    result = run_aurora(observatory.home / "site.yaml", *arguments)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def push(observatory: Observatory) -> None:
    site = load_site(observatory.home / "site.yaml")
    assert site.archive is not None
    with Records(site).ledger() as ledger:
        hosts = Connections.of(site).archive_hosts(site.archive, LOG)
        Pushing(site, site.archive, hosts, ledger).raw(STREAM, [DAY])


def archive_lines(observatory: Observatory) -> dict[str, tuple[str, str]]:
    """Level and text of each line of the audit about the archive."""
    lines = audit_lines(run_aurora(observatory.home / "site.yaml", "audit", "--json"))
    return {
        name.removeprefix("archive this machine "): (line["level"], f"{line['what']}; {line['next_step']}")
        for name, line in lines.items()
        if name.startswith("archive ") and not name.endswith(" space")
    }


def test_a_damaged_copy_is_repaired_and_local_copies_are_deleted(observatory: Callable[..., Observatory]) -> None:
    met = observatory(same_disk=True)
    names = met.fill(sides=["source", "local"])
    push(met)
    assert "nothing is wrong" in aurora(met, "repair", STREAM, "--day", str(DAY))
    met.flip("gws", NAME)
    assert "send again" in aurora(met, "repair", STREAM, "--day", str(DAY), code=1)
    assert "repaired 1 of 1 file" in aurora(met, "repair", STREAM, "--day", str(DAY), "--apply")
    assert met.place("gws", NAME).read_bytes() == met.place("local", NAME).read_bytes()
    assert f"deleted {len(names)} files" in aurora(met, "retire", STREAM, "--apply")
    assert not list(met.place("local").rglob("*.csv"))
    assert len(list(met.place("gws").rglob("*.csv"))) == len(names)
    assert f"this machine:{met.home}/far/raw/met/{NAME}" in aurora(met, "explain", str(met.place("local", NAME)))


def test_a_rebuilt_ledger_has_the_files_of_the_archive(observatory: Callable[..., Observatory]) -> None:
    met = observatory(same_disk=True)
    met.fill(sides=["local", "gws"])
    assert "6 local files, 6 of them newly found in the archive" in aurora(met, "ledger", "--rebuild")


def test_retirement_and_repair_refuse_the_disk_of_the_local_copies(observatory: Callable[..., Observatory]) -> None:
    met = observatory(same_disk=True)
    met.fill(sides=["source", "local"])
    push(met)
    aurora(met, "repair", STREAM, "--day", str(DAY))
    met = observatory()
    before = files_below(met.home / "raw"), files_below(met.home / "far")
    assert "is on the same file system as the local copies in" in aurora(met, "retire", STREAM, "--apply", code=1)
    assert "is on the same file system as the local copies in" in aurora(
        met, "repair", STREAM, "--day", str(DAY), code=1
    )
    assert "is on the same file system as the local copies in" in aurora(met, "ledger", "--rebuild", code=1)
    assert (files_below(met.home / "raw"), files_below(met.home / "far")) == before


def test_the_audit_reports_an_archive_on_the_disk_of_the_local_copies(observatory: Callable[..., Observatory]) -> None:
    lines = archive_lines(observatory())
    assert {name: level for name, (level, _) in lines.items()} == dict.fromkeys(
        ("raw", "products", "manifests", "versions"), "FAIL"
    )
    assert "a broken disk would take both; mount the archive's disk" in lines["raw"][1]
    allowed = observatory(same_disk=True)
    before = stat_trees(allowed.home / "far")
    lines = archive_lines(allowed)
    assert {level for level, _ in lines.values()} == {"warn"}
    assert "which same_disk: true allows; use another disk" in lines["products"][1]
    assert stat_trees(allowed.home / "far") == before, "the audit makes no directory"


def test_the_audit_reports_an_archive_that_is_not_mounted(observatory: Callable[..., Observatory]) -> None:
    met = observatory()
    shutil.rmtree(met.home / "far")
    for level, text in archive_lines(met).values():
        assert level == "FAIL"
        assert f"{met.home}/far/raw: no such directory, so the archive's disk may not be mounted; mount it" in text


def test_on_a_disk_of_its_own_every_line_of_the_audit_is_ok(observatory: Callable[..., Observatory]) -> None:
    met = observatory()

    def audit() -> dict[str, tuple[str, str]]:
        (met.home / "far/raw").mkdir()
        return archive_lines(met)

    assert {level for level, _ in with_mounts([tmpfs(met.home / "far", "8m")], audit).values()} == {"ok"}


def test_explain_says_that_a_finalized_file_is_lost_and_not_that_the_archive_has_it(
    observatory: Callable[..., Observatory],
) -> None:
    met = observatory(same_disk=True)
    met.fill(sides=["source", "local"])
    push(met)
    assert "nothing is wrong" in aurora(met, "repair", STREAM, "--day", str(DAY))
    for side in ("source", "local"):
        met.place(side, NAME).unlink()
    aurora(met, "repair", STREAM, "--day", str(DAY), code=1)
    raw = str(met.place("local", NAME))
    assert "MISSING LOCAL: only the archive has it" in aurora(met, "explain", raw, code=1)
    met.place("gws", NAME).unlink()
    aurora(met, "repair", STREAM, "--day", str(DAY), code=1)
    text = aurora(met, "explain", raw, code=1)
    assert "LOST: neither this machine nor the archive has it, and it is on its host no more" in text
    assert f"if there is none: aurora accept {STREAM} --day {DAY} --lost" in text
    assert "not in the archive when it was listed" in text
    assert "the ledger recorded" not in text


def test_explain_says_that_retention_deleted_what_the_archive_has_lost_since(
    observatory: Callable[..., Observatory],
) -> None:
    met = observatory(same_disk=True)
    met.fill(sides=["source", "local"])
    push(met)
    aurora(met, "repair", STREAM, "--day", str(DAY))
    aurora(met, "retire", STREAM, "--apply")
    met.place("gws", NAME).unlink()
    aurora(met, "repair", STREAM, "--day", str(DAY), code=1)
    text = aurora(met, "explain", str(met.place("local", NAME)), code=1)
    assert "the archive does not have it any more, and retention deleted the local copy; only its host has it" in text
