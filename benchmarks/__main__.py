"""``python -m benchmarks [NAME ...]``: measure the named subjects, or all; print and save the results."""

import signal
import sys
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console
from rich.status import Status

from benchmarks import short
from benchmarks.measure import ROUNDS
from benchmarks.report import RESULTS, Machine, as_table, save
from benchmarks.subject import Bench, Result

SUBJECTS = (
    "daily_video",
    "latest_video",
    "pixels",
    "reading",
    "thumbnails",
    "first_index",
    "refresh",
    "tick",
    "flat_stream",
    "verification",
    "start_up",
    "platform",
    "hashing",
    "listing",
    "archive_at_scale",
)
"""Each is a module of this package with a function ``run(bench) -> Result``."""

_WIDTH = 140  # characters, of a table that is written to a file


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Subjects: {', '.join(SUBJECTS)}. Exit code 0 if every target is reached, else 1. All subjects take about "
    "an hour; run nothing else meanwhile. A wrong answer ends the command with an error, also with --short.",
)
@click.argument("names", nargs=-1, type=click.Choice(SUBJECTS), metavar="[NAME]...")
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1), help="Runs per method.")
@click.option("--save/--no-save", "saves", default=True, help="Write JSON and plots to --out.  [default: save]")
@click.option(
    "--out",
    default=RESULTS,
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the results.  [default: docs/benchmarks]",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Directory for the input files of the benchmarks, up to 10 GB.  [default: the system's directory for "
    "temporary files]",
)
@click.option(
    "--short",
    "is_short",
    is_flag=True,
    help="Use small sizes and one round, save nothing: only check the answers. A missed target is no error.",
)
def main(names: tuple[str, ...], rounds: int, saves: bool, out: Path, scratch: Path | None, is_short: bool) -> None:
    """Compare subjects with the method in use today and with a limit; without a name, all subjects."""
    # Background processes of a shell ignore SIGINT (Ctrl-C), and so would the processes that we end by SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # sys.exit ends the processes of the subject too
    console, machine = Console(), Machine.this()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(f"{machine}\n{machine.packages}", highlight=False)
    if is_short:
        short.enable()
        rounds, saves = 1, False
    results: list[Result] = []
    for name in names or SUBJECTS:
        with console.status(name) as status:

            def log(what: str, name: str = name, status: Status = status) -> None:
                status.update(f"{name}: {what}")

            subject = import_module(f"benchmarks.{name}")
            short.shrink_if_enabled()
            results.append(subject.run(Bench(rounds, log, scratch, is_short)))
        console.print(as_table(results[-1]))
        if saves:
            save(results[-1], machine, out)
            message = f"written: {name}.json, {name}.png and README.md in {out} (--no-save writes nothing)"
            console.print(message, highlight=False, soft_wrap=True)
    if is_short:
        console.print("short: every answer is right; the figures mean nothing and are not compared with the targets")
        return
    missed = [f"{result.name}: {row.what}" for result in results for row in result.rows if row.verdict != "reached"]
    console.print("not reached: " + "; ".join(missed) if missed else "every target is reached", highlight=False)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
