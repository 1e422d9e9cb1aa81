"""No file name, site value or environment variable is executed: with a real remote shell, sshd and rsync."""

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

few_examples = settings.get_profile("mirror")

CANARY = Path(tempfile.gettempdir()) / f"aurora-canary-{uuid.uuid4().hex}"
# A name has no slash, so the shell takes one from the begin of $HOME. CANARY is two levels deep at most.
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
    """The file that an executed command would make; it must not exist after a test."""
    CANARY.unlink(missing_ok=True)
    yield
    assert not CANARY.exists(), "a command was executed"


@pytest.mark.parametrize("number", [0, 1, 2, 5, 7])
def test_a_shell_executes_the_payloads(number: int) -> None:
    subprocess.run(["sh", "-c", f"true {PAYLOADS[number]}"], check=False)
    CANARY.unlink()


@settings(few_examples, max_examples=8)
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
        source_root = Path(place) / "source" / root
        files = {f"{directory}/{name}": os.urandom(20) + name.encode() for name in names}
        write(source_root, files)
        # Requested by directory, so that the directory is on the command line of the host.
        asked = directory.replace("%", "%%")
        stream = stream_of(source_root, ANYTHING, raw=f"in/{raw}", day_dirs=[asked], include=["**/*"])
        report = Mirror(stream, Path(place) / "home", host_of(key_server)).run()
        good = {path: content for path, content in files.items() if path.isprintable() and is_copied(path)}
        local_dir = Path(place) / "home/raw/in" / raw
        found = {str(p.relative_to(local_dir)): p.read_bytes() for p in local_dir.rglob("*") if p.is_file()}
        assert found == good
        assert report.total("copied") == len(good)
        assert adds_up(report)
        assert sorted(os.listdir(Path(place))) == ["home", "source"]
        assert not CANARY.exists()


def is_copied(path: str) -> bool:
    """Whether a path is copied: patterns skip hidden names, and rsync refuses a backslash before a wildcard."""
    return not any(part.startswith(".") for part in path.split("/")) and not re.search(r"\\[][*?]", path)


@settings(few_examples, max_examples=100)
@given(NAMES)
def test_unquoted_command_arguments_have_no_metacharacters(text: str) -> None:
    """Logins and addresses do not begin with a dash, and have no character that a shell, ssh or rsync interprets."""
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
        assert not set(str(host.identity)) & set(" \t\n'\"\\%$~"), "ssh and rsync would split it"
    try:
        TypeAdapter(RelativePath).validate_python(f"../{text}")
        pytest.fail("that leads upwards")
    except ValidationError:
        pass


def test_a_state_directory_with_metacharacters_is_not_executed_by_ssh_or_rsync(
    key_server: SshServer, source_root: Path, tmp_path: Path
) -> None:
    """The state directory, with the file of host keys, is part of rsync's option for the remote shell."""
    write(source_root, {"file": b"content"})
    home = tmp_path / ";touch`id`&|<>(){}[]*?!#^="
    mirror = Mirror(stream_of(source_root, ANYTHING), home, host_of(key_server))
    assert mirror.run().total("copied") == 1
    assert (mirror.root / "file").read_bytes() == b"content"
    assert (home / "state/known_hosts").read_text().count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name != "sshd"] == [home.name]


def test_no_environment_variable_is_executed(
    key_server: SshServer, source_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(source_root, {"file": b"content"})
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {CANARY}\n")
    script.chmod(0o755)
    for name in ("RSYNC_RSH", "RSYNC_CONNECT_PROG", "RSYNC_PROXY", "BASH_ENV", "ENV", "SSH_ASKPASS", "RSYNC_OLD_ARGS"):
        monkeypatch.setenv(name, str(script))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.setenv("RSYNC_PARTIAL_DIR", str(tmp_path / "elsewhere"))
    mirror = Mirror(stream_of(source_root, ANYTHING), tmp_path / "home", host_of(key_server))
    assert mirror.run().total("copied") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "script"]
