"""Measures the rows of ``docs/by-hand.md``: ours and the libraries that were tried, by turns, the best of three rounds.

    python -m venv /tmp/candidates
    /tmp/candidates/bin/pip install simplejpeg pillow asyncssh sshfs apprise
    .venv/bin/python scripts/by_hand.py jpeg --candidates /tmp/candidates/bin/python

The candidates are in an environment of their own: none of them is a package of this project. Each measurement is a
process of its own, which prints one number.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_IMAGES, _FILES, _DIRECTORIES = 30, 1000, 30
_ROUNDS = 3


def best(work: Callable[[], object], number: int) -> float:
    """The best of some repetitions, in s for one call."""
    work()
    return min(timeit.repeat(work, number=number, repeat=5)) / number


# -- the size of a JPEG from its header, with the check of its end marker ----------------------------------------------


def jpeg(directory: Path) -> Iterator[None]:
    """Write images of the fisheye's size."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 255, (190, 195, 3), np.uint8)
    image = Image.fromarray(pixels).resize((3120, 3040))
    for number in range(_IMAGES):
        image.save(directory / f"{number:02}.jpg", quality=85)
    yield


def per_image(directory: Path, size_of: Callable[[str], object]) -> float:
    """us for one image."""
    files = [str(path) for path in sorted(directory.glob("*.jpg"))]

    def all_images() -> None:
        for file in files:
            size_of(file)

    assert size_of(files[0])
    return best(all_images, 50) / len(files) * 1e6


def jpeg_ours(directory: Path) -> float:
    from aurora_platform.cameras.jpeg import read_plain_size

    return per_image(directory, read_plain_size)


def jpeg_simplejpeg(directory: Path) -> float:
    from simplejpeg import decode_jpeg_header

    def size_of(path: str) -> Any:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if os.pread(descriptor, 2, os.lseek(descriptor, 0, os.SEEK_END) - 2) != b"\xff\xd9":
                return None
            data = os.pread(descriptor, 4096, 0)
        finally:
            os.close(descriptor)
        return decode_jpeg_header(data, strict=False)

    return per_image(directory, size_of)


def jpeg_pillow(directory: Path) -> float:
    from PIL import Image

    def size_of(path: str) -> tuple[int, int]:
        with Image.open(path) as image:
            return image.size

    return per_image(directory, size_of)


# -- listing 30,000 files over SSH -------------------------------------------------------------------------------------


def listing(directory: Path) -> Iterator[None]:
    """Run a host with 30,000 files."""
    from aurora_simulator.ssh_server import SshServer

    for day in range(_DIRECTORIES):
        of_day = directory / "tree" / f"2026{day:04}"
        of_day.mkdir(parents=True)
        for number in range(_FILES):
            (of_day / f"f_{number:04}.nc").write_bytes(b"x")
    (directory / "sshd").mkdir()
    with SshServer(directory / "sshd", auth="key") as server:
        (directory / "login").write_text(f"{server.address} {server.port} {server.user} {server.identity}")
        yield


def login(directory: Path) -> tuple[str, int, str, str, str]:
    """Address, port, user, key, and the directory to list."""
    address, port, user, key = (directory / "login").read_text().split()
    return address, int(port), user, key, str(directory / "tree")


def listing_ours(directory: Path) -> float:
    from aurora_platform.config.hosts import SshHost
    from aurora_platform.transport.bounds import Bounds
    from aurora_platform.transport.connections import Connections

    address, port, user, key, root = login(directory)
    host = SshHost(address=address, port=port, user=user, auth="key", identity=Path(key))
    source = Connections(Bounds(directory / "known_hosts")).source(host)
    assert sum(1 for _ in source.list(root, ["."]).entries) > _FILES * _DIRECTORIES
    return best(lambda: sum(1 for _ in source.list(root, ["."]).entries), 1) * 1e3


def listing_asyncssh(directory: Path) -> float:
    import asyncssh

    address, port, user, key, root = login(directory)

    async def listed() -> float:
        async with asyncssh.connect(
            address, port=port, username=user, client_keys=[key], known_hosts=None
        ) as connection:
            times = []
            for _ in range(5):
                began = time.perf_counter()
                found = await connection.run(f"find {root} -printf '%y %s %T@ %P\\0'", encoding=None)
                times.append(time.perf_counter() - began)
                assert found.stdout.count(b"\0") > _FILES * _DIRECTORIES
        return min(times) * 1e3

    return asyncio.run(listed())


def listing_sshfs(directory: Path) -> float:
    from sshfs import SSHFileSystem

    address, port, user, key, root = login(directory)
    files = SSHFileSystem(address, port=port, username=user, client_keys=[key], known_hosts=None)

    def listed() -> None:
        files.invalidate_cache()
        assert len(files.find(root, detail=True)) == _FILES * _DIRECTORIES

    return best(listed, 1) * 1e3


# -- loading what sends mails ------------------------------------------------------------------------------------------


def mail(_: Path) -> Iterator[None]:
    """Nothing to prepare."""
    yield


def mail_ours(_: Path) -> float:
    import aurora_platform.config.health  # the settings: every command has read them before

    assert aurora_platform.config.health
    began = time.process_time()
    import aurora_platform.transport.mail

    assert aurora_platform.transport.mail
    return (time.process_time() - began) * 1e3


def mail_apprise(_: Path) -> float:
    began = time.process_time()
    import apprise

    assert apprise.Apprise
    return (time.process_time() - began) * 1e3


SUBJECTS: dict[str, tuple[str, Callable[[Path], Iterator[None]], dict[str, Callable[[Path], float]]]] = {
    "jpeg": ("us per file", jpeg, {"ours": jpeg_ours, "simplejpeg": jpeg_simplejpeg, "pillow": jpeg_pillow}),
    "listing": ("ms", listing, {"ours": listing_ours, "asyncssh": listing_asyncssh, "sshfs": listing_sshfs}),
    "mail": ("ms of CPU to load", mail, {"ours": mail_ours, "apprise": mail_apprise}),
}


def main() -> None:
    """Measure, or be one of the measurements (``--only``)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument(
        "--candidates", default=sys.executable, help="the Python that has the libraries that were tried"
    )
    parser.add_argument("--only", nargs=2, metavar=("NAME", "DIRECTORY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    unit, prepare, methods = SUBJECTS[options.subject]
    if options.only:
        print(methods[options.only[0]](Path(options.only[1])))
        return
    with tempfile.TemporaryDirectory() as directory, contextmanager(prepare)(Path(directory)):
        found: dict[str, list[float]] = {name: [] for name in methods}
        for number in range(_ROUNDS):
            for name in methods:
                print(f"round {number + 1} of {_ROUNDS}: {name}", file=sys.stderr)
                python = sys.executable if name == "ours" else options.candidates
                command = [python, __file__, options.subject, "--only", name, directory]
                environment = {**os.environ, "PYTHONPATH": str(ROOT)}
                output = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if output.returncode:
                    sys.exit(f"{name} cannot be measured: {output.stderr.strip().splitlines()[-1]}")
                found[name].append(float(output.stdout))
    for name, values in found.items():
        print(f"{name:12} {min(values):8.2f} {unit}")


if __name__ == "__main__":
    main()
