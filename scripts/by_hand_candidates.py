"""What the libraries that were tried take: run by ``scripts.by_hand`` with the Python that has them; prints one number.

Knows nothing of Aurora, which that Python does not have.
"""

import asyncio
import os
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILES, DIRECTORIES = 1000, 30


def best(work: Callable[[], object], number: int) -> float:
    """The best of some repetitions, in s for one call."""
    work()
    return min(timeit.repeat(work, number=number, repeat=5)) / number


def per_image(directory: Path, size_of: Callable[[str], object]) -> float:
    """us for one image."""
    files = [str(path) for path in sorted(directory.glob("*.jpg"))]

    def all_images() -> None:
        for file in files:
            size_of(file)

    assert size_of(files[0])
    return best(all_images, 50) / len(files) * 1e6


def login(directory: Path) -> tuple[str, int, str, str, str]:
    """Address, port, user, key, and the directory to list."""
    address, port, user, key = (directory / "login").read_text().split()
    return address, int(port), user, key, str(directory / "tree")


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
                assert found.stdout.count(b"\0") > FILES * DIRECTORIES
        return min(times) * 1e3

    return asyncio.run(listed())


def listing_sshfs(directory: Path) -> float:
    from sshfs import SSHFileSystem

    address, port, user, key, root = login(directory)
    files = SSHFileSystem(address, port=port, username=user, client_keys=[key], known_hosts=None)

    def listed() -> None:
        files.invalidate_cache()
        assert len(files.find(root, detail=True)) == FILES * DIRECTORIES

    return best(listed, 1) * 1e3


METHODS = {"simplejpeg": jpeg_simplejpeg, "pillow": jpeg_pillow, "asyncssh": listing_asyncssh, "sshfs": listing_sshfs}

if __name__ == "__main__":
    print(METHODS[sys.argv[1]](Path(sys.argv[2])))
