"""``aurora status`` says how new the newest data is, there and here, and what it could not see."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.parts import (
    CONNECT,
    FILES,
    FIRST,
    Observatory,
    aurora,
    dead_port,
    deaf,
    elsewhere,
    everything,
    streams,
)


def newest(root: Path, pattern: str) -> str:
    """The mtime of the newest file by its name, as ISO 8601 to the second."""
    at = max(path.stat().st_mtime for path in root.rglob(pattern))
    return datetime.fromtimestamp(int(at), UTC).isoformat()


def test_newest_times_and_what_is_missing_before_and_after_a_sync(site_file: Path, observatory: Observatory) -> None:
    before = streams(aurora(site_file, "status", "--json"))
    assert list(before) == list(FILES)
    assert before["cl61"]["newest_there"] == newest(observatory.far / "cl61", "gamb2le_*.nc")
    assert before["cl61"]["newest_here"] is None
    assert (before["cl61"]["state"], before["cl61"]["missing"]) == ("behind", FILES["cl61"])
    assert aurora(site_file, "sync", "all").exit_code == 0
    after = streams(aurora(site_file, "status", "--json"))
    assert {one["missing"] for one in after.values()} == {0}
    assert all(one["newest_here"] == one["newest_there"] for one in after.values())
    assert after["cl61"]["state"] == "stale", "its newest file is two days old"
    age = datetime.now(UTC) - datetime.fromisoformat(after["cl61"]["newest_there"])
    assert abs(after["cl61"]["age_there"] - age / timedelta(seconds=1)) < 30
    assert after["cl61"]["age_here"] == after["cl61"]["age_there"]


def test_two_streams_in_one_directory_have_times_of_their_own(site_file: Path, observatory: Observatory) -> None:
    assert aurora(site_file, "sync", "asfs_logger", "--since", str(FIRST)).exit_code == 0
    found = streams(aurora(site_file, "status", "--json"))
    assert found["asfs_logger"]["newest_here"] == newest(observatory.far / "asfs", "aurora_asfs_data_sci_*.dat")
    assert found["asfs_fast_sonic"]["newest_here"] is None


def test_a_status_writes_nothing(site_file: Path, observatory: Observatory) -> None:
    before = everything(site_file.parent, observatory.far)
    assert aurora(site_file, "status").exit_code == 0
    assert everything(site_file.parent, observatory.far) == before


def test_hosts_that_are_down_are_unknown_with_the_reason_and_the_others_go_on(
    observatory: Observatory, tmp_path: Path
) -> None:
    assert aurora(observatory.write_site(tmp_path), "sync", "cl61").exit_code == 0

    def change(data: dict[str, Any]) -> None:
        data["hosts"]["ass"] = elsewhere(observatory.ass, "127.0.0.3", port)
        data["hosts"]["dead"] = elsewhere(observatory.ass, "127.0.0.9", dead_port())
        data["streams"]["on_dead"] = data["streams"]["power"] | {"host": "dead", "raw": "on_dead"}

    with deaf() as port:
        file = observatory.write_site(tmp_path, change)
        began = time.monotonic()
        result = aurora(file, "status", "--json")
        took = time.monotonic() - began
    found = streams(result)
    assert result.exit_code == 0
    assert {found[name]["state"] for name in FILES if name != "power"} == {"unknown"}
    assert f"127.0.0.3:{port}" in found["cl61"]["why"]
    assert found["cl61"]["newest_here"] == newest(tmp_path / "raw" / "cl61", "*.nc"), (
        "what is here is known all the same"
    )
    assert "127.0.0.9" in found["on_dead"]["why"]
    assert found["power"]["state"] == "behind"
    assert took < 2 * CONNECT + 2, "six streams of a deaf host wait for it once"


def test_a_stream_that_is_off_is_planned_offline_and_not_asked_for(observatory: Observatory, tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["aps"] = elsewhere(observatory.ass, "127.0.0.9", dead_port())
        data["streams"]["power"]["enabled"] = False

    file = observatory.write_site(tmp_path, change)
    assert streams(aurora(file, "status", "--json"))["power"]["state"] == "planned offline"
    assert "planned offline" in aurora(file, "status").stdout


def test_a_directory_here_that_cannot_be_read_is_that_streams_alone(
    site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("raw/cl61"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = streams(aurora(site_file, "status", "--json"))
    assert found["cl61"]["state"] == "unknown"
    assert found["cl61"]["why"] == f"{site_file.parent / 'raw' / 'cl61'}: Permission denied"
    assert found["power"]["state"] == "behind"
