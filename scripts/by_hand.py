"""Measures the rows of ``docs/by-hand.md``: ours and the libraries that were tried, by turns, the best of three rounds.

    python3 -m venv candidates
    candidates/bin/pip install simplejpeg pillow asyncssh sshfs apprise
    .venv/bin/python -m scripts.by_hand jpeg --candidates candidates/bin/python

The candidates are in an environment of their own: none of them is a package of this project. Each measurement of them
is a process of its own.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from aurora_platform.cameras.jpeg import read_plain_size
from aurora_platform.config.hosts import SshHost
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_simulator.ssh_server import SshServer
from scripts.by_hand_candidates import DIRECTORIES, FILES, best, login, per_image

ROOT = Path(__file__).resolve().parent.parent
_IMAGES, _ROUNDS = 30, 3
# CPU time to load a module, in ms, after what every command has loaded before.
_LOADING = (
    "import time; {before}; began = time.process_time(); import {module}; print((time.process_time() - began) * 1e3)"
)


@contextmanager
def jpeg(directory: Path) -> Iterator[Callable[[], float]]:
    """The size of a JPEG from its header, with the check of its end marker: us per image of the fisheye's size."""
    pixels = np.random.default_rng(1).integers(0, 255, (190, 195, 3), np.uint8)
    image = Image.fromarray(pixels).resize((3120, 3040))
    for number in range(_IMAGES):
        image.save(directory / f"{number:02}.jpg", quality=85)
    yield lambda: per_image(directory, read_plain_size)


@contextmanager
def listing(directory: Path) -> Iterator[Callable[[], float]]:
    """List 30,000 files of a host over SSH: ms."""
    for day in range(DIRECTORIES):
        of_day = directory / "tree" / f"2026{day:04}"
        of_day.mkdir(parents=True)
        for number in range(FILES):
            (of_day / f"f_{number:04}.nc").write_bytes(b"x")
    (directory / "sshd").mkdir()
    with SshServer(directory / "sshd", auth="key") as server:
        (directory / "login").write_text(f"{server.address} {server.port} {server.user} {server.identity}")
        address, port, user, key, root = login(directory)
        host = SshHost(kind="ssh", address=address, port=port, user=user, auth="key", identity=Path(key))
        source = Connections(Bounds(directory / "known_hosts")).source(host)
        assert sum(1 for _ in source.list(root, ["."]).entries) > FILES * DIRECTORIES
        yield lambda: best(lambda: sum(1 for _ in source.list(root, ["."]).entries), 1) * 1e3


@contextmanager
def mail(_: Path) -> Iterator[Callable[[], float]]:
    """Load what sends mails: ms of CPU."""
    code = _LOADING.format(before="import aurora_platform.config.health", module="aurora_platform.transport.mail")
    yield lambda: _number([sys.executable, "-c", code])


Subject = Callable[[Path], AbstractContextManager[Callable[[], float]]]
SUBJECTS: dict[str, tuple[Subject, tuple[str, ...]]] = {
    "jpeg": (jpeg, ("simplejpeg", "pillow")),
    "listing": (listing, ("asyncssh", "sshfs")),
    "mail": (mail, ("apprise",)),
}


def _number(command: list[str]) -> float:
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if output.returncode:
        sys.exit(f"{command[-1]} cannot be measured: {(output.stderr.strip() or 'no message').splitlines()[-1]}")
    return float(output.stdout)


def _candidate(python: str, name: str, directory: Path) -> float:
    if name == "apprise":
        return _number([python, "-c", _LOADING.format(before="pass", module=name)])
    return _number([python, str(ROOT / "scripts" / "by_hand_candidates.py"), name, str(directory)])


def main() -> None:
    """Measure one subject, and print the best of the rounds for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--candidates", required=True, help="the Python that has the libraries that were tried")
    options = parser.parse_args()
    prepare, names = SUBJECTS[options.subject]
    print(prepare.__doc__)
    found: dict[str, list[float]] = {"ours": [], **{name: [] for name in names}}
    with tempfile.TemporaryDirectory() as directory, prepare(Path(directory)) as measure_ours:
        for number in range(_ROUNDS):
            print(f"round {number + 1} of {_ROUNDS}", file=sys.stderr)
            found["ours"].append(measure_ours())
            for name in names:
                found[name].append(_candidate(options.candidates, name, Path(directory)))
    for name, values in found.items():
        print(f"{name:12} {min(values):8.2f}")


if __name__ == "__main__":
    main()
