"""Where the program ``aurora`` begins: what is not installed ends it with one line that says how to install it."""

import sys

_OURS = ("aurora_platform", "aurora_cli", "aurora_assets", "resources", "sensors", "schedules")


def main() -> None:
    """Start the command."""
    try:
        from aurora_cli.main import main as command
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in _OURS:
            raise
        sys.exit(f"aurora: {error.name} is not installed. The command needs: pip install 'aurora-platform[server]'")
    command(prog_name="aurora")
