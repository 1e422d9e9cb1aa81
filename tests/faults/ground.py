"""A site on a file system that gives less than ext4, and what must be the same on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cameras.sample_media import jpeg
from tests.faults.layer import Layer
from tests.faults.steps import NOON, STEPS, make_site, put
from tests.faults.sweep import contents, run_steps
from tests.forking import Forking

RUNS = ("first", "again", "changed")
"""All steps on an empty site, again without news, and after two files have changed and one has come."""
Change = Callable[[Layer], None]


@dataclass
class Ground:
    """A process that runs the steps of a site, on a file system that the layer makes."""

    directory: Path
    forking: Forking
    layer: Layer

    @property
    def home(self) -> Path:
        return self.layer.root

    def run(self) -> dict[str, str]:
        """Run all steps once; return the error of each."""
        return run_steps(self.forking, self.home, self.directory / "result.json", *STEPS)

    def run_all(self) -> list[dict[str, bytes]]:
        """Run all steps three times on a new site; return its content after each time."""
        make_site(self.home)
        found = []
        for number in range(len(RUNS)):
            if number == len(RUNS) - 1:
                put(self.home / "camera/FISH/20260818/12/HDR_20260818_121000.jpg", jpeg(50), NOON, 90)
                put(self.home / "camera/FISH/20260818/12/HDR_20260818_124000.jpg", jpeg(51), NOON, 91)
                put(self.home / "instrument/0/met_20260818_0.csv", b"longer\n" * 1000, NOON, 92)
            assert self.run() == dict.fromkeys(STEPS, "")
            found.append(contents(self.home))
        return found


@contextmanager
def ground_below(directory: Path) -> Iterator[Ground]:
    """A new site below a directory, with the layer below its process."""
    layer = Layer(directory, directory / "site")
    with Forking("tests.faults.steps:run", **layer.environment) as forking:
        yield Ground(directory, forking, layer)


def without_links(code: int) -> Change:
    return lambda layer: setattr(layer.control, "no_links", code)


def without_exchange(code: int) -> Change:
    return lambda layer: setattr(layer.control, "no_exchange", code)


def exchange_is_a_rename(layer: Layer) -> None:
    layer.control.exchange_is_rename = 1


def grain(step_ns: int, rounding: int = 0) -> Change:
    def set_grain(layer: Layer) -> None:
        layer.control.step_ns, layer.control.rounding = step_ns, rounding

    return set_grain


def separate(*names: str) -> Change:
    return lambda layer: layer.separate(*(layer.root / name for name in names))


def all_of(*changes: Change) -> Change:
    """Several lacks at once."""

    def change(layer: Layer) -> None:
        for one in changes:
            one(layer)

    return change


def differences(found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> set[str]:
    """The files that are in one of the two only, or differ by more than the mtimes of their inputs."""
    names = found.keys() | wanted.keys()
    return {name for name in names if _without_mtimes(name, found) != _without_mtimes(name, wanted)}


def _without_mtimes(name: str, content: Mapping[str, bytes]) -> bytes | None:
    """The content of a file, without what is made of the mtimes of its inputs: those are as coarse as the disk."""
    found = content.get(name)
    if found is None or name.endswith(("/mtime_ns/c/0", "/fish_hdr/20260818/zarr.json")):
        return None if found is None else b""
    return re.sub(rb"[0-9a-f]{64}", b"", found) if name.endswith((".jpg", ".mp4", ".json")) else found
