"""Where the program ``aurora`` begins: what is not installed ends it with one line that says how to install it."""

import sys

from aurora_cli.main import main as command  # needs Click alone; a verb is loaded when it is called

_OURS = ("aurora_platform", "aurora_cli", "aurora_assets", "resources", "sensors", "schedules")


def main() -> None:
    """Start the command."""
    try:
        command(prog_name="aurora")
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in _OURS:
            raise
        sys.exit(f"aurora: {error.name} is not installed. The command needs: pip install 'aurora-platform[server]'")
