"""Run a slow lane of the tests; record in ``docs/lanes.json`` its last green run: date and commit.

    scripts/lanes.py run kill -- COMMAND ...   used by `make soak` and `make soak-short`
    scripts/lanes.py show                      used by `make lanes`

It records only full green runs of a clean commit. If an environment variable makes a lane shorter (``SOAK_HOURS=8``,
``KILLS=8``) or selects tests (``SOAK="-k verify"``, ``PYTEST_ADDOPTS``), or if the working tree has changes, it records
nothing and prints the reason.
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
    "kill": "repeated kills and cut connections, many files, long simulations, the golden day",
    "soak": "a day at speed with outages and kills, memory at scale",
}
RECORD = "docs/lanes.json"


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def reason_not_to_record() -> str | None:
    """Return why a run must not be recorded for the commit, or None if it may."""
    parts = ("SOAK", "KILLS", "PYTEST_ADDOPTS")
    shorter = sorted(name for name, value in os.environ.items() if value and name.startswith(parts))
    if shorter:
        return f"it is only a part of the lane ({', '.join(shorter)})"
    try:
        changed = git("status", "--porcelain", "--", ".", f":(exclude){RECORD}")
        git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return "this is not a git clone with a commit"
    first = changed.splitlines()[:3]
    return f"the working tree has changes ({', '.join(line[2:].strip() for line in first)})" if first else None


def read_record() -> dict[str, dict[str, str | int]]:
    file = Path(RECORD)
    return json.loads(file.read_text()) if file.exists() else {}  # type: ignore[no-any-return]


def run(lane: str, command: list[str]) -> int:
    """Run the command of a lane, record the run if allowed, and return the exit code of the command."""
    reason = reason_not_to_record()
    if reason:
        print(f"lane {lane}: this run will not be recorded: {reason}", flush=True)
    commit = None if reason else git("rev-parse", "HEAD")
    began = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    seconds = round(time.monotonic() - began)
    if code:
        print(f"lane {lane}: red after {seconds} s; not recorded", flush=True)
        return code
    if commit is None:
        print(f"lane {lane}: green in {seconds} s, not recorded: {reason}", flush=True)
    elif reason := reason_not_to_record() or ("HEAD is another commit" if commit != git("rev-parse", "HEAD") else None):
        print(f"lane {lane}: green in {seconds} s, not recorded: at the end {reason}", flush=True)
    else:
        date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        lanes = read_record() | {lane: {"commit": commit, "date": date, "seconds": seconds, "form": "full"}}
        Path(RECORD).write_text(json.dumps(lanes, indent=2, sort_keys=True) + "\n")
        print(f"lane {lane}: green in {seconds} s, recorded in {RECORD}; commit that file", flush=True)
    return 0


def show() -> int:
    """Print a line per lane."""
    record = read_record()
    for lane, about in LANES.items():
        last = record.get(lane)
        if last is None:
            print(f"{lane}: no green run is recorded ({about})")
            continue
        try:
            since = git("rev-list", "--count", f"{last['commit']}..HEAD") + " commits ago"
        except subprocess.CalledProcessError:
            since = "a commit that is not in this clone"
        print(f"{lane}: green on {last['date']}, at {last['commit']:.12}, {since}, in {last['seconds']} s ({about})")
    return 0


def main(arguments: list[str]) -> int:
    own, command = (arguments, [])
    if "--" in arguments:
        at = arguments.index("--")
        own, command = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("show")
    run_parser = verbs.add_parser("run")
    run_parser.add_argument("lane", choices=LANES)
    options = parser.parse_args(own)
    if options.verb == "show":
        return show()
    if not command:
        parser.error("no command: write it after --")
    return run(options.lane, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
