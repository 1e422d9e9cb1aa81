"""One fault at each call that a step makes: what it says, what it leaves behind, and whether the next run mends it."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.faults.layer import Layer
from tests.faults.steps import REFUSED, STEPS, make_site
from tests.forking import Forking
from tests.patience import patient

_FULL = (errno.ENOSPC, errno.EDQUOT)
_GONE = (errno.EIO, errno.ESTALE)
_ERRORS = {
    **dict.fromkeys(("create", "mkdir", "rename", "link", "exchange"), (*_FULL, *_GONE, errno.EROFS)),
    **dict.fromkeys(("write", "truncate", "flush"), (*_FULL, *_GONE)),
    **dict.fromkeys(("remove", "utime"), (*_GONE, errno.EROFS)),
    **dict.fromkeys(("open", "enter", "stat", "read"), _GONE),
    "lock": (errno.ENOLCK, errno.EIO, errno.ESTALE),
}
"""How each operation may fail, by its name in ``layer.c``."""
_OF_PRIVATE_FILES = re.compile(r"/(\.\w+|locks)/")
_CHANGING = re.compile(r"\d{2,}|[0-9a-f]{8,}|\.[A-Za-z0-9]{6}$|-\w{8}\b")
"""Parts of private names that differ from run to run: process ids, times, temporary names of rsync."""
_TIMES = re.compile(rb"\d{4}-\d{2}-\d{2}T[0-9:.+]+Z?|\b\d{13}\b")
_WHOLE = re.compile(r"\.(csv|jpg|mp4)$")


class Fault(NamedTuple):
    """A call of a step that fails: the operation, the path below the site (a pattern), and how."""

    step: str
    operation: str
    path: str
    error: int

    def __str__(self) -> str:
        return f"{self.step}: {self.operation} {self.path} {errno.errorcode[self.error]}"

    @property
    def kind(self) -> tuple[str, str, str, int]:
        """The same for calls that differ only in a number, the camera or the stream."""
        path = re.sub(r"\bmet\b", "wxcam", re.sub(r"\d+", "0", self.path))
        return self.step, self.operation, path.replace("PANO", "FISH"), self.error


@dataclass
class Outcome:
    """What happened: the step's own error, and what was wrong then and after the next run."""

    fault: Fault
    error: str
    has_struck: bool
    wrong: list[str]


class Sweep:
    """A site as it is before each step, and after it when nothing fails."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "site"
        self.layer = Layer(directory, self.home)
        self.faults: list[Fault] = []
        self.good: dict[str, dict[str, bytes]] = {}

    def __enter__(self) -> Self:
        self._forking = Forking("tests.faults.steps:run", **self.layer.environment)
        self._forking.__enter__()
        make_site(self.home)
        for step in STEPS:
            shutil.copytree(self.home, self.directory / "before" / step, symlinks=True)
            with self.layer.recording() as seen:
                assert self.run(step) == {step: ""}
            calls = {(call.name, _pattern(call.path.removeprefix(str(self.home)))) for call in seen}
            self.faults += [
                Fault(step, operation, path, error)
                for operation, path in sorted(calls)
                for error in _ERRORS.get(operation, ())
            ]
            self.good[step] = contents(self.home)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forking.__exit__(kind, error, trace)

    def kinds(self) -> list[Fault]:
        """One fault of each kind."""
        return list({fault.kind: fault for fault in self.faults}.values())

    def run(self, *steps: str) -> dict[str, str]:
        """Run some steps in a process of their own; return the error of each."""
        return run_steps(self._forking, self.home, self.directory / "result.json", *steps)

    def strike(self, fault: Fault) -> Outcome:
        """Let one call of a step fail; then run the step again without a fault."""
        shutil.rmtree(self.home)
        shutil.copytree(self.directory / "before" / fault.step, self.home, symlinks=True)
        self.layer.arm(fault.operation, f"{self.home}{fault.path}", fault.error)
        error = self.run(fault.step)[fault.step]
        has_struck = self.layer.has_struck
        self.layer.reset()
        good = self.good[fault.step]
        wrong = [*self._wrong_words(error), *self._half(good)]
        if text := self.run(fault.step)[fault.step]:
            wrong.append(f"the next run: {text}")
        found = contents(self.home)
        different = {name for name in found.keys() & good.keys() if found[name] != good[name]}
        for what, names in (
            ("missing", good.keys() - found.keys()),
            ("too much", found.keys() - good.keys()),
            ("different", different),
        ):
            wrong += [f"at the end {what}: {name}" for name in sorted(names)]
        return Outcome(fault, error, has_struck, wrong)

    def _wrong_words(self, error: str) -> Iterator[str]:
        if not error or REFUSED in error:  # a report names the files
            return
        if "\n" in error or str(self.home) not in error or ("`" not in error and "docs/" not in error):
            yield f"not one line with a path below the site and a next step: {error!r}"

    def _half(self, good: dict[str, bytes]) -> Iterator[str]:
        """What stands under its final name must be whole."""
        for name, content in contents(self.home).items():
            if name in good and _WHOLE.search(name) and content != good[name]:
                yield f"half: {name}"


def run_steps(forking: Forking, home: Path, result: Path, *steps: str) -> dict[str, str]:
    """Run some steps of a site in a process of their own; return the error of each."""
    result.unlink(missing_ok=True)
    forking.start(home, " ".join(steps), result)
    code = forking.wait(patient(60))
    assert code == 0, f"ended with {code}"
    found = json.loads(result.read_text())
    assert isinstance(found, dict)
    return found


def _pattern(path: str) -> str:
    """The path, with what changes from run to run as a wildcard."""
    path = path.replace("[", "?").replace("]", "?")
    head, slash, name = path.rpartition("/")
    return f"{head}{slash}{_CHANGING.sub('*', name)}" if _OF_PRIVATE_FILES.search(f"{head}/") else path


def contents(home: Path) -> dict[str, bytes]:
    """The files of a site by what they mean: media and copies by their bytes, databases by their rows."""
    found = {}
    for root in ("raw", "products", "manifests", "far"):
        for directory, _, names in os.walk(home / root):
            for path in (Path(directory, name) for name in names):
                if not path.name.endswith(("-wal", "-shm")):
                    name = re.sub(r"\d{13}|\d{8}T\d{6}(\.\d+)?Z", "TIME", str(path.relative_to(home)))
                    found[name] = _meaning(path)
    return found


def _meaning(path: Path) -> bytes:
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
            return repr([integrity, *db.execute("SELECT relative_path, width FROM images ORDER BY 1")]).encode()
    if path.suffix in (".yaml", ".tsv") or "history" in path.parts:
        return b""  # they hold times of this run
    return _TIMES.sub(b"TIME", path.read_bytes()) if path.suffix == ".json" else path.read_bytes()


MOST = int(os.environ.get("SOAK_CALLS", "100000"))
"""Calls of one step, or of a part of it, that a test lets fail; `make soak-short` tries fewer."""
_SEED = 18


def let_each_call_fail(directory: Path, step: str, part: int = 0, parts: int = 1) -> None:
    """Let each call of a step fail once, in each way in which a disk fails; or those of one of some equal parts."""
    with Sweep(directory) as sweep:
        faults = [fault for fault in sweep.kinds() if fault.step == step][part::parts]
        random.Random(_SEED).shuffle(faults)
        outcomes = [sweep.strike(fault) for fault in faults[:MOST]]
    assert [f"{outcome.fault}: {outcome.wrong}" for outcome in outcomes if outcome.wrong] == []
    # A call that a run makes only sometimes may not come again.
    assert sum(outcome.has_struck for outcome in outcomes) >= len(outcomes) * 0.9 > 0
