"""The audit reports what would make a first deployment fail, on this machine and on every host, and writes nothing."""

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.site import DEFAULT_SITE, load_site
from aurora_platform.operations import audit_local
from aurora_platform.operations.audit_host import HostAudit
from aurora_platform.operations.audit_result import Level
from aurora_simulator.ssh_server import SshServer, readable_directory
from tests.aurora_cli.parts import (
    FILES,
    Observatory,
    audit_lines,
    closed_port,
    host_settings,
    host_settings_at,
    parse_json,
    run_aurora,
    run_aurora_process,
    silent_hosts,
    stat_trees,
)
from tests.patience import in_site_file, patient
from tests.troubled_hosts import answer_with


class ServerWithPrograms(SshServer):
    """A host whose PATH begins with the directory ``programs``."""

    programs: Path

    def _config(self, port: int) -> str:
        return super()._config(port).replace("SHLVL=5", f"SHLVL=5 PATH={self.programs}")


OLD = ("3.1.0", "v3.2.7", "3.4.3", "3.5.0pre1")
BELOW = (
    "protocol version 31: below 3.5.0, which closed 33 vulnerabilities; the package of a distribution may have the "
    "fixes although its version is lower"
)


def write_script(directory: Path, name: str, text: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{text}\n")
    (directory / name).chmod(0o755)


def level_of_local_rsync() -> str:
    """Return the audit level that this machine's rsync should have, by its version."""
    output = subprocess.run(["rsync", "--version"], capture_output=True, text=True, check=True).stdout
    return "ok" if [int(part) for part in output.split()[2].lstrip("v").split(".")[:2]] >= [3, 5] else "warn"


def test_if_nothing_is_wrong_every_line_is_ok_and_the_exit_code_is_0(site_file: Path) -> None:
    result = run_aurora(site_file, "audit", "--json")
    lines = audit_lines(result)
    for name in ("tool rsync", "host ass rsync", "host aps rsync"):
        assert lines.pop(name)["level"] == level_of_local_rsync(), name
    assert {name: line for name, line in lines.items() if line["level"] != "ok" and not name.endswith(" space")} == {}
    assert {f"source {name}" for name in FILES} < set(lines)
    assert "auth key, login in" in lines["host ass"]["what"]
    # A full disk of this machine may be FAIL.
    assert result.exit_code == 0 or any(line["level"] == "FAIL" for line in lines.values())


def test_a_host_with_auth_none_is_reached(site_file: Path, observatory: Observatory) -> None:
    what = audit_lines(run_aurora(site_file, "audit", "--json"))["host aps"]["what"]
    assert f"{observatory.aps.user}@127.0.0.4:{observatory.aps.port}, auth {observatory.aps.auth}" in what


def test_an_audit_writes_nothing(site_file: Path, observatory: Observatory, dagster_home: Path) -> None:
    before = stat_trees(site_file.parent, observatory.source, dagster_home)
    for _ in range(2):
        assert "new: " in audit_lines(run_aurora(site_file, "audit", "--json"))["host ass host key"]["what"]
    assert stat_trees(site_file.parent, observatory.source, dagster_home) == before


def test_a_host_with_a_stored_key_is_reported_as_known_and_nothing_is_written(
    site_file: Path, observatory: Observatory
) -> None:
    assert run_aurora(site_file, "sync", "power").exit_code == 0
    before = stat_trees(site_file.parent, observatory.source)
    lines = audit_lines(run_aurora(site_file, "audit", "--json"))
    assert "known: ssh-ed25519 SHA256:" in lines["host aps host key"]["what"]
    assert "new: ssh-ed25519 SHA256:" in lines["host ass host key"]["what"]
    assert stat_trees(site_file.parent, observatory.source) == before


def test_a_changed_host_key_fails_and_the_message_names_known_hosts(
    observatory: Observatory, tmp_path: Path, server: SshServer
) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["hosts"].update(ass=host_settings(server)))
    assert run_aurora(file, "sync", "vaisalamet").exit_code == 0
    server.rotate_host_key()
    before = stat_trees(tmp_path / "state")
    result = run_aurora(file, "audit", "--json")
    key = audit_lines(result)["host ass host key"]
    assert result.exit_code == 1
    assert "CHANGED" in key["what"]
    assert str(tmp_path / "state" / "known_hosts") in key["what"]
    assert f"ssh-keygen -f {tmp_path / 'state' / 'known_hosts'} -R '[127.0.0.2]:{server.port}'" in key["next_step"]
    assert stat_trees(tmp_path / "state") == before


def test_a_damaged_line_of_known_hosts_is_reported_and_fails_its_own_host_only(
    site_file: Path, observatory: Observatory
) -> None:
    known_hosts = site_file.parent / "state" / "known_hosts"
    known_hosts.parent.mkdir()
    known_hosts.write_bytes(b"caf\xe9\n[127.0.0.4]:%d ssh-ed25519 AAAA" % observatory.aps.port)
    before = stat_trees(known_hosts.parent)
    lines = audit_lines(run_aurora(site_file, "audit", "--json"))
    file = lines["known_hosts"]
    assert file["level"] == "warn"
    assert f"lines 1, 2 of {known_hosts} cannot be read (it is cut off, its key is cut off or damaged)" in file["what"]
    refused = lines["host aps host key"]
    assert refused["level"] == "FAIL"
    assert f"line 2 of {known_hosts} may belong to [127.0.0.4]:{observatory.aps.port}" in refused["what"]
    assert refused["next_step"].endswith(f"then remove line 2: sed -i '2d' {known_hosts}")
    assert lines["source power"]["level"] == "off", "its host was not reached"
    assert lines["host ass"]["level"] == lines["source cl61"]["level"] == "ok"
    assert lines["host ass host key"]["level"] == "warn", "it is new, or line 1 was its own"
    assert stat_trees(known_hosts.parent) == before


def test_hosts_that_are_down_or_silent_cost_their_bound_once_and_hide_no_other_result(
    observatory: Observatory, tmp_path: Path
) -> None:
    port = closed_port()

    def change(data: dict[str, Any]) -> None:
        for number in range(3):
            data["hosts"][f"silent{number}"] = host_settings_at(observatory.ass, "127.0.0.3", silent.ports[number])
            data["streams"][f"on_silent{number}"] = data["streams"]["cl61"] | {"host": f"silent{number}", "raw": "a"}
        data["hosts"]["dead"] = host_settings_at(observatory.ass, "127.0.0.9", port)
        data["streams"]["on_dead"] = data["streams"]["cl61"] | {"host": "dead", "raw": "b"}

    with silent_hosts(3) as silent:
        result = run_aurora(observatory.write_site(tmp_path, change), "audit", "--json")
    lines = audit_lines(result)
    assert result.exit_code == 1
    assert f"127.0.0.9:{port}: Unable to connect: Connection refused" in lines["host dead"]["what"]
    assert lines["host dead"]["next_step"].startswith(f"try by hand: ssh -p {port} ")
    assert f"127.0.0.3:{silent.port}: the host accepted the connection, then" in lines["host silent0"]["what"]
    assert lines["source on_dead"]["level"] == "off"
    assert "not checked" in lines["source on_dead"]["what"]
    assert [lines[f"host silent{number}"]["level"] for number in range(3)] == ["FAIL"] * 3
    assert lines["host ass"]["level"] == lines["source power"]["level"] == "ok"
    assert (silent.connections, silent.most_at_once) == (3, 3), "three silent hosts are waited for at the same time"


def test_a_refused_login_fails_and_names_the_keys_of_the_site_file_to_check(
    observatory: Observatory, tmp_path: Path, server: SshServer
) -> None:
    wrong = host_settings(server) | {"identity": str(observatory.ass.identity)}
    file = observatory.write_site(tmp_path, lambda data: data["hosts"].update(ass=wrong))
    line = audit_lines(run_aurora(file, "audit", "--json"))["host ass"]
    assert line["level"] == "FAIL"
    assert "compare user, auth and identity in hosts.ass" in line["next_step"]


def test_directories_that_are_missing_unreadable_or_planned_offline(observatory: Observatory, tmp_path: Path) -> None:
    with readable_directory() as parent:

        def change(data: dict[str, Any]) -> None:
            data["streams"]["cl61"]["path"] = "/nowhere/cl61"
            data["streams"]["radar"]["enabled"] = False
            data["streams"]["power"]["path"] = str(parent / "power")

        (parent / "power").mkdir(mode=0o000)
        result = run_aurora(observatory.write_site(tmp_path, change), "audit", "--json")
    lines = audit_lines(result)
    assert lines["source cl61"]["level"] == "FAIL"
    assert lines["source cl61"]["next_step"] == "correct streams.cl61.path"
    assert lines["source radar"]["level"] == "off"
    assert "planned offline" in lines["source radar"]["what"]
    if observatory.aps.auth == "none" or os.geteuid() != 0:
        assert lines["source power"]["what"] == f"not readable: {parent / 'power'}"


def test_a_host_without_an_enabled_stream_is_not_contacted(observatory: Observatory, tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["aps"] = host_settings_at(observatory.ass, "127.0.0.9", closed_port())
        data["streams"]["power"]["enabled"] = False

    lines = audit_lines(run_aurora(observatory.write_site(tmp_path, change), "audit", "--json"))
    assert lines["host aps"]["level"] == "off"


@pytest.mark.parametrize(("ahead", "level"), [("5", "warn"), ("-90", "FAIL"), ("0", "ok")])
def test_the_clock_of_a_host_is_compared_with_the_local_clock(
    observatory: Observatory, tmp_path: Path, ahead: str, level: str
) -> None:
    write_script(tmp_path / "fake", "date", f'exec /bin/date -d "now {ahead} seconds" "$@"')
    file = write_site_with_programs(observatory, tmp_path)
    clock = audit_lines(run_aurora(file, "audit", "--json"))["host ass clock"]
    assert clock["level"] == level, clock


def test_a_host_without_gnu_find_or_rsync_fails(observatory: Observatory, tmp_path: Path) -> None:
    write_script(tmp_path / "fake", "find", 'echo "find: unrecognized: $1" >&2; exit 1')
    write_script(tmp_path / "fake", "rsync", "exit 127")
    lines = audit_lines(run_aurora(write_site_with_programs(observatory, tmp_path), "audit", "--json"))
    assert lines["host ass find"]["level"] == lines["host ass rsync"]["level"] == "FAIL"
    assert lines["source cl61"]["level"] == "ok", "the other checks still run"


@pytest.mark.parametrize(
    ("version", "level", "what"),
    [
        ("rsync  version v3.5.0  protocol version 32", "ok", "rsync  version v3.5.0  protocol version 32"),
        ("rsync  version 3.10.1  protocol version 32", "ok", "rsync  version 3.10.1  protocol version 32"),
        *((f"rsync  version {old}  protocol version 31", "warn", f"rsync  version {old}  {BELOW}") for old in OLD),
        ("rsync  version 3.0.9  protocol version 30", "FAIL", "rsync  version 3.0.9  protocol version 30: too old"),
        ("openrsync: protocol version 29", "warn", "unknown version: openrsync: protocol version 29"),
    ],
)
def test_the_version_of_a_hosts_rsync_is_shown_and_an_incompatible_one_fails(
    observatory: Observatory, tmp_path: Path, version: str, level: str, what: str
) -> None:
    write_script(tmp_path / "fake", "rsync", f"echo '{version}'; echo 'Copyright'")
    file = write_site_with_programs(observatory, tmp_path)
    line = audit_lines(run_aurora(file, "audit", "--json"))["host ass rsync"]
    assert (line["level"], line["what"]) == (level, what)
    assert ("3.5.0 or later on the host, or check that the package has the fixes" in line["next_step"]) == (
        BELOW in what
    )
    assert ("3.1.0 or later" in line["next_step"]) == (level != "ok" and BELOW not in what)


@pytest.mark.parametrize(
    ("tools", "level", "what"),
    [
        (("python3", "openssl", "sha256sum"), "ok", "python3 is installed"),
        (("sha256sum",), "ok", "sha256sum is installed"),
        ((), "warn", "neither python3, openssl nor sha256sum is installed: no copy can be compared by its content"),
    ],
)
def test_the_program_that_hashes_files_on_a_host_is_shown(
    observatory: Observatory, tmp_path: Path, tools: tuple[str, ...], level: str, what: str
) -> None:
    (tmp_path / "fake").mkdir()
    for name in ("sh", "true", "date", "find", "rsync", "head", "grep", *tools):
        (tmp_path / "fake" / name).symlink_to("/usr/bin/false" if name in tools else str(shutil.which(name)))
    file = write_site_with_programs(observatory, tmp_path, other_path="")
    lines = audit_lines(run_aurora(file, "audit", "--json"))
    assert (lines["host ass hashing"]["level"], lines["host ass hashing"]["what"]) == (level, what)
    assert lines["host ass rsync"]["level"] == level_of_local_rsync(), "it has no other programs"


@pytest.mark.parametrize(
    ("script_of_df", "level", "what"),
    [
        ('case "$2" in -k) full=79;; *) full=12;; esac', "ok", "79 % used; inodes 12 % used"),
        ('case "$2" in -k) full=79;; *) full=96;; esac', "FAIL", "79 % used; inodes 96 % used"),
        ('case "$2" in -k) full=80;; *) exit 1;; esac', "warn", "80 % used"),
    ],
)
def test_the_used_space_of_the_archive_comes_from_its_df(
    observatory: Observatory, tmp_path: Path, script_of_df: str, level: str, what: str
) -> None:
    (tmp_path / "archive").mkdir()
    write_script(tmp_path / "fake", "rsync", "echo 'rsync  version 3.2.7  protocol version 31'")
    write_script(
        tmp_path / "fake", "df", f'{script_of_df}\necho "Filesystem Blocks"\necho "gws:/x 10 9 1 $full% /my disk"'
    )
    server = start_host_with_programs(tmp_path)
    keys = {key: value for key, value in host_settings(server).items() if key != "kind"}
    archive = {"hosts": [keys], "raw": str(tmp_path / "archive"), "products": str(tmp_path / "archive")}
    lines = audit_lines(
        run_aurora(observatory.write_site(tmp_path, lambda d: d.update(archive=archive)), "audit", "--json")
    )
    assert lines["archive 127.0.0.5 rsync"]["level"] == "warn", "the rsync of the archive is checked too"
    space = lines["archive 127.0.0.5 raw space"]
    assert (space["level"], space["what"]) == (level, what)
    assert (str(tmp_path / "archive") in space["next_step"]) == (level != "ok")


def test_the_used_space_of_a_real_disk_is_that_of_df(observatory: Observatory, tmp_path: Path) -> None:
    keys = {key: value for key, value in host_settings(observatory.ass).items() if key != "kind"}
    archive = {"hosts": [keys], "raw": str(tmp_path), "products": str(tmp_path)}
    lines = audit_lines(
        run_aurora(observatory.write_site(tmp_path, lambda d: d.update(archive=archive)), "audit", "--json")
    )
    used = subprocess.run(["df", "-P", "-k", tmp_path], capture_output=True, text=True, check=True).stdout
    now = int(used.splitlines()[1].split()[4].rstrip("%"))
    reported = int(lines["archive 127.0.0.2 products space"]["what"].split(" % used")[0])
    assert abs(reported - now) <= 2, "other programs write to it meanwhile"


def test_a_host_on_which_a_program_hangs_still_reports_the_other_checks(
    observatory: Observatory, tmp_path: Path
) -> None:
    write_script(tmp_path / "fake", "rsync", "exec sleep 3600")
    file = write_site_with_programs(observatory, tmp_path, scan_within=in_site_file(2))
    lines = parse_json(run_aurora(file, "audit", "--json"))["findings"]
    answers = [line["what"] for line in lines if line["component"] == "host ass"]
    assert any(f"took longer than {patient(2):g} s" in what for what in answers)
    assert [line["level"] for line in lines if line["component"] == "source cl61"] == ["ok"]


_SERVERS: list[SshServer] = []


@pytest.fixture(autouse=True)
def _stop_servers() -> Any:
    yield
    while _SERVERS:
        _SERVERS.pop().stop()


def start_host_with_programs(directory: Path, other_path: str = f":{os.defpath.strip(':')}:/usr/bin:/bin") -> SshServer:
    """Start a host with the programs of ``directory/fake``, and those of ``other_path``."""
    server = ServerWithPrograms(directory / "odd", address="127.0.0.5")
    server.programs = Path(f"{directory / 'fake'}{other_path}")
    server.start()
    _SERVERS.append(server)
    return server


def write_site_with_programs(
    observatory: Observatory, directory: Path, scan_within: str = "8s", **options: str
) -> Path:
    """Write a site whose host ``ass`` has the programs of ``directory/fake``."""
    server = start_host_with_programs(directory, **options)

    def change(data: dict[str, Any]) -> None:
        data["hosts"]["ass"] = host_settings(server)
        data["limits"]["look"] = scan_within

    return observatory.write_site(directory, change)


@pytest.mark.parametrize("welcome", ["echo Welcome to ass", r"printf 'Welcome\nto ass'"])
def test_a_login_shell_that_prints_text_is_one_line_and_changes_no_other_result(
    observatory: Observatory, tmp_path: Path, server: SshServer, welcome: str
) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["hosts"].update(ass=host_settings(server)))
    quiet = audit_lines(run_aurora(file, "audit", "--json"))
    assert "host ass login shell" not in quiet
    answer_with(server, rf"{welcome}; eval \"$SSH_ORIGINAL_COMMAND\"")
    result = run_aurora(file, "audit", "--json")
    noisy = audit_lines(result)
    shell = noisy.pop("host ass login shell")
    assert result.exit_code == 1
    assert shell["level"] == "FAIL"
    assert "the login shell is not quiet: it prints 'Welcome to ass' before every answer" in shell["what"]
    assert shell["next_step"].endswith(f"ssh -p {server.port} {server.user}@127.0.0.2 true")
    assert {name: line["level"] for name, line in noisy.items()} == {
        name: line["level"] for name, line in quiet.items()
    }
    assert noisy["host ass find"] == quiet["host ass find"]
    assert noisy["host ass rsync"] == quiet["host ass rsync"]


def test_a_path_of_the_site_file_is_never_run_as_a_command(observatory: Observatory, tmp_path: Path) -> None:
    with readable_directory() as parent:
        path = parent / "$(touch owned); `touch owned` '\"&| *\\"
        path.mkdir()
        file = observatory.write_site(tmp_path, lambda data: data["streams"]["cl61"].update(path=str(path)))
        assert audit_lines(run_aurora(file, "audit", "--json"))["source cl61"]["what"] == f"readable: {path}"
        assert [*parent.iterdir()] == [path]


def test_one_working_host_is_enough_for_the_archive(observatory: Observatory, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()

    def archive(*hosts: dict[str, Any]) -> dict[str, dict[str, str]]:
        plain = [{key: value for key, value in host.items() if key != "kind"} for host in hosts]
        keys = {"hosts": plain, "raw": str(tmp_path / "archive"), "products": str(tmp_path / "none")}
        return audit_lines(
            run_aurora(observatory.write_site(tmp_path, lambda data: data.update(archive=keys)), "audit", "--json")
        )

    good, down = host_settings(observatory.ass), host_settings_at(observatory.ass, "127.0.0.9", closed_port())
    alone = archive(down)
    assert alone["archive 127.0.0.9"]["level"] == "FAIL"
    both = archive(down, good)
    assert both["archive 127.0.0.2 raw"]["level"] == "ok"
    assert both["archive 127.0.0.2 products"]["level"] == "FAIL"
    assert "make it on the host" in both["archive 127.0.0.2 products"]["next_step"]
    (tmp_path / "none").mkdir()
    assert archive(down, good)["archive 127.0.0.9"]["level"] == "warn"


def test_a_wrong_site_file_is_one_failure_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("name: x\ncolour: blue\n")
    result = run_aurora(tmp_path / "site.yaml", "audit", "--json")
    assert result.exit_code == 1
    assert list(audit_lines(result)) == ["site file"]
    assert "colour: unknown key" in audit_lines(result)["site file"]["what"]


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("rsync  version 3.2.3  protocol version 31", "FAIL"),
        ("rsync  version 3.2.4  protocol version 31", "warn"),
        ("rsync  version 3.4.3  protocol version 32", "warn"),
        ("rsync  version 3.5.0pre1  protocol version 32", "warn"),
        ("rsync  version 3.5.0  protocol version 32", "ok"),
    ],
)
def test_an_rsync_without_fsync_fails_and_an_rsync_without_the_security_fixes_warns(
    site_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, level: str
) -> None:
    write_script(tmp_path / "bin", "rsync", f"echo '{version}'")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    line = audit_lines(run_aurora(site_file, "audit", "--json"))["tool rsync"]
    assert line["level"] == level
    assert ("3.5.0 or later, or check that the package has the fixes" in line["next_step"]) == (level == "warn")


def test_a_tool_that_is_missing_fails_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert {line.level for tool in audit_local.TOOLS for line in audit_local.tool(tool)} == {Level.FAIL, Level.WARN}
    assert [line.next_step for line in audit_local.tool(audit_local.TOOLS[3])] == [
        "install the package util-linux (apt-get install util-linux)"
    ]


def test_dagster_home_must_be_set_and_contain_our_settings(dagster_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (dagster_home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    assert [line.level for line in audit_local.dagster_home()] == [Level.WARN]
    (dagster_home / "dagster.yaml").unlink()
    assert [line.level for line in audit_local.dagster_home()] == [Level.WARN]
    monkeypatch.delenv("DAGSTER_HOME")
    assert [(line.level, "`make ui` sets it" in line.next_step) for line in audit_local.dagster_home()] == [
        (Level.WARN, True)
    ]


def test_a_demo_that_does_not_exist_yet_fails_with_the_command_that_creates_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = load_site(DEFAULT_SITE)
    monkeypatch.setattr(audit_local, "CHECKOUT", tmp_path)
    camera = str(tmp_path / ".aurora" / "camera")
    site = site.model_copy(update={"streams": {"wxcam": site.streams["wxcam"].model_copy(update={"path": camera})}})
    assert [(line.level, line.next_step) for line in audit_local.local_sources(site)] == [
        (Level.FAIL, "make demo first")
    ]


def test_an_include_that_matches_no_file_and_a_stream_that_begins_later_are_reported(
    observatory: Observatory, tmp_path: Path
) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["local"] = {"kind": "local"}
        data["streams"]["cl61"]["include"] = ["*.nb"]
        data["streams"]["power"] |= {"include": ["*.scv"], "host": "local"}
        data["streams"]["radar"]["start"] = "2999-01-01"

    lines = audit_lines(run_aurora(observatory.write_site(tmp_path, change), "audit", "--json"))
    assert {name for name in lines if name.startswith("include")} == {"include cl61", "include power"}
    assert lines["include cl61"] == {
        "component": "include cl61",
        "level": "warn",
        "what": f"{2 * FILES['cl61']} files listed, none matches include in the site file: *.nb",
        "next_step": "correct streams.cl61.include, or its path",
    }
    assert lines["include power"]["what"].startswith("2 files listed, none matches")
    assert (lines["start radar"]["level"], lines["start radar"]["what"].split(":")[0]) == (
        "off",
        "begins on 2999-01-01 (start in the site file)",
    )


@pytest.mark.parametrize(
    ("free", "inodes", "level"), [(21, 50, "ok"), (20, 50, "warn"), (50, 5, "FAIL"), (4, 9, "FAIL")]
)
def test_space_and_inodes_have_two_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: int, level: str
) -> None:
    real = os.statvfs(tmp_path)
    values = [4096, 4096, 100, free, free, 100, inodes, inodes, *real[8:]]
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))
    assert [line.level.value for line in audit_local.directory("raw", tmp_path)] == ["ok", level]


def test_a_job_that_never_ends_is_left_behind() -> None:
    is_over = threading.Event()
    began = time.monotonic()
    try:
        results = run_concurrently(
            {"slow": lambda: is_over.wait(patient(120)), "quick": lambda: None}, within=patient(1)
        )
    finally:
        is_over.set()
    assert isinstance(results["slow"], TimeoutError)
    assert results["quick"] is None
    assert time.monotonic() - began < patient(60)


def test_output_of_a_host_cannot_control_the_terminal(
    site_file: Path, monkeypatch: pytest.MonkeyPatch, observatory: Observatory
) -> None:
    line = audit_local.AuditLine("host ass", Level.OK, "[red]not markup[/] \x1b[2J\x07")
    monkeypatch.setattr(HostAudit, "audit", lambda self: [line])
    output = run_aurora(site_file, "audit").stdout
    assert "[red]not markup[/] \\x1b[2J\\x07" in output


def test_the_command_runs_in_its_own_process(site_file: Path) -> None:
    done = run_aurora_process(site_file, "audit", "--json")
    assert done.returncode == (1 if json.loads(done.stdout)["count"]["FAIL"] else 0), done.stderr
