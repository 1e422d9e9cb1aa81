"""Run a slow lane of the tests, and keep in ``docs/lanes.json`` when each was last green, and at which commit.

    scripts/lanes.py run kill -- COMMAND ...   what `make soak` and `make soak-short` do
    scripts/lanes.py show                      what `make lanes` does

It records a whole run that was green, of a commit as it is. Where a variable of the environment makes a lane shorter
(``SOAK_HOURS=8``, ``KILLS=8``) or names some of its tests (``SOAK="-k verify"``, ``PYTEST_ADDOPTS``), or where the
working tree has changes, it records nothing and says why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

LANES = {
    "kill": "killed or cut again and again, many files, the simulator at length, the golden day",
    "soak": "a day at speed with outages and kills, memory at scale",
}
RECORD = "docs/lanes.json"


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def why_not() -> str | None:
    """Why a run tells nothing of a commit, or None where it does."""
    parts = ("SOAK", "KILLS", "PYTEST_ADDOPTS")
    shorter = sorted(name for name, value in os.environ.items() if value and name.startswith(parts))
    if shorter:
        return f"it is a part of the lane ({', '.join(shorter)})"
    try:
        changed = git("status", "--porcelain", "--", ".", f":(exclude){RECORD}")
        git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return "this is no clone with a commit"
    first = changed.splitlines()[:3]
    return f"the working tree has changes ({', '.join(line[2:].strip() for line in first)})" if first else None


def recorded() -> dict[str, dict[str, str | int]]:
    file = Path(RECORD)
    return json.loads(file.read_text()) if file.exists() else {}  # type: ignore[no-any-return]


def run(lane: str, command: list[str]) -> int:
    """Run a lane's command, record the run if it may be, and return how the command ended."""
    reason = why_not()
    if reason:
        print(f"lane {lane}: nothing will be recorded: {reason}", flush=True)
    commit = None if reason else git("rev-parse", "HEAD")
    began = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    seconds = round(time.monotonic() - began)
    if code:
        print(f"lane {lane}: red after {seconds} s; nothing is recorded", flush=True)
        return code
    if commit is None:
        print(f"lane {lane}: green in {seconds} s, not recorded: {reason}", flush=True)
    elif reason := why_not() or ("it is another commit" if commit != git("rev-parse", "HEAD") else None):
        print(f"lane {lane}: green in {seconds} s, not recorded: by now {reason}", flush=True)
    else:
        date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        lanes = recorded() | {lane: {"commit": commit, "date": date, "seconds": seconds, "form": "full"}}
        Path(RECORD).write_text(json.dumps(lanes, indent=2, sort_keys=True) + "\n")
        print(f"lane {lane}: green in {seconds} s, recorded in {RECORD}; commit that file", flush=True)
    return 0


def show() -> int:
    """One line a lane."""
    known = recorded()
    for lane, about in LANES.items():
        last = known.get(lane)
        if last is None:
            print(f"{lane}: no green run is recorded ({about})")
            continue
        try:
            since = git("rev-list", "--count", f"{last['commit']}..HEAD") + " commits ago"
        except subprocess.CalledProcessError:
            since = "a commit that is not here"
        print(f"{lane}: green on {last['date']}, at {last['commit']:.12}, {since}, in {last['seconds']} s ({about})")
    return 0


def main(arguments: list[str]) -> int:
    own, command = (arguments, [])
    if "--" in arguments:
        at = arguments.index("--")
        own, command = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("show")
    one = what.add_parser("run")
    one.add_argument("lane", choices=LANES)
    given = parser.parse_args(own)
    if given.what == "show":
        return show()
    if not command:
        parser.error("which command? write it after --")
    return run(given.lane, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
