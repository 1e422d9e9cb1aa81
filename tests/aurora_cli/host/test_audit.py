"""The audit says what a first deployment would trip over, of this machine and of each host, and touches nothing."""

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
from aurora_platform.operations.audit_host import Visit
from aurora_platform.operations.audit_result import Level
from aurora_simulator.ssh_server import SshServer, readable_directory
from tests.aurora_cli.parts import (
    FILES,
    Observatory,
    as_json,
    aurora,
    aurora_process,
    dead_port,
    deaf,
    elsewhere,
    everything,
    lines_of,
    settings,
)
from tests.patience import in_site_file, patient
from tests.troubled_hosts import answer_with


class OddServer(SshServer):
    """A host whose programs in ``fake`` come before its own."""

    fake: Path

    def _config(self, port: int) -> str:
        return super()._config(port).replace("SHLVL=5", f"SHLVL=5 PATH={self.fake}")


OLD = ("3.1.0", "v3.2.7", "3.4.3", "3.5.0pre1")
BELOW = (
    "protocol version 31: below 3.5.0, which closed 33 vulnerabilities; a distribution's package may have the fixes "
    "all the same, which this version does not say"
)


def script(directory: Path, name: str, text: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{text}\n")
    (directory / name).chmod(0o755)


def level_of_our_rsync() -> str:
    """What is to be said of this machine's own, by its version."""
    said = subprocess.run(["rsync", "--version"], capture_output=True, text=True, check=True).stdout
    return "ok" if [int(part) for part in said.split()[2].lstrip("v").split(".")[:2]] >= [3, 5] else "warn"


def test_where_all_is_well_every_line_is_ok_and_the_exit_code_is_0(site_file: Path) -> None:
    result = aurora(site_file, "audit", "--json")
    found = lines_of(result)
    for name in ("tool rsync", "host ass rsync", "host aps rsync"):
        assert found.pop(name)["level"] == level_of_our_rsync(), name
    assert {name: one for name, one in found.items() if one["level"] != "ok" and not name.endswith(" space")} == {}
    assert {f"source {name}" for name in FILES} < set(found)
    assert "auth key, login in" in found["host ass"]["what"]
    assert result.exit_code == 0 or any(
        one["level"] == "FAIL" for one in found.values()
    )  # a full disk is no fault here


def test_a_host_that_asks_for_nothing_is_reached_by_that(site_file: Path, observatory: Observatory) -> None:
    what = lines_of(aurora(site_file, "audit", "--json"))["host aps"]["what"]
    assert f"{observatory.aps.user}@127.0.0.4:{observatory.aps.port}, auth {observatory.aps.auth}" in what


def test_an_audit_writes_nothing(site_file: Path, observatory: Observatory, dagster_home: Path) -> None:
    before = everything(site_file.parent, observatory.far, dagster_home)
    for _ in range(2):
        assert "new: " in lines_of(aurora(site_file, "audit", "--json"))["host ass host key"]["what"]
    assert everything(site_file.parent, observatory.far, dagster_home) == before


def test_a_host_that_was_seen_before_has_a_known_key_and_nothing_is_written_either(
    site_file: Path, observatory: Observatory
) -> None:
    assert aurora(site_file, "sync", "power").exit_code == 0
    before = everything(site_file.parent, observatory.far)
    found = lines_of(aurora(site_file, "audit", "--json"))
    assert "known: ssh-ed25519 SHA256:" in found["host aps host key"]["what"]
    assert "new: ssh-ed25519 SHA256:" in found["host ass host key"]["what"]
    assert everything(site_file.parent, observatory.far) == before


def test_a_changed_host_key_fails_and_names_the_file_that_is_kept(
    observatory: Observatory, tmp_path: Path, server: SshServer
) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["hosts"].update(ass=settings(server)))
    assert aurora(file, "sync", "vaisalamet").exit_code == 0
    server.rotate_host_key()
    before = everything(tmp_path / "state")
    result = aurora(file, "audit", "--json")
    key = lines_of(result)["host ass host key"]
    assert result.exit_code == 1
    assert "CHANGED" in key["what"]
    assert str(tmp_path / "state" / "known_hosts") in key["what"]
    assert f"ssh-keygen -f {tmp_path / 'state' / 'known_hosts'} -R '[127.0.0.2]:{server.port}'" in key["next_step"]
    assert everything(tmp_path / "state") == before


def test_a_damaged_line_of_known_hosts_is_named_and_its_host_fails_and_no_other(
    site_file: Path, observatory: Observatory
) -> None:
    known = site_file.parent / "state" / "known_hosts"
    known.parent.mkdir()
    known.write_bytes(b"caf\xe9\n[127.0.0.4]:%d ssh-ed25519 AAAA" % observatory.aps.port)
    before = everything(known.parent)
    found = lines_of(aurora(site_file, "audit", "--json"))
    file = found["known_hosts"]
    assert file["level"] == "warn"
    assert f"lines 1, 2 of {known} cannot be read (it is cut off, its key is cut off or damaged)" in file["what"]
    refused = found["host aps host key"]
    assert refused["level"] == "FAIL"
    assert f"line 2 of {known} may be about [127.0.0.4]:{observatory.aps.port}" in refused["what"]
    assert refused["next_step"].endswith(f"then remove line 2: sed -i '2d' {known}")
    assert found["source power"]["level"] == "off", "not seen"
    assert found["host ass"]["level"] == found["source cl61"]["level"] == "ok"
    assert found["host ass host key"]["level"] == "warn", "it is new, or line 1 was its own"
    assert everything(known.parent) == before


def test_hosts_that_are_dead_or_deaf_cost_their_bound_once_and_hide_nothing(
    observatory: Observatory, tmp_path: Path
) -> None:
    port = dead_port()

    def change(data: dict[str, Any]) -> None:
        for number in range(3):
            data["hosts"][f"deaf{number}"] = elsewhere(observatory.ass, "127.0.0.3", silent.ports[number])
            data["streams"][f"on_deaf{number}"] = data["streams"]["cl61"] | {"host": f"deaf{number}", "raw": "a"}
        data["hosts"]["dead"] = elsewhere(observatory.ass, "127.0.0.9", port)
        data["streams"]["on_dead"] = data["streams"]["cl61"] | {"host": "dead", "raw": "b"}

    with deaf(3) as silent:
        result = aurora(observatory.write_site(tmp_path, change), "audit", "--json")
    found = lines_of(result)
    assert result.exit_code == 1
    assert f"127.0.0.9:{port}: Unable to connect: Connection refused" in found["host dead"]["what"]
    assert found["host dead"]["next_step"].startswith(f"try by hand: ssh -p {port} ")
    assert f"127.0.0.3:{silent.port}: it took the connection and then said nothing" in found["host deaf0"]["what"]
    assert found["source on_dead"]["level"] == "off"
    assert "not seen" in found["source on_dead"]["what"]
    assert [found[f"host deaf{number}"]["level"] for number in range(3)] == ["FAIL"] * 3
    assert found["host ass"]["level"] == found["source power"]["level"] == "ok"
    assert (silent.connections, silent.most_at_once) == (3, 3), "three deaf hosts are waited for at the same time"


def test_a_login_that_is_refused_fails_with_the_keys_of_the_site_file_to_look_at(
    observatory: Observatory, tmp_path: Path, server: SshServer
) -> None:
    wrong = settings(server) | {"identity": str(observatory.ass.identity)}
    file = observatory.write_site(tmp_path, lambda data: data["hosts"].update(ass=wrong))
    found = lines_of(aurora(file, "audit", "--json"))["host ass"]
    assert found["level"] == "FAIL"
    assert "compare user, auth and identity in hosts.ass" in found["next_step"]


def test_directories_that_are_missing_unreadable_or_planned_offline(observatory: Observatory, tmp_path: Path) -> None:
    with readable_directory() as closed:

        def change(data: dict[str, Any]) -> None:
            data["streams"]["cl61"]["path"] = "/nowhere/cl61"
            data["streams"]["radar"]["enabled"] = False
            data["streams"]["power"]["path"] = str(closed / "power")

        (closed / "power").mkdir(mode=0o000)
        result = aurora(observatory.write_site(tmp_path, change), "audit", "--json")
    found = lines_of(result)
    assert found["source cl61"]["level"] == "FAIL"
    assert found["source cl61"]["next_step"] == "correct streams.cl61.path"
    assert found["source radar"]["level"] == "off"
    assert "planned offline" in found["source radar"]["what"]
    if observatory.aps.auth == "none" or os.geteuid() != 0:
        assert found["source power"]["what"] == f"not readable: {closed / 'power'} there"


def test_a_host_none_of_whose_streams_is_on_is_not_asked(observatory: Observatory, tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["aps"] = elsewhere(observatory.ass, "127.0.0.9", dead_port())
        data["streams"]["power"]["enabled"] = False

    found = lines_of(aurora(observatory.write_site(tmp_path, change), "audit", "--json"))
    assert found["host aps"]["level"] == "off"


@pytest.mark.parametrize(("ahead", "level"), [("5", "warn"), ("-90", "FAIL"), ("0", "ok")])
def test_the_clock_of_a_host_is_compared_with_ours(
    observatory: Observatory, tmp_path: Path, ahead: str, level: str
) -> None:
    script(tmp_path / "fake", "date", f'exec /bin/date -d "now {ahead} seconds" "$@"')
    clock = lines_of(aurora(with_odd_host(observatory, tmp_path), "audit", "--json"))["host ass clock"]
    assert clock["level"] == level, clock


def test_a_host_without_gnu_find_or_rsync_fails(observatory: Observatory, tmp_path: Path) -> None:
    script(tmp_path / "fake", "find", 'echo "find: unrecognized: $1" >&2; exit 1')
    script(tmp_path / "fake", "rsync", "exit 127")
    found = lines_of(aurora(with_odd_host(observatory, tmp_path), "audit", "--json"))
    assert found["host ass find"]["level"] == found["host ass rsync"]["level"] == "FAIL"
    assert found["source cl61"]["level"] == "ok", "the rest is looked at all the same"


@pytest.mark.parametrize(
    ("said", "level", "what"),
    [
        ("rsync  version v3.5.0  protocol version 32", "ok", "rsync  version v3.5.0  protocol version 32"),
        ("rsync  version 3.10.1  protocol version 32", "ok", "rsync  version 3.10.1  protocol version 32"),
        *((f"rsync  version {old}  protocol version 31", "warn", f"rsync  version {old}  {BELOW}") for old in OLD),
        ("rsync  version 3.0.9  protocol version 30", "FAIL", "rsync  version 3.0.9  protocol version 30: too old"),
        ("openrsync: protocol version 29", "warn", "says no version that we know: openrsync: protocol version 29"),
    ],
)
def test_the_version_of_a_hosts_rsync_is_shown_and_one_that_does_not_understand_ours_fails(
    observatory: Observatory, tmp_path: Path, said: str, level: str, what: str
) -> None:
    script(tmp_path / "fake", "rsync", f"echo '{said}'; echo 'Copyright'")
    found = lines_of(aurora(with_odd_host(observatory, tmp_path), "audit", "--json"))["host ass rsync"]
    assert (found["level"], found["what"]) == (level, what)
    assert ("3.5.0 or later there, or see that the package has the fixes" in found["next_step"]) == (BELOW in what)
    assert ("3.1.0 or later" in found["next_step"]) == (level != "ok" and BELOW not in what)


@pytest.mark.parametrize(
    ("there", "level", "what"),
    [
        (("python3", "openssl", "sha256sum"), "ok", "python3 is there"),
        (("sha256sum",), "ok", "sha256sum is there"),
        ((), "warn", "neither python3, openssl nor sha256sum: no copy can be compared by its content"),
    ],
)
def test_a_host_says_by_what_it_would_hash_a_file(
    observatory: Observatory, tmp_path: Path, there: tuple[str, ...], level: str, what: str
) -> None:
    (tmp_path / "fake").mkdir()
    for name in ("sh", "true", "date", "find", "rsync", "head", "grep", *there):
        (tmp_path / "fake" / name).symlink_to("/usr/bin/false" if name in there else str(shutil.which(name)))
    file = with_odd_host(observatory, tmp_path, besides="")
    found = lines_of(aurora(file, "audit", "--json"))
    assert (found["host ass hashing"]["level"], found["host ass hashing"]["what"]) == (level, what)
    assert found["host ass rsync"]["level"] == level_of_our_rsync(), "it has no programs but those"


@pytest.mark.parametrize(
    ("script_of_df", "level", "what"),
    [
        ('case "$2" in -k) full=79;; *) full=12;; esac', "ok", "79 % used; inodes 12 % used"),
        ('case "$2" in -k) full=79;; *) full=96;; esac', "FAIL", "79 % used; inodes 96 % used"),
        ('case "$2" in -k) full=80;; *) exit 1;; esac', "warn", "80 % used"),
    ],
)
def test_how_full_the_archive_is_says_its_own_df(
    observatory: Observatory, tmp_path: Path, script_of_df: str, level: str, what: str
) -> None:
    (tmp_path / "archive").mkdir()
    script(tmp_path / "fake", "rsync", "echo 'rsync  version 3.2.7  protocol version 31'")
    script(tmp_path / "fake", "df", f'{script_of_df}\necho "Filesystem Blocks"\necho "gws:/x 10 9 1 $full% /my disk"')
    server = odd_host(tmp_path)
    keys = {key: value for key, value in settings(server).items() if key != "kind"}
    archive = {"hosts": [keys], "raw": str(tmp_path / "archive"), "products": str(tmp_path / "archive")}
    found = lines_of(aurora(observatory.write_site(tmp_path, lambda d: d.update(archive=archive)), "audit", "--json"))
    assert found["archive 127.0.0.5 rsync"]["level"] == "warn", "the archive's are judged too"
    space = found["archive 127.0.0.5 raw space"]
    assert (space["level"], space["what"]) == (level, what)
    assert (str(tmp_path / "archive") in space["next_step"]) == (level != "ok")


def test_how_full_a_real_disk_is_says_its_own_df(observatory: Observatory, tmp_path: Path) -> None:
    keys = {key: value for key, value in settings(observatory.ass).items() if key != "kind"}
    archive = {"hosts": [keys], "raw": str(tmp_path), "products": str(tmp_path)}
    found = lines_of(aurora(observatory.write_site(tmp_path, lambda d: d.update(archive=archive)), "audit", "--json"))
    used = subprocess.run(["df", "-P", "-k", tmp_path], capture_output=True, text=True, check=True).stdout
    now = int(used.splitlines()[1].split()[4].rstrip("%"))
    said = int(found["archive 127.0.0.2 products space"]["what"].split(" % used")[0])
    assert abs(said - now) <= 2, "others write to it meanwhile"


def test_a_host_on_which_one_program_hangs_says_the_rest(observatory: Observatory, tmp_path: Path) -> None:
    script(tmp_path / "fake", "rsync", "exec sleep 3600")
    file = with_odd_host(observatory, tmp_path, look=in_site_file(2))
    found = as_json(aurora(file, "audit", "--json"))["findings"]
    assert any(f"took longer than {patient(2):g} s" in one["what"] for one in found if one["component"] == "host ass")
    assert [one["level"] for one in found if one["component"] == "source cl61"] == ["ok"]


_ODD: list[SshServer] = []


@pytest.fixture(autouse=True)
def _end_odd_servers() -> Any:
    yield
    while _ODD:
        _ODD.pop().stop()


def odd_host(directory: Path, besides: str = f":{os.defpath.strip(':')}:/usr/bin:/bin") -> SshServer:
    """A host with the programs of ``fake``, and those that are ``besides``."""
    server = OddServer(directory / "odd", address="127.0.0.5")
    server.fake = Path(f"{directory / 'fake'}{besides}")
    server.start()
    _ODD.append(server)
    return server


def with_odd_host(observatory: Observatory, directory: Path, look: str = "8s", **options: str) -> Path:
    """A site whose host ``ass`` has the programs of ``fake``."""
    server = odd_host(directory, **options)

    def change(data: dict[str, Any]) -> None:
        data["hosts"]["ass"] = settings(server)
        data["limits"]["look"] = look

    return observatory.write_site(directory, change)


@pytest.mark.parametrize("welcome", ["echo Welcome to ass", r"printf 'Welcome\nto ass'"])
def test_a_login_shell_that_is_not_quiet_is_one_finding_and_shifts_no_answer(
    observatory: Observatory, tmp_path: Path, server: SshServer, welcome: str
) -> None:
    file = observatory.write_site(tmp_path, lambda data: data["hosts"].update(ass=settings(server)))
    quiet = lines_of(aurora(file, "audit", "--json"))
    assert "host ass login shell" not in quiet
    answer_with(server, rf"{welcome}; eval \"$SSH_ORIGINAL_COMMAND\"")
    result = aurora(file, "audit", "--json")
    noisy = lines_of(result)
    shell = noisy.pop("host ass login shell")
    assert result.exit_code == 1
    assert shell["level"] == "FAIL"
    assert "the login shell is not quiet: it prints 'Welcome to ass' before every answer" in shell["what"]
    assert shell["next_step"].endswith(f"ssh -p {server.port} {server.user}@127.0.0.2 true")
    assert {name: one["level"] for name, one in noisy.items()} == {name: one["level"] for name, one in quiet.items()}
    assert noisy["host ass find"] == quiet["host ass find"]
    assert noisy["host ass rsync"] == quiet["host ass rsync"]


def test_a_path_of_the_site_file_is_never_a_command(observatory: Observatory, tmp_path: Path) -> None:
    with readable_directory() as far:
        path = far / "$(touch owned); `touch owned` '\"&| *\\"
        path.mkdir()
        file = observatory.write_site(tmp_path, lambda data: data["streams"]["cl61"].update(path=str(path)))
        assert lines_of(aurora(file, "audit", "--json"))["source cl61"]["what"] == f"readable: {path} there"
        assert [*far.iterdir()] == [path]


def test_an_archive_needs_one_host_of_several(observatory: Observatory, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()

    def archive(*hosts: dict[str, Any]) -> dict[str, dict[str, str]]:
        plain = [{key: value for key, value in host.items() if key != "kind"} for host in hosts]
        keys = {"hosts": plain, "raw": str(tmp_path / "archive"), "products": str(tmp_path / "none")}
        return lines_of(
            aurora(observatory.write_site(tmp_path, lambda data: data.update(archive=keys)), "audit", "--json")
        )

    good, dead = settings(observatory.ass), elsewhere(observatory.ass, "127.0.0.9", dead_port())
    alone = archive(dead)
    assert alone["archive 127.0.0.9"]["level"] == "FAIL"
    both = archive(dead, good)
    assert both["archive 127.0.0.2 raw"]["level"] == "ok"
    assert both["archive 127.0.0.2 products"]["level"] == "FAIL"
    assert "make it there" in both["archive 127.0.0.2 products"]["next_step"]
    (tmp_path / "none").mkdir()
    assert archive(dead, good)["archive 127.0.0.9"]["level"] == "warn"


def test_a_wrong_site_file_is_one_failure_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("name: x\ncolour: blue\n")
    result = aurora(tmp_path / "site.yaml", "audit", "--json")
    assert result.exit_code == 1
    assert list(lines_of(result)) == ["site file"]
    assert "colour: unknown key" in lines_of(result)["site file"]["what"]


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
def test_an_rsync_without_fsync_fails_and_one_without_the_known_fixes_is_worth_a_look(
    site_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, level: str
) -> None:
    script(tmp_path / "bin", "rsync", f"echo '{version}'")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    found = lines_of(aurora(site_file, "audit", "--json"))["tool rsync"]
    assert found["level"] == level
    assert ("3.5.0 or later, or see that the package has the fixes" in found["next_step"]) == (level == "warn")


def test_a_tool_that_is_missing_fails_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert {one.level for tool in audit_local.TOOLS for one in audit_local.tool(tool)} == {Level.FAIL, Level.WARN}
    assert [one.next_step for one in audit_local.tool(audit_local.TOOLS[3])] == [
        "install the package util-linux (apt-get install util-linux)"
    ]


def test_dagster_home_must_be_set_and_hold_our_settings(dagster_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (dagster_home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    assert [one.level for one in audit_local.dagster_home()] == [Level.WARN]
    (dagster_home / "dagster.yaml").unlink()
    assert [one.level for one in audit_local.dagster_home()] == [Level.WARN]
    monkeypatch.delenv("DAGSTER_HOME")
    assert [(one.level, "`make ui` sets it" in one.next_step) for one in audit_local.dagster_home()] == [
        (Level.WARN, True)
    ]


def test_the_demo_before_it_was_made_is_told_to_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    site = load_site(DEFAULT_SITE)
    monkeypatch.setattr(audit_local, "CHECKOUT", tmp_path)
    camera = str(tmp_path / ".aurora" / "camera")
    site = site.model_copy(update={"streams": {"wxcam": site.streams["wxcam"].model_copy(update={"path": camera})}})
    assert [(one.level, one.next_step) for one in audit_local.local_sources(site)] == [(Level.FAIL, "make demo first")]


def test_an_include_that_matches_nothing_and_a_stream_that_has_not_begun_are_told(
    observatory: Observatory, tmp_path: Path
) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["here"] = {"kind": "local"}
        data["streams"]["cl61"]["include"] = ["*.nb"]
        data["streams"]["power"] |= {"include": ["*.scv"], "host": "here"}
        data["streams"]["radar"]["start"] = "2999-01-01"

    found = lines_of(aurora(observatory.write_site(tmp_path, change), "audit", "--json"))
    assert {name for name in found if name.startswith("include")} == {"include cl61", "include power"}
    assert found["include cl61"] == {
        "component": "include cl61",
        "level": "warn",
        "what": f"{2 * FILES['cl61']} files there, none matches include in the site file: *.nb",
        "next_step": "correct streams.cl61.include, or its path",
    }
    assert found["include power"]["what"].startswith("2 files there, none matches")
    assert (found["start radar"]["level"], found["start radar"]["what"].split(":")[0]) == (
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
    assert [one.level.value for one in audit_local.directory("raw", tmp_path)] == ["ok", level]


def test_the_file_system_is_that_of_the_innermost_mount() -> None:
    mounts = "/dev/a / ext4 rw 0 0\nserver:/x /data nfs4 rw 0 0\n/dev/b /data/my\\040disk xfs rw 0 0\n"
    kinds = [
        audit_local.file_system(Path(path), mounts) for path in ("/home", "/data/x", "/data/my disk/p", "/database")
    ]
    assert kinds == ["ext4", "nfs4", "xfs", "ext4"]


def test_a_look_that_never_ends_is_given_up() -> None:
    is_over = threading.Event()
    began = time.monotonic()
    try:
        ends = run_concurrently({"slow": lambda: is_over.wait(patient(120)), "quick": lambda: None}, within=patient(1))
    finally:
        is_over.set()
    assert isinstance(ends["slow"], TimeoutError)
    assert ends["quick"] is None
    assert time.monotonic() - began < patient(60)


def test_what_a_host_says_cannot_drive_the_terminal(
    site_file: Path, monkeypatch: pytest.MonkeyPatch, observatory: Observatory
) -> None:
    said = audit_local.AuditLine("host ass", Level.OK, "[red]not markup[/] \x1b[2J\x07")
    monkeypatch.setattr(Visit, "audit", lambda self: [said])
    shown = aurora(site_file, "audit").stdout
    assert "[red]not markup[/] \\x1b[2J\\x07" in shown


def test_the_command_as_an_operator_runs_it(site_file: Path) -> None:
    done = aurora_process(site_file, "audit", "--json")
    assert done.returncode == (1 if json.loads(done.stdout)["count"]["FAIL"] else 0), done.stderr
