"""Finds what opens Dagster's records, for the commands that show them; the command itself knows no Dagster."""

import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any


def find_opener(group: str) -> Any:
    """Return the function of this entry point group that opens Dagster's records; a text says why there is none."""
    home = os.environ.get("DAGSTER_HOME")
    if not home or not Path(home).is_dir():
        return "set DAGSTER_HOME to the directory of Dagster's records: it is not set, or is not a directory"
    if not Path(home, "history").is_dir():
        # If opened, Dagster would create its databases in it.
        return f"DAGSTER_HOME ({home}) has no records: was the platform ever started with it?"
    for entry_point in entry_points(group=group):
        try:
            return entry_point.load()
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "dagster":
                raise
    return "Dagster is not installed: make setup, or pip install 'aurora-platform[server]'"
