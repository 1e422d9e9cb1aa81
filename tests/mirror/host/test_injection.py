"""No name, site value or environment is ever a command: against the real remote shell, its sshd, and rsync."""

import os
import re
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from aurora_platform.config.hosts import SshHost
from aurora_platform.config.types import Address, Login, Name, RelativePath
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import ANYTHING, Mirror, adds_up, host_of, stream_of, write

few = settings.get_profile("mirror")

CANARY = Path(tempfile.gettempdir()) / f"aurora-canary-{uuid.uuid4().hex}"
# A name has no slash, but a shell has one: the first letter of its home. CANARY lies two levels deep at most.
SLASH = "${HOME%%[a-z]*}"
TOUCH = "touch " + str(CANARY).replace("/", SLASH)
PAYLOADS = [
    f"$({TOUCH})", f"`{TOUCH}`", f";{TOUCH};", f"|{TOUCH}|", f"&{TOUCH}&", f"&&{TOUCH}", f"'$({TOUCH})'",
    f'"$({TOUCH})"', f"';{TOUCH};'", f'";{TOUCH};"', f"\\$({TOUCH})", f"<({TOUCH})", f"{{$({TOUCH}),a}}",
]  # fmt: skip
PIECES = [*"a \"'\\$`;&|<>(){}[]*?!#~=%^-+@:,", "\t", "\n", "--", "-exec", "$HOME", "$(", "${", *PAYLOADS]
NAMES = (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6)
    .map("".join)
    .filter(lambda name: name not in (".", "..") and len(name.encode()) <= 230)
)
TAME = NAMES.map(lambda name: name.replace("\n", "").replace("\t", "") or "-")


@pytest.fixture(autouse=True)
def canary() -> Iterator[None]:
    """What any executed command would leave; nothing may be there after a test."""
    CANARY.unlink(missing_ok=True)
    yield
    assert not CANARY.exists(), "a command was executed"


@pytest.mark.parametrize("number", [0, 1, 2, 5, 7])
def test_the_payloads_are_commands_to_a_shell_that_reads_them(number: int) -> None:
    subprocess.run(["sh", "-c", f"true {PAYLOADS[number]}"], check=False)
    CANARY.unlink()


@settings(few, max_examples=8)
@given(root=TAME, raw=TAME, directory=TAME, names=st.lists(NAMES, min_size=1, max_size=8, unique=True))
@example(root=PAYLOADS[0], raw=PAYLOADS[1], directory=PAYLOADS[2], names=PAYLOADS)
@example(
    root=PAYLOADS[8], raw=PAYLOADS[9], directory=PAYLOADS[6], names=["-exec", "--rsh=x", "-e x", "(", "!", "a\n$(x)"]
)
@example(root="a b", raw="-", directory="--delete", names=["$HOME", "~", "*", "[", "\\", " ", "'", '"'])
@example(root="r", raw="r", directory="d", names=["\\[", "\\*", "a\\?b", "\\]", "\\\\[", "[\\", "*\\x", "stays"])
def test_names_and_paths_of_metacharacters_are_copied_byte_for_byte_and_never_executed(
    key_server: SshServer, root: str, raw: str, directory: str, names: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        far = Path(place) / "far" / root
        files = {f"{directory}/{name}": os.urandom(20) + name.encode() for name in names}
        write(far, files)
        # Asked for by directory, so that it stands on the far side's command line.
        asked = directory.replace("%", "%%")
        stream = stream_of(far, ANYTHING, raw=f"in/{raw}", day_dirs=[asked], include=["**/*"])
        report = Mirror(stream, Path(place) / "home", host_of(key_server)).run()
        good = {path: content for path, content in files.items() if path.isprintable() and is_taken(path)}
        here = Path(place) / "home/raw/in" / raw
        found = {str(p.relative_to(here)): p.read_bytes() for p in here.rglob("*") if p.is_file()}
        assert found == good
        assert report.total("copied") == len(good)
        assert adds_up(report)
        assert sorted(os.listdir(Path(place))) == ["far", "home"]
        assert not CANARY.exists()


def is_taken(path: str) -> bool:
    """Patterns pass over names with a dot in front; rsync's receiver refuses a backslash before a wildcard."""
    return not any(part.startswith(".") for part in path.split("/")) and not re.search(r"\\[][*?]", path)


@settings(few, max_examples=100)
@given(NAMES)
def test_what_stands_bare_on_a_command_line_is_never_made_of_metacharacters(text: str) -> None:
    """Logins and addresses begin with no dash, and have no character that any shell, ssh or rsync reads."""
    for kind in (Login, Address, Name):
        try:
            value = TypeAdapter(kind).validate_python(text)
        except ValidationError:
            continue
        assert value[0].isalnum() or value[0] == "_"
        assert set(value) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")
    for value in (f"/{text}/known", text):
        try:
            host = SshHost(address="127.0.0.1", user="aurora", auth="key", identity=Path(value))
        except ValidationError:
            continue
        assert not set(str(host.identity)) & set(" \t\n'\"\\%$~"), "ssh and rsync would take it apart"
    try:
        TypeAdapter(RelativePath).validate_python(f"../{text}")
        pytest.fail("that leads upwards")
    except ValidationError:
        pass


def test_a_home_of_metacharacters_is_no_command_to_ssh_or_rsync(
    key_server: SshServer, far: Path, tmp_path: Path
) -> None:
    """The state directory, with the file of host keys, stands inside of rsync's option for the remote shell."""
    write(far, {"file": b"content"})
    home = tmp_path / ";touch`id`&|<>(){}[]*?!#^="
    mirror = Mirror(stream_of(far, ANYTHING), home, host_of(key_server))
    assert mirror.run().total("copied") == 1
    assert (mirror.root / "file").read_bytes() == b"content"
    assert (home / "state/known_hosts").read_text().count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name != "sshd"] == [home.name]


def test_nothing_in_the_environment_is_a_command(
    key_server: SshServer, far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(far, {"file": b"content"})
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {CANARY}\n")
    script.chmod(0o755)
    for name in ("RSYNC_RSH", "RSYNC_CONNECT_PROG", "RSYNC_PROXY", "BASH_ENV", "ENV", "SSH_ASKPASS", "RSYNC_OLD_ARGS"):
        monkeypatch.setenv(name, str(script))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.setenv("RSYNC_PARTIAL_DIR", str(tmp_path / "elsewhere"))
    mirror = Mirror(stream_of(far, ANYTHING), tmp_path / "home", host_of(key_server))
    assert mirror.run().total("copied") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "script"]
