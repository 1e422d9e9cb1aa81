"""The entry point of the program ``aurora``. If a package is missing, one line says how to install it."""

import sys

from aurora_cli import process
from aurora_cli.main import main as command  # needs Click alone; a verb is loaded when it is called

_OWN_PACKAGES = ("aurora_platform", "aurora_cli", "aurora_assets", "resources", "sensors", "schedules")


def main() -> None:
    """Run the command."""
    process.is_program = True
    try:
        command(prog_name="aurora")
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in _OWN_PACKAGES:
            raise
        sys.exit(f"aurora: {error.name} is not installed. The command needs: pip install 'aurora-platform[server]'")
